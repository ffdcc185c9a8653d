"""Links within one machine go without BBR's pacing, where that is the system's congestion control."""

from __future__ import annotations

import os
import socket
import stat
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from behaving import DEADLINE, Connect, Echo

_CONTROL = Path("/proc/sys/net/ipv4/tcp_congestion_control")

pytestmark = [
    pytest.mark.flavours("blocking", "asyncio", "blocking to asyncio"),
    pytest.mark.skipif(not _CONTROL.exists() or _CONTROL.read_text().strip() != "bbr", reason="the system has not chosen BBR"),
]


def _controls(port: int) -> list[bytes]:
    """Return the congestion controls of this process's ends of the connections of a port."""
    found = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(OSError), ExitStack() as stack:
            if not stat.S_ISSOCK(os.stat(int(descriptor)).st_mode):
                continue
            copy = stack.enter_context(socket.socket(fileno=os.dup(int(descriptor))))
            if copy.family == socket.AF_INET and port in (copy.getsockname()[1], copy.getpeername()[1]):
                found.append(copy.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0"))
    return found


@pytest.mark.parametrize(("settings", "control"), [({}, b"reno"), ({"unpaced_loopback": False}, b"bbr")])
def test_both_ends_of_a_link_are_spared_bbr_or_not(
    backend: str, echo: Echo, connect: Connect, settings: dict[str, bool], control: bytes
) -> None:
    if backend not in ("tcp", "zmq"):
        pytest.skip("its links are no connections of TCP")
    address = echo(**settings).address
    client = connect(address, **settings)
    client.send(b"hello")
    assert client.receive(DEADLINE) == b"hello"
    assert _controls(int(address.rpartition(":")[2])) == [control] * 2

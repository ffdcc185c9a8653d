"""What is spared the pacing of BBR, and what is left as it is."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tcpconn.pacing import spare_pacing, spare_pacing_of

pytestmark = pytest.mark.skipif(not hasattr(socket, "TCP_CONGESTION"), reason="the system has one congestion control for all")


def _control(connected: socket.socket) -> str:
    return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def _choose(connected: socket.socket, control: str) -> None:
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, control.encode())
    except OSError as error:
        pytest.skip(f"no {control} is to be had: {error}")


@pytest.fixture(params=[("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "127.0.0.9"), ("::1", "::1")], ids="-".join)
def connected(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    own, peer = request.param
    family = socket.AF_INET6 if ":" in own else socket.AF_INET
    with ExitStack() as stack:
        listening, client = (stack.enter_context(socket.socket(family)) for _ in range(2))
        try:
            listening.bind((peer, 0))
            client.bind((own, 0))
        except OSError as error:
            pytest.skip(f"no {peer} here: {error}")
        listening.listen(1)
        client.connect(listening.getsockname())
        yield client


def test_a_connection_within_this_machine_is_spared_bbr(connected: socket.socket) -> None:
    _choose(connected, "bbr")
    spare_pacing(connected)
    assert _control(connected) == "reno"


def test_the_same_by_a_descriptor_which_stays_open(connected: socket.socket) -> None:
    _choose(connected, "bbr")
    spare_pacing_of(connected.fileno())
    assert _control(connected) == "reno"


def test_every_other_control_is_left_as_it_is(connected: socket.socket) -> None:
    _choose(connected, "cubic")
    spare_pacing(connected)
    assert _control(connected) == "cubic"


def test_a_socket_that_is_not_connected_is_left_as_it_is() -> None:
    with socket.socket() as alone:
        _choose(alone, "bbr")
        spare_pacing(alone)
        assert _control(alone) == "bbr"


def test_what_is_no_tcp_socket_or_closed_is_no_error() -> None:
    one, other = socket.socketpair()
    with one, other:
        spare_pacing(one)
        spare_pacing_of(one.fileno())
    reading, writing = os.pipe()
    spare_pacing_of(reading)
    spare = os.dup(reading)
    os.close(spare)
    spare_pacing_of(reading)
    assert os.dup(reading) == spare, "a descriptor was left open"
    for descriptor in (spare, reading, writing):
        os.close(descriptor)
    spare_pacing_of(reading)

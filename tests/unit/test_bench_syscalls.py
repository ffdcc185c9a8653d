"""Counting the system calls of processes and the bytes that they send, from outside."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tcpconn_bench import wire
from tcpconn_bench.syscalls import CannotCount, SystemCalls, find_tool

CALLS = 5000
_CALLING = f"""
import os
os.write(1, b"ready")
os.read(0, 1)
for _ in range({CALLS}): os.getppid()
os.write(1, b"done!")
os.read(0, 1)
"""


@contextmanager
def calling() -> Iterator[subprocess.Popen[bytes]]:
    """A process that makes so many system calls when it is told to."""
    with subprocess.Popen([sys.executable, "-c", _CALLING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.read(5) == b"ready"
            yield process
        finally:
            process.kill()


def make_calls(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x")
    process.stdin.flush()
    assert process.stdout.read(5) == b"done!"


def permitted(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the test where this tool may not be used."""
    others = {"perf": "strace", "strace": "perf"}
    which = shutil.which
    with monkeypatch.context() as changed:
        changed.setattr("shutil.which", lambda name: None if name == others[tool] else which(name))
        try:
            assert find_tool() == tool
        except CannotCount as error:
            pytest.skip(str(error))


@pytest.mark.parametrize("tool", ["perf", "strace"])
def test_the_system_calls_of_several_processes_are_counted_while_it_is_asked_for(
    tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    permitted(tool, monkeypatch)
    with calling() as one, calling() as other:
        with SystemCalls(tool, [one.pid, other.pid]) as counted:
            make_calls(one)
            make_calls(other)
        # Each also reads and writes.
        assert 2 * CALLS <= counted.count <= 2 * CALLS + 20


@pytest.mark.parametrize("tool", ["perf", "strace"])
def test_a_process_that_is_not_there_cannot_be_counted(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    permitted(tool, monkeypatch)
    with calling() as process:
        assert process.poll() is None
    with pytest.raises(CannotCount), SystemCalls(tool, [process.pid]):
        pytest.fail("it began to count")


def test_without_a_tool_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(CannotCount, match="system calls: perf is not installed and strace is not installed"):
        find_tool()
    assert wire.why_not() == "bytes on the wire: there is no program `ss` (iproute2) on the path"


def test_what_a_socket_has_sent_is_counted_with_the_headers_of_its_segments() -> None:
    if reason := wire.why_not():
        pytest.skip(reason)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as client:
        server, _ = listener.accept()
        with server:
            before = wire.sent([os.getpid()])
            for _ in range(10):
                client.sendall(bytes(1000))
                assert len(server.recv(1000, socket.MSG_WAITALL)) == 1000
                server.sendall(bytes(10))
                assert len(client.recv(10, socket.MSG_WAITALL)) == 10
            sent = wire.difference(before, wire.sent([os.getpid()]))
    assert sent is not None
    # Each is a segment with headers of 52 bytes, or of 40 without timestamps; some segments only acknowledge.
    assert 10 * (1010 + 2 * 40) <= sent <= 10 * (1010 + 4 * 52)


def test_who_has_no_socket_has_sent_nothing_that_could_be_counted() -> None:
    with calling() as process:
        sent = wire.sent([process.pid])
    assert sent == {}
    assert wire.difference({}, sent) is None

"""Calls that keep the interpreter: what they send and receive, what they raise, and that no other thread runs meanwhile."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Sequence

import pytest

import tcpconn
from tcpconn.address import Address
from tcpconn.testing.contract import Ends
from tcpconn.transport import Buffer, LinkOptions, load_transport
from tcpconn_tcp import held
from tcpconn_tcp.link import TcpLink

DEADLINE = 10.0


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    with near, far:
        yield near, far


@pytest.fixture
def slow_to_switch() -> Iterator[None]:
    """Let no thread be stopped by the interpreter: others run only when one lets go by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(100)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def test_bytes_arrive_as_they_were_sent(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    buffers = (memoryview(bytearray(100)),)
    receiver = held.Receiver(far.fileno())
    for number in range(5):
        message = b"\0%d\0" % number
        assert held.send(near, near.fileno(), message) == len(message)
        assert receiver.receive(buffers) == len(message)
        assert buffers[0][: len(message)] == message


def test_several_buffers_are_filled_in_their_order(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    buffers = [bytearray(3), bytearray(3)]
    held.send(near, near.fileno(), b"abcde")
    assert held.Receiver(far.fileno()).receive(buffers) == 5
    assert buffers == [b"abc", b"de\0"]


def test_a_socket_that_is_full_or_empty_says_so(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    buffers = (memoryview(bytearray(100)),)
    receiver = held.Receiver(far.fileno())
    for _ in range(4):
        with pytest.raises(BlockingIOError):
            receiver.receive(buffers)
    near.send(bytes(1 << 24))
    with pytest.raises(BlockingIOError):
        held.send(near, near.fileno(), bytes(held.MOST))


def test_a_peer_that_has_gone_is_the_end_for_the_reader_and_an_error_for_the_writer(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    near, far = pair
    buffers = (memoryview(bytearray(100)),)
    receiver = held.Receiver(near.fileno())
    for _ in range(3):
        with pytest.raises(BlockingIOError):
            receiver.receive(buffers)
    far.close()
    assert receiver.receive(buffers) == 0
    with pytest.raises(BrokenPipeError):
        held.send(near, near.fileno(), b"lost")


def test_only_a_tuple_of_memory_is_held_on_to(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    receiver = held.Receiver(far.fileno())
    own, callers = bytearray(8), bytearray(8)
    kept, lent = (memoryview(own),), [memoryview(callers)]
    for buffers in (kept, kept, kept, lent, lent, lent):
        held.send(near, near.fileno(), b"x")
        assert receiver.receive(buffers) == 1
    kept[0].release()
    lent.pop().release()
    callers.append(0)
    with pytest.raises(BufferError):
        own.append(0)


@pytest.mark.usefixtures("slow_to_switch")
def test_no_other_thread_runs_during_a_call(pair: tuple[socket.socket, socket.socket]) -> None:
    near, far = pair
    gate, passed, over = threading.Semaphore(0), threading.Event(), threading.Event()
    buffers = (memoryview(bytearray(100)),)
    receiver = held.Receiver(far.fileno())
    ran: list[bool] = []

    def other() -> None:
        while gate.acquire(timeout=DEADLINE) and not over.is_set():
            ran.append(True)
            passed.set()

    thread = threading.Thread(target=other)
    thread.start()
    try:
        for _ in range(3):
            near.send(b"x")
            receiver.receive(buffers)
        for _ in range(300):
            gate.release()
            for _ in range(10):
                held.send(near, near.fileno(), b"x")
                receiver.receive(buffers)
            assert not ran
            assert passed.wait(DEADLINE)
            passed.clear()
            ran.clear()
    finally:
        over.set()
        gate.release()
        thread.join(DEADLINE)


@pytest.mark.parametrize("crowded", [False, True])
def test_a_link_keeps_the_interpreter_after_a_write_that_took_long_and_no_longer_than_it_says(
    crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "LONG", -1.0 if crowded else float("inf"))
    monkeypatch.setattr(held, "CALLS", 5)
    calls = 0
    usual = held.send

    def counted(connected: socket.socket, descriptor: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        return usual(connected, descriptor, data)

    monkeypatch.setattr(held, "send", counted)
    ends = Ends(load_transport("tcp"), Address("127.0.0.1", 0), LinkOptions())
    near, far = ends.join()
    for number in range(12):
        near.link.write([b"%02d" % number, b"!"])
        ends.drive(lambda number=number: len(far.sink.data) == 3 * (number + 1))  # type: ignore[misc]
    assert far.sink.data == b"".join(b"%02d!" % number for number in range(12))
    assert calls == (10 if crowded else 0)
    ends.settle()


@pytest.mark.parametrize("crowded", [False, True])
def test_whoever_writes_keeps_the_lock_only_while_no_other_thread_can_run(
    crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "LONG", -1.0 if crowded else float("inf"))
    monkeypatch.setattr(held, "CALLS", 2)
    seen: list[tuple[bool, bool]] = []
    usual = TcpLink.write

    def looked_at(link: TcpLink, buffers: Sequence[Buffer]) -> int:
        if link is near.carrier.link:
            seen.append((link.brief > 0, near.carrier.lock._is_owned()))  # type: ignore[attr-defined]
        return usual(link, buffers)

    with (
        tcpconn.listen("127.0.0.1:0", backend="tcp") as listener,
        tcpconn.connect(listener.address, backend="tcp") as near,
        listener.accept(DEADLINE) as far,
    ):
        monkeypatch.setattr(TcpLink, "write", looked_at)
        for _ in range(10):
            near.send_many([b"ping", b"pong"])
            assert far.receive(DEADLINE) + far.receive(DEADLINE) == b"pingpong"
    assert all(brief == kept for brief, kept in seen)
    assert {brief for brief, _ in seen} == ({False, True} if crowded else {False})

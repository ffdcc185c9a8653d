"""The descriptors that backends wake threads with: `Waker` of tcp, `Signal` of memory and of zmq, `Waiter` of zmq."""

from __future__ import annotations

import select
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

import tcpconn_memory.signal
import tcpconn_tcp.waker
import tcpconn_zmq.waiting
from tcpconn_zmq.waiting import Waiter


class Settable(Protocol):
    def fileno(self) -> int: ...
    def set(self) -> None: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...


@pytest.fixture(
    params=[tcpconn_tcp.waker.Waker, tcpconn_memory.signal.Signal, tcpconn_zmq.waiting.Signal], ids=["tcp", "memory", "zmq"]
)
def signal(request: pytest.FixtureRequest) -> Iterator[Settable]:
    make: Callable[[], Settable] = request.param
    signal = make()
    yield signal
    signal.close()


def _readable(signal: Settable) -> bool:
    return bool(select.select([signal.fileno()], [], [], 0)[0])


def test_it_is_readable_from_set_to_clear(signal: Settable) -> None:
    assert not _readable(signal)
    for _ in range(3):
        signal.set()
        assert _readable(signal)
        signal.clear()
        assert not _readable(signal)


def test_many_sets_need_one_clear(signal: Settable) -> None:
    for _ in range(1000):
        signal.set()
    signal.clear()
    assert not _readable(signal)


def test_clearing_what_is_not_set_does_nothing(signal: Settable) -> None:
    signal.clear()
    signal.set()
    assert _readable(signal)


def test_after_the_close_a_set_reaches_no_descriptor_of_somebody_else_s(signal: Settable) -> None:
    number = signal.fileno()
    signal.close()
    signal.close()
    other = type(signal)()
    try:
        assert other.fileno() == number  # the lowest free number is given out
        signal.set()
        assert not _readable(other)
    finally:
        other.close()


def test_a_waiter_tells_which_descriptor_is_readable_and_is_readable_itself() -> None:
    one, other = tcpconn_zmq.waiting.Signal(), tcpconn_zmq.waiting.Signal()
    waiter = Waiter(one.fileno(), other.fileno())
    assert waiter.wait(0) == []
    assert not select.select([waiter.fileno()], [], [], 0)[0]
    other.set()
    assert [fd for fd, *_ in waiter.wait(None)] == [other.fileno()]
    assert select.select([waiter.fileno()], [], [], 0)[0]
    waiter.close()
    assert waiter.fileno() == -1
    one.close()
    other.close()

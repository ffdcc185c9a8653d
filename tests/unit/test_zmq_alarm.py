"""The deadlines of a ROUTER's peers."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tcpconn_zmq.peers import Alarm

_LIMIT = 20.0


class Bell:
    """Counts the rings of an alarm."""

    def __init__(self) -> None:
        self._rung = threading.Semaphore(0)
        self.alarm: Alarm[str] = Alarm(self._rung.release)

    def wait(self, timeout: float = _LIMIT) -> bool:
        return self._rung.acquire(timeout=timeout)


@pytest.fixture
def bell() -> Iterator[Bell]:
    bell = Bell()
    yield bell
    bell.alarm.cancel()


def test_it_rings_and_tells_what_is_due(bell: Bell) -> None:
    now = time.monotonic()
    bell.alarm.add(now + 0.01, now, "first")
    assert bell.wait()
    assert bell.alarm.due(now + 0.01) == ["first"]
    assert bell.alarm.due(now + 100) == []


def test_what_is_due_comes_in_the_order_of_the_deadlines(bell: Bell) -> None:
    now = time.monotonic()
    for when, what in ((30, "c"), (10, "a"), (20, "b"), (40, "d")):
        bell.alarm.add(now + when, now, what)
    assert bell.alarm.due(now + 5) == []
    assert bell.alarm.due(now + 30) == ["a", "b", "c"]
    assert bell.alarm.due(now + 40) == ["d"]


def test_equal_deadlines_need_no_order_of_what_is_kept(bell: Bell) -> None:
    alarm: Alarm[object] = Alarm(lambda: None)
    one, other = object(), object()
    alarm.add(1.0, 0.0, one)
    alarm.add(1.0, 0.0, other)
    assert alarm.due(1.0) == [one, other]


def test_an_earlier_deadline_rings_before_a_later_one_that_was_there_first(bell: Bell) -> None:
    now = time.monotonic()
    bell.alarm.add(now + 1000, now, "late")
    bell.alarm.add(now + 0.01, now, "early")
    assert bell.wait()
    assert bell.alarm.due(now + 0.01) == ["early"]


def test_it_rings_again_for_what_is_left(bell: Bell) -> None:
    now = time.monotonic()
    bell.alarm.add(now + 0.01, now, "first")
    bell.alarm.add(now + 0.03, now, "second")
    assert bell.wait()
    bell.alarm.due(now + 0.01)
    assert bell.wait()
    assert bell.alarm.due(now + 0.03) == ["second"]


def test_a_cancelled_alarm_has_no_thread(bell: Bell) -> None:
    now = time.monotonic()
    bell.alarm.add(now + 1000, now, "never")
    [timer] = [thread for thread in threading.enumerate() if thread is bell.alarm._timer]
    bell.alarm.cancel()
    timer.join(_LIMIT)
    assert not timer.is_alive()
    assert bell.alarm.due(now + 2000) == []

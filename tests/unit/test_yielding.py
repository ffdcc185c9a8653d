"""Acquiring a lock that others hold."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tcpconn import yielding
from tcpconn.yielding import acquire


class Holder:
    """A thread that holds a lock until it is told to let go."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._held, self._end, self.released = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold)
        self._thread.start()
        assert self._held.wait(20)

    def _hold(self) -> None:
        with self._lock:
            self._held.set()
            self._end.wait(20)
        self.released.set()

    def let_go(self) -> None:
        self._end.set()
        assert self.released.wait(20)


def held_by_another(lock: threading.RLock) -> bool:
    """Whether another thread finds the lock held."""
    found: list[bool] = []

    def try_it() -> None:
        free = lock.acquire(False)
        if free:
            lock.release()
        found.append(not free)

    thread = threading.Thread(target=try_it)
    thread.start()
    thread.join(20)
    return found[0]


def looks_until(monkeypatch: pytest.MonkeyPatch, count: int, then: Callable[[], None]) -> list[float]:
    """Return the list of the sleeps to come; the one of that number does something."""
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == count:
            then()

    monkeypatch.setattr(yielding, "sleep", sleep)
    return looks


def test_it_has_the_lock_at_the_first_try_that_finds_it_free(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.RLock()
    looks = looks_until(monkeypatch, 3, Holder(lock).let_go)
    acquire(lock)
    assert looks == [0, 0, 0]
    assert held_by_another(lock)
    lock.release()
    assert not held_by_another(lock)


def test_it_waits_in_the_end_for_a_lock_whose_holder_does_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.RLock()
    holder = Holder(lock)
    tries = 5
    monkeypatch.setattr(yielding, "_MOST", tries)
    waiting = threading.Timer(0, holder.let_go)
    looks = looks_until(monkeypatch, tries, waiting.start)
    acquire(lock)
    assert len(looks) <= tries
    assert held_by_another(lock)
    lock.release()
    waiting.join(20)


@pytest.mark.parametrize("late", [False, True], ids=["while it is held", "when it is free"])
def test_an_interrupt_leaves_the_lock_to_be_released_once(monkeypatch: pytest.MonkeyPatch, late: bool) -> None:
    lock = threading.RLock()
    holder = Holder(lock)
    ending = threading.Timer(0.05, holder.let_go)

    def interrupt() -> None:
        if late:
            holder.let_go()
        else:
            ending.start()
        raise KeyboardInterrupt

    looks_until(monkeypatch, 2, interrupt)
    with pytest.raises(KeyboardInterrupt):
        acquire(lock)
    assert held_by_another(lock)
    lock.release()
    assert not held_by_another(lock)
    if not late:
        ending.join(20)


class InterruptedAfter:
    """A lock to whose holder an interrupt comes just after it was acquired."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._tries = 0
        self.release = lock.release

    def acquire(self, blocking: bool = True) -> bool:
        got = self._lock.acquire(blocking)
        self._tries += 1
        if self._tries == 1:
            raise KeyboardInterrupt
        return got


def test_an_interrupt_just_after_the_lock_was_got_does_not_count_it_twice() -> None:
    lock = threading.RLock()
    with pytest.raises(KeyboardInterrupt):
        acquire(InterruptedAfter(lock))  # type: ignore[arg-type]
    assert held_by_another(lock)
    lock.release()
    assert not held_by_another(lock)

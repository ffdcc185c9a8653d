"""Giving way to whoever holds a lock."""

from __future__ import annotations

import threading

import pytest

from tcpconn import yielding
from tcpconn.yielding import give_way


def test_it_returns_when_the_holder_lets_go() -> None:
    lock = threading.Lock()
    held, end = threading.Event(), threading.Event()

    def hold() -> None:
        with lock:
            held.set()
            end.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    end.set()
    while lock.locked():
        give_way(lock)
    holder.join(20)
    with lock:
        assert not holder.is_alive()


def test_it_returns_at_the_first_look_that_finds_the_lock_free(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = threading.Lock()
    lock.acquire()
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            lock.release()

    monkeypatch.setattr(yielding, "sleep", sleep)
    give_way(lock)
    assert looks == [0, 0, 0]


def test_it_does_not_look_for_ever_at_a_lock_whose_holder_does_not_run() -> None:
    lock = threading.Lock()
    with lock:
        give_way(lock)
        assert lock.locked()

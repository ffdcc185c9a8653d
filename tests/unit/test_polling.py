"""Adaptive busy polling: only while it pays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tcpconn import polling
from tcpconn.polling import BusyPoll

DURATION = 50e-6


@pytest.fixture(autouse=True)
def _two_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


class Clock:
    """A clock that goes on by a microsecond at each look."""

    def __init__(self) -> None:
        self.now = 10.0

    def monotonic(self) -> float:
        self.now += 1e-6
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(polling, "time", clock)
    return clock


def reads(*counts: int) -> Callable[[float | None], int]:
    """Return a read that gives these counts, and then nothing for ever."""
    left: Iterator[int] = iter(counts)

    def read(timeout: float | None) -> int:
        assert timeout == 0, "a poll does not sleep"
        return next(left, 0)

    return read


def worthwhile(poll: BusyPoll) -> BusyPoll:
    poll.waited(DURATION, 100)
    return poll


def test_polling_is_not_worthwhile_before_messages_have_come_fast() -> None:
    assert not BusyPoll(DURATION).worthwhile


@pytest.mark.parametrize(
    ("seconds", "count", "expected"),
    [(DURATION, 1, True), (2.9 * DURATION, 1, True), (3.1 * DURATION, 1, False), (0, 0, False)],
)
def test_a_short_wait_that_brought_something_makes_polling_worthwhile(seconds: float, count: int, expected: bool) -> None:
    poll = BusyPoll(DURATION)
    poll.waited(seconds, count)

    assert poll.worthwhile is expected


def test_a_duration_of_zero_turns_it_off() -> None:
    poll = BusyPoll(0.0)
    poll.waited(0.0, 1)

    assert not poll.worthwhile


def test_it_is_off_with_one_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})

    assert not worthwhile(BusyPoll(DURATION)).worthwhile


@pytest.mark.parametrize(("cpus", "expected"), [(4, True), (1, False), (None, False)])
def test_where_a_process_has_no_affinity_all_cpus_count(
    monkeypatch: pytest.MonkeyPatch, cpus: int | None, expected: bool
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)

    assert worthwhile(BusyPoll(DURATION)).worthwhile is expected


def test_a_poll_reads_until_something_comes(clock: Clock) -> None:
    assert BusyPoll(DURATION).read(reads(0, 0, 0, 17), None) == 17


def test_a_poll_that_finds_nothing_ends_after_its_duration(clock: Clock) -> None:
    begun = clock.now

    assert BusyPoll(DURATION).read(reads(), None) == 0
    assert DURATION <= clock.now - begun < 2 * DURATION


def test_a_poll_ends_at_the_deadline_of_its_reader_but_has_looked_once(clock: Clock) -> None:
    begun = clock.now

    assert BusyPoll(DURATION).read(reads(5), begun - 1.0) == 5
    assert BusyPoll(DURATION).read(reads(), begun) == 0
    assert clock.now - begun < DURATION / 2


def test_polling_is_given_up_after_a_few_polls_in_a_row_that_found_nothing(clock: Clock) -> None:
    poll = worthwhile(BusyPoll(DURATION))
    found = []
    for _ in range(4):
        poll.read(reads(), None)
        found.append(poll.worthwhile)

    assert found == [True, True, True, False]


def test_a_poll_that_finds_something_forgives_those_that_did_not(clock: Clock) -> None:
    poll = worthwhile(BusyPoll(DURATION))
    for _ in range(10):
        for _ in range(3):
            poll.read(reads(), None)
        assert poll.read(reads(0, 1), None) == 1

    assert poll.worthwhile


def test_polling_comes_back_when_messages_come_fast_again(clock: Clock) -> None:
    poll = worthwhile(BusyPoll(DURATION))
    for _ in range(4):
        poll.read(reads(), None)
    worthwhile(poll)
    poll.read(reads(), None)

    assert poll.worthwhile

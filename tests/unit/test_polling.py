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


class Peer:
    """Says something so and so many microseconds after it is waited for, by whether the waiting is done by polling."""

    def __init__(self, clock: Clock, poll: BusyPoll, *, polling: int, sleeping: int) -> None:
        self.clock = clock
        self.poll = poll
        self.polling = polling
        self.sleeping = sleeping

    def wait(self) -> bool:
        """Wait once as `leading` does; return whether it was tried by polling."""
        begun = self.clock.now
        polls = self.poll.worthwhile

        def read(timeout: float | None) -> int:
            assert timeout == 0, "a poll does not sleep"
            return int(self.clock.now - begun >= self.polling * 1e-6)

        if polls and self.poll.read(read, None):
            return True
        slept = self.clock.now
        took = self.polling if polls else self.sleeping
        self.clock.now = max(begun + took * 1e-6, slept)
        self.poll.waited(self.clock.now - slept, 1)
        return polls

    def polls_among(self, waits: int) -> float:
        """Return the part of so many waits that was tried by polling."""
        return sum(self.wait() for _ in range(waits)) / waits


def worthwhile(clock: Clock, poll: BusyPoll) -> BusyPoll:
    Peer(clock, poll, polling=10, sleeping=60).polls_among(100)
    return poll


def test_polling_is_not_worthwhile_before_messages_have_come_fast() -> None:
    assert not BusyPoll(DURATION).worthwhile


@pytest.mark.parametrize(("sleeping", "expected"), [(60, True), (140, True), (160, False), (5000, False)])
def test_short_waits_make_polling_worth_a_trial(clock: Clock, sleeping: int, expected: bool) -> None:
    poll = BusyPoll(DURATION)
    assert (Peer(clock, poll, polling=10, sleeping=sleeping).polls_among(100) > 0) is expected


def test_waits_that_bring_nothing_do_not_count(clock: Clock) -> None:
    poll = BusyPoll(DURATION)
    for _ in range(100):
        poll.waited(0.0, 0)
    assert not poll.worthwhile


def test_where_polling_is_quicker_nearly_all_waits_poll(clock: Clock) -> None:
    peer = Peer(clock, BusyPoll(DURATION), polling=10, sleeping=60)
    peer.polls_among(1000)
    assert peer.polls_among(20_000) > 0.98


def test_where_polling_is_slower_nearly_no_waits_poll(clock: Clock) -> None:
    """As with more busy threads than CPUs: whoever polls keeps the peer from its CPU."""
    for slow in (49, 200):
        peer = Peer(clock, BusyPoll(DURATION), polling=slow, sleeping=40)
        peer.polls_among(1000)
        assert peer.polls_among(20_000) < 0.05


def test_it_notices_that_polling_has_become_slower_and_that_it_is_quicker_again(clock: Clock) -> None:
    peer = Peer(clock, BusyPoll(DURATION), polling=10, sleeping=60)
    peer.polls_among(20_000)
    peer.polling = 45
    peer.sleeping = 40
    peer.polls_among(1000)
    assert peer.polls_among(10_000) < 0.1
    peer.polling = 10
    peer.sleeping = 100
    peer.polls_among(1000)
    assert peer.polls_among(10_000) > 0.9


def test_a_duration_of_zero_turns_it_off() -> None:
    poll = BusyPoll(0.0)
    for _ in range(1000):
        poll.waited(0.0, 1)
        assert not poll.worthwhile


def test_it_is_off_with_one_cpu(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3})

    assert not worthwhile(clock, BusyPoll(DURATION)).worthwhile


@pytest.mark.parametrize(("cpus", "expected"), [(4, True), (1, False), (None, False)])
def test_where_a_process_has_no_affinity_all_cpus_count(
    monkeypatch: pytest.MonkeyPatch, clock: Clock, cpus: int | None, expected: bool
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)

    assert worthwhile(clock, BusyPoll(DURATION)).worthwhile is expected


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
    poll = worthwhile(clock, BusyPoll(DURATION))
    found = []
    for _ in range(4):
        poll.read(reads(), None)
        found.append(poll.worthwhile)

    assert found == [True, True, True, False]


def test_a_poll_that_finds_something_forgives_those_that_did_not(clock: Clock) -> None:
    poll = worthwhile(clock, BusyPoll(DURATION))
    for _ in range(10):
        for _ in range(3):
            poll.read(reads(), None)
        assert poll.read(reads(0, 1), None) == 1

    assert poll.worthwhile


def test_polling_comes_back_when_messages_come_fast_again(clock: Clock) -> None:
    poll = worthwhile(clock, BusyPoll(DURATION))
    for _ in range(4):
        poll.read(reads(), None)
    assert not poll.worthwhile
    worthwhile(clock, poll)

    assert poll.worthwhile

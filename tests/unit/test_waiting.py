"""Leader and followers: who may read, who is woken, and that nobody is overlooked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import TypeVar

import pytest

from tcpconn.waiting import Seat, Waiter, current_waiter

DEADLINE = 20.0
T = TypeVar("T")


class RecordingChannel:
    """A channel that counts its wake-ups."""

    def __init__(self) -> None:
        self.wakes = 0

    def fileno(self) -> int:
        return 7

    def read(self, timeout: float | None) -> int:
        return 0

    def wake(self) -> None:
        self.wakes += 1


@pytest.fixture
def abandoned() -> list[Seat]:
    """The seats that nobody was left to take."""
    return []


@pytest.fixture
def seat(abandoned: list[Seat]) -> Seat:
    return Seat(RecordingChannel(), abandoned.append)


class Other:
    """A thread with its waiter, which does what it is told."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self.waiter = self._thread.submit(Waiter).result(DEADLINE)

    def do(self, step: Callable[[Waiter], T]) -> T:
        return self._thread.submit(step, self.waiter).result(DEADLINE)

    def end(self) -> None:
        self._thread.shutdown()


@pytest.fixture
def other() -> Iterator[Callable[[], Other]]:
    """Yield a function that makes another thread."""
    made: list[Other] = []

    def make() -> Other:
        made.append(Other())
        return made[-1]

    yield make
    for one in made:
        one.end()


def sleeps(waiter: Waiter) -> bool:
    """Whether a waiter has not been woken since the last look."""
    return not waiter._lock.acquire(blocking=False)


def test_one_at_a_time_holds_the_seat(seat: Seat, other: Callable[[], Other]) -> None:
    first, second = other(), other()
    assert first.do(seat.take)
    assert not second.do(seat.take)
    assert not second.do(seat.try_take)
    first.do(seat.leave)
    assert second.do(seat.try_take)


def test_a_leader_that_leaves_wakes_one_follower_only(seat: Seat, other: Callable[[], Other]) -> None:
    leader, *followers = (other() for _ in range(4))
    leader.do(seat.take)
    for follower in followers:
        assert not follower.do(seat.take)
    leader.do(seat.leave)
    assert [sleeps(follower.waiter) for follower in followers] == [False, True, True]


def test_a_follower_that_goes_without_the_seat_passes_its_wake_up_on(seat: Seat, other: Callable[[], Other]) -> None:
    leader, first, second = other(), other(), other()
    leader.do(seat.take)
    first.do(seat.take)
    second.do(seat.take)
    leader.do(seat.leave)
    first.do(seat.rise)
    seat.pass_on_if_free()
    assert not sleeps(second.waiter)


def test_a_wake_up_is_not_passed_on_while_somebody_reads(seat: Seat, other: Callable[[], Other]) -> None:
    leader, first, second = other(), other(), other()
    leader.do(seat.take)
    first.do(seat.take)
    second.do(seat.take)
    first.do(seat.rise)
    seat.pass_on_if_free()
    assert sleeps(second.waiter)


def test_a_seat_with_nobody_left_is_abandoned_once_until_it_is_watched_no_more(
    seat: Seat, abandoned: list[Seat], other: Callable[[], Other]
) -> None:
    leader = other()
    leader.do(seat.take)
    leader.do(seat.leave)
    assert abandoned == [seat]
    seat.watched = True
    leader.do(seat.take)
    leader.do(seat.leave)
    assert abandoned == [seat]
    assert seat.led


def test_who_does_not_hold_the_seat_does_not_leave_it(seat: Seat, abandoned: list[Seat], other: Callable[[], Other]) -> None:
    leader, interrupted = other(), other()
    leader.do(seat.take)
    interrupted.do(seat.rise)
    assert not interrupted.do(seat.try_take)
    assert not seat.led
    assert abandoned == []


def test_a_closed_seat_is_not_abandoned(seat: Seat, abandoned: list[Seat], other: Callable[[], Other]) -> None:
    leader = other()
    leader.do(seat.take)
    seat.closed = True
    leader.do(seat.leave)
    assert abandoned == []


def test_a_follower_that_finds_the_seat_free_at_its_second_look_takes_it(seat: Seat, other: Callable[[], Other]) -> None:
    leader, follower = other(), other()
    leader.do(seat.take)

    class LeavesBetween:
        """The seat's lock, whose holder leaves after the first look."""

        def __init__(self) -> None:
            self.looks = 0

        def acquire(self, blocking: bool) -> bool:
            self.looks += 1
            if self.looks == 2:
                leader.do(lambda _: lock.release())
            return lock.acquire(blocking=blocking)

    lock = seat.taken
    seat.taken = LeavesBetween()  # type: ignore[assignment]
    assert follower.do(seat.take)
    assert not seat._followers


def test_waking_a_leader_wakes_its_channel_also_if_it_was_woken_before_it_led(seat: Seat, other: Callable[[], Other]) -> None:
    leader = other()
    leader.waiter.wake()
    leader.do(seat.take)
    assert seat.channel.wakes == 0  # type: ignore[attr-defined]
    leader.waiter.wake()
    leader.waiter.wake()
    assert seat.channel.wakes == 2  # type: ignore[attr-defined]


def test_a_thread_does_not_wake_itself() -> None:
    waiter = current_waiter()
    waiter.wake()
    assert sleeps(waiter)


def test_each_thread_has_one_waiter_of_its_own() -> None:
    assert current_waiter() is current_waiter()
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(current_waiter).result(DEADLINE) is not current_waiter()


def test_a_wake_up_from_before_the_sleep_counts(other: Callable[[], Other]) -> None:
    waiter = other().waiter
    waiter.wake()
    sleeper = Thread(target=waiter.sleep, args=(None,), daemon=True)
    sleeper.start()
    sleeper.join(DEADLINE)
    assert not sleeper.is_alive()


def test_a_sleep_longer_than_the_system_can_count_is_cut(other: Callable[[], Other]) -> None:
    waiter = other().waiter
    waiter.wake()
    waiter.sleep(threading.TIMEOUT_MAX * 10)


def test_many_threads_take_turns_and_none_is_left_asleep(seat: Seat) -> None:
    threads, turns = 8, 300
    inside = 0
    done = []

    def work() -> int:
        nonlocal inside
        waiter = current_waiter()
        count = 0
        while count < turns:
            if seat.take(waiter):
                inside += 1
                assert inside == 1
                inside -= 1
                count += 1
                seat.leave(waiter)
            else:
                waiter.sleep(DEADLINE)
                seat.rise(waiter)
        seat.pass_on_if_free()
        return count

    with ThreadPoolExecutor(threads) as executor:
        done = [one.result(DEADLINE) for one in [executor.submit(work) for _ in range(threads)]]
    assert done == [turns] * threads

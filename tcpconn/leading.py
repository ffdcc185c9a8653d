"""How a thread waits for something of a session: it reads the link itself if nobody else does, else it sleeps until woken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar, cast

from tcpconn.steps import Steps, Wakeable
from tcpconn.transport import BareLink, Link
from tcpconn.waiting import Seat, current_waiter
from tcpconn.yielding import acquire

if TYPE_CHECKING:
    from tcpconn.carrier import Carrier

__all__ = ["carry_out", "wait"]

T = TypeVar("T")

_LONGEST = 1e6
"""Seconds of one sleep; a longer one is more than `poll` can count, and is just begun again."""


def carry_out(steps: Steps[T]) -> T:
    """Carry out an operation, waiting in the calling thread wherever it waits.

    Raises:
        BaseException: whatever the operation raises, or interrupts the waiting.
    """
    try:
        request = next(steps)
        while True:
            try:
                ready = wait(*request)
            except BaseException as error:
                request = steps.throw(error)
            else:
                request = steps.send(ready)
    except StopIteration as stop:
        result: T = stop.value
        return result


def wait(
    carrier: Carrier, waiters: list[Wakeable], ready: Callable[[], bool], deadline: float | None, in_turn: bool = False
) -> bool:
    """Wait until `ready()`, reading the link meanwhile if nobody else does. The lock is held, and released while waiting.

    However soon the deadline is, the link is read once: what has arrived in the kernel has arrived.

    Args:
        carrier: whose session.
        waiters: where to register, so that whoever makes it ready wakes this thread.
        ready: decides with the lock held; while this thread reads it also looks without, only to know when to stop.
        deadline: by `time.monotonic()`, or None.
        in_turn: as `Wait` says.

    Returns:
        Whether it is ready, or was when this thread read what makes it so; False when the deadline has passed.
    """
    waiter = current_waiter()
    waiter.turn = ready if in_turn else None
    waiters.append(waiter)
    followed: Seat | None = None
    looked = False
    try:
        while True:
            carrier.pump()
            if ready():
                return True
            timeout = None if deadline is None else min(deadline - time.monotonic(), _LONGEST)
            if timeout is not None and timeout <= 0:
                if looked:
                    return False
                timeout = 0.0
            looked = True
            seat, link = carrier.seat, carrier.link
            if followed is not None and followed is not seat:
                # It may have been woken to take a seat that it does not want any more: the link went meanwhile.
                followed.pass_on_if_free()
                followed = None
            try:
                carrier.lock.release()
                if seat is None or link is None or not carrier.leads:
                    waiter.sleep(timeout)
                else:
                    try:
                        if not seat.take(waiter):
                            followed = seat
                            waiter.sleep(timeout)
                        elif _lead(carrier, seat, link, ready, deadline):
                            return True
                    finally:
                        seat.rise(waiter)
            finally:
                if not carrier.lock.acquire(False):
                    acquire(carrier.lock)
    finally:
        waiters.remove(waiter)
        if followed is not None:
            followed.pass_on_if_free()


def _lead(carrier: Carrier, seat: Seat, link: BareLink, ready: Callable[[], bool], deadline: float | None) -> bool:
    """Read until `ready()`, the deadline, or the loss of the link; at least once. The seat is held, the lock is not.

    Returns:
        Whether it is ready, or was a moment ago: another thread may have been quicker.
    """
    read = seat.channel.read
    poll = carrier.poll
    while not ready():
        if carrier.seat is not seat:
            return False
        if carrier.leftover is not None:
            timeout = None if deadline is None else min(max(deadline - time.monotonic(), 0.0), _LONGEST)
            readable, writable = cast("Link", link).wait(timeout, read=True, write=True)
            if readable:
                read(0)
            if writable:
                with carrier.lock:
                    carrier.pump()
            if not readable and not writable:
                return False
            continue
        if poll.worthwhile:
            if poll.read(read, deadline):
                continue
            if carrier.seat is not seat:
                # A read without a byte may have been the end of this link, and the channel may be that of others, too.
                return False
            if ready():
                return True
        begun = time.monotonic() if poll.duration or deadline is not None else 0.0
        count = read(None if deadline is None else min(max(deadline - begun, 0.0), _LONGEST))
        if poll.duration:
            poll.waited(time.monotonic() - begun, count)
        if not count:
            # Woken, lost or timed out: the caller looks at everything anew.
            return False
    return True

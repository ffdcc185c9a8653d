"""How a thread waits for something of a session: it reads the link itself if nobody else does, else it sleeps until woken."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from tcpconn.transport import Link
from tcpconn.waiting import Seat, Waiter, current_waiter

if TYPE_CHECKING:
    from tcpconn.carrier import Carrier

__all__ = ["wait"]


def wait(carrier: Carrier, waiters: list[Waiter], ready: Callable[[], bool], deadline: float | None) -> bool:
    """Wait until `ready()`, reading the link meanwhile if nobody else does. The lock is held, and released while waiting.

    Args:
        carrier: whose session.
        waiters: where to register, so that whoever makes it ready wakes this thread.
        ready: looked at with the lock held.
        deadline: by `time.monotonic()`, or None.

    Returns:
        Whether it is ready; False when the deadline has passed.
    """
    waiter = current_waiter()
    waiter.settle()
    waiters.append(waiter)
    try:
        while True:
            carrier.pump()
            if ready():
                return True
            timeout = None if deadline is None else deadline - time.monotonic()
            if timeout is not None and timeout <= 0:
                return False
            seat, link = carrier.seat, carrier.link
            carrier.lock.release()
            try:
                if seat is None or link is None:
                    waiter.sleep(timeout)
                elif seat.take(waiter):
                    try:
                        _lead(carrier, seat, link, ready, deadline)
                    finally:
                        seat.leave(waiter)
                else:
                    try:
                        waiter.sleep(timeout)
                    finally:
                        seat.stop_following(waiter)
            finally:
                carrier.lock.acquire()
    finally:
        waiters.remove(waiter)


def _lead(carrier: Carrier, seat: Seat, link: Link, ready: Callable[[], bool], deadline: float | None) -> None:
    """Read until `ready()`, the deadline, or the loss of the link. The seat is held, the lock is not."""
    channel = seat.channel
    read = channel.read
    poll = carrier.poll
    while carrier.seat is seat and not ready():
        if carrier.blocked:
            timeout = None if deadline is None else max(deadline - time.monotonic(), 0)
            readable, writable = link.wait(timeout, read=True, write=True)
            if readable:
                read(0)
            if writable:
                with carrier.lock:
                    carrier.pump()
        elif not poll.worthwhile or not poll.read(read, deadline):
            now = time.monotonic()
            timeout = None if deadline is None else deadline - now
            if timeout is not None and timeout <= 0:
                return
            count = read(timeout)
            poll.waited(time.monotonic() - now, count)
            if not count:
                # Woken, lost or timed out: the caller looks at everything anew.
                return

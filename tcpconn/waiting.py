"""How threads wait for one another around one channel: leader and followers.

One thread at a time reads a channel: whoever holds its seat, the leader. The others that wait for something from it sleep,
each on a lock of its own, until the leader has read what they wait for, or leaves and passes the seat on. When nobody is
left to take the seat, the caretaker is asked to attend to the channel.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from tcpconn.transport import Channel

__all__ = ["Seat", "Waiter", "current_waiter"]


class Waiter:
    """One thread's means to sleep and to be woken; it belongs to that thread, any thread may wake it."""

    __slots__ = ("_lock", "ident", "leads", "turn")

    def __init__(self) -> None:
        self.ident = threading.get_ident()
        self.leads: Channel | None = None
        self.turn: Callable[[], bool] | None = None
        self._lock = threading.Lock()
        self._lock.acquire()

    def wake(self) -> None:
        """Make the thread look again at what it waits for, also when it is reading a channel."""
        if self.ident == threading.get_ident():
            return
        # If it was woken already, it may have been before it began to read, so its channel is woken all the same.
        if self._lock.locked():
            # Another thread may be quicker.
            with suppress(RuntimeError):
                self._lock.release()
        channel = self.leads
        if channel is not None:
            channel.wake()

    def sleep(self, timeout: float | None) -> None:
        """Sleep until woken, or for `timeout` seconds; a wake-up from before counts."""
        self._lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))


class _PerThread(threading.local):
    def __init__(self) -> None:
        self.waiter = Waiter()


_per_thread = _PerThread()


def current_waiter() -> Waiter:
    """Return the calling thread's waiter, without a wake-up that came too late to matter."""
    waiter = _per_thread.waiter
    waiter._lock.acquire(blocking=False)
    return waiter


class Seat:
    """The right to read a channel.

    Attributes:
        channel: what the holder reads.
        descriptor: the channel's, for as long as it is open.
        taken: held by the leader; guards reading the channel and nothing else. It knows its owner, lest a leader that is
            interrupted in the middle of taking it keep it; nobody takes it twice.
        watched: the caretaker attends to the channel, or soon will.
        led: somebody has left the seat since the caretaker last looked.
        closed: the channel is closed.
        shared: the channel feeds several links, so that the loss of one does not close it.
    """

    __slots__ = ("_abandoned", "_followers", "channel", "closed", "descriptor", "led", "shared", "taken", "watched")

    def __init__(self, channel: Channel, abandoned: Callable[[Seat], None], *, shared: bool = False) -> None:
        self.channel = channel
        self.descriptor = channel.fileno()
        self.shared = shared
        self.taken = threading.RLock()
        self.watched = False
        self.led = False
        self.closed = False
        self._followers: deque[Waiter] = deque()
        self._abandoned = abandoned

    def take(self, waiter: Waiter) -> bool:
        """Take the seat if it is free; otherwise the waiter is woken when it becomes free."""
        if not self.taken.acquire(blocking=False):
            # Registered before the second look, as the leader leaves before it looks for followers: none is overlooked.
            self._followers.append(waiter)
            if not self.taken.acquire(blocking=False):
                return False
            self._remove(waiter)
        waiter.leads = self.channel
        return True

    def try_take(self, waiter: Waiter) -> bool:
        """Take the seat if it is free, without queueing for it."""
        if not self.taken.acquire(blocking=False):
            return False
        waiter.leads = self.channel
        return True

    def leave(self, waiter: Waiter) -> None:
        """Give the seat up and pass it on."""
        waiter.leads = None
        self.led = True
        self.taken.release()
        if self._followers or not self.watched:
            self.pass_on()

    def rise(self, waiter: Waiter) -> None:
        """Leave the seat if the calling thread has it, also where an interrupt came in the middle of taking it.

        Else say that the waiter is awake: it tries to take the seat again, or calls `pass_on_if_free` before it goes.
        """
        if not self.taken._is_owned():  # type: ignore[attr-defined]
            self._remove(waiter)
            return
        # As `leave` does, without a call on the way of every message.
        waiter.leads = None
        self.led = True
        self.taken.release()
        if self._followers or not self.watched:
            self.pass_on()

    def is_free(self) -> bool:
        """Whether nobody, or the calling thread, has the seat."""
        if not self.taken.acquire(blocking=False):
            return False
        self.taken.release()
        return True

    def pass_on_if_free(self) -> None:
        """Pass on a wake-up that was meant for somebody who goes without taking the seat."""
        if self.is_free():
            self.pass_on()

    def pass_on(self) -> None:
        """Wake one follower to take the free seat; with none left, tell the caretaker."""
        if self._followers:
            # Another thread may be quicker.
            with suppress(IndexError):
                self._followers.popleft().wake()
                return
        if not self.watched and not self.closed:
            self._abandoned(self)

    def _remove(self, waiter: Waiter) -> None:
        with suppress(ValueError):
            self._followers.remove(waiter)

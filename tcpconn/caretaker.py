"""The one background thread of the blocking driver.

It reads for links that nobody is reading, runs timers, sends delayed acknowledgements, flushes bursts that a thread left
unfinished, finishes writes that a link did not take at once, and runs the callbacks that must not run under a lock. It
knows seats, descriptors and callbacks; it decides nothing. It sleeps without a timeout when there is nothing to do.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from tcpconn.logs import logger
from tcpconn.transport import BareLink
from tcpconn.waiting import Seat, Waiter, current_waiter

if TYPE_CHECKING:
    from tcpconn.carrier import Carrier
    from tcpconn.writing import LinkWriter

__all__ = ["Caretaker"]

log = logger()

TICK = 0.005
"""Seconds between looks at what is going on, while something is."""

_READ = selectors.EVENT_READ
_WRITE = selectors.EVENT_WRITE


class _Watch:
    """What to do for one descriptor."""

    __slots__ = ("on_read", "on_write")

    def __init__(self) -> None:
        self.on_read: Callable[[], object] | None = None
        self.on_write: Callable[[], object] | None = None

    @property
    def events(self) -> int:
        return (_READ if self.on_read else 0) | (_WRITE if self.on_write else 0)


class Caretaker:
    """Stands in for threads that are elsewhere; every method may be called from any thread, also with a carrier's lock held.

    `_lock` guards the set of carriers, the table of watched descriptors and the timers; it is held for moments and never while
    calling out. The lists of errands are deques, appended by any thread and emptied by the caretaker's own.
    """

    def __init__(self) -> None:
        self._carriers: weakref.WeakSet[Carrier] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._selector = selectors.DefaultSelector()
        self._watches: dict[int, _Watch] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._resting: deque[Seat] = deque()
        self._acks: deque[Carrier] = deque()
        self._flushes: deque[LinkWriter] = deque()
        self._errands: deque[Callable[[], None]] = deque()
        self._asleep = False
        self._wakes_at = 0.0
        self._flush_interval = TICK
        self._flushing = False
        self._waiter: Waiter | None = None
        self._waker, self._wake_end = socket.socketpair()
        for end in (self._waker, self._wake_end):
            end.setblocking(False)
        self._selector.register(self._waker, _READ, None)

    # -- who there is

    def add(self, carrier: Carrier) -> None:
        """Take note of a new carrier; it is forgotten with its last reference."""
        with self._lock:
            self._carriers.add(carrier)

    @property
    def carriers(self) -> list[Carrier]:
        """All carriers that live in this process."""
        with self._lock:
            return list(self._carriers)

    def after_fork(self) -> None:
        """Make a caretaker that a forked child inherited harmless: its thread and its descriptors are the parent's."""
        self._lock = threading.Lock()
        # Not closed but dropped: what is unregistered from the old one would be missing in the parent, too.
        self._selector = selectors.DefaultSelector()
        self._watches.clear()

    # -- errands, from any thread

    def do(self, errand: Callable[[], None]) -> None:
        """Run something in the caretaker's thread soon."""
        self._errands.append(errand)
        self._poke()

    def tell(self, carrier: Carrier) -> None:
        """Have a carrier tell its owner and its users what happened, outside its lock."""
        self.do(carrier.tell)

    def owe_ack(self, carrier: Carrier) -> None:
        """Have a carrier acknowledge what it received, after a moment in which more may come."""
        self._acks.append(carrier)
        self._poke_unless_ticking()

    def owe_flush(self, carrier: LinkWriter) -> None:
        """Have a carrier write what a thread left in its batch, after its `flush_interval`."""
        self._flushes.append(carrier)
        if not self._flushing or carrier.flush_interval < self._flush_interval:
            self._poke()

    def abandoned(self, seat: Seat) -> None:
        """Attend to a channel that nobody reads any more, unless somebody comes back within a tick or two."""
        seat.watched = True
        self._resting.append(seat)
        self._poke_unless_ticking()

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Call something at a time of `time.monotonic()`; it cannot be taken back, so it checks whether it still applies."""
        with self._lock:
            heapq.heappush(self._timers, (when, next(self._order), callback))
        if when < self._wakes_at:
            self._poke()

    # -- descriptors, from any thread

    def watch(self, descriptor: int, on_read: Callable[[], None]) -> None:
        """Call something, in the caretaker's thread, whenever a descriptor is readable."""
        self._change(descriptor, read=on_read)

    def unwatch(self, descriptor: int) -> None:
        """Forget a descriptor; before it is closed."""
        with self._lock:
            self._unregister(descriptor)

    def attend(self, seat: Seat) -> None:
        """Read a channel whenever something comes and nobody else reads it."""
        seat.watched = True
        self._change(seat.descriptor, seat, read=lambda: self._read(seat))

    def forget(self, seat: Seat) -> None:
        """Stop attending to a channel for good; before it is closed."""
        with self._lock:
            seat.closed = True
            self._unregister(seat.descriptor)

    def _unregister(self, descriptor: int) -> None:
        # Again if an interrupt came in its middle the last time.
        if descriptor in self._watches:
            with contextlib.suppress(KeyError):
                self._selector.unregister(descriptor)
            self._watches.pop(descriptor, None)

    def dismiss(self, link: BareLink, seat: Seat | None) -> None:
        """Stop attending to a link for good, and close it."""
        if seat is not None and not seat.shared:
            self.forget(seat)
        link.close()

    def want_write(self, carrier: LinkWriter) -> None:
        """Have a carrier go on writing as soon as its link takes more. Its lock is held."""
        seat = carrier.seat
        if seat is None:
            return

        def writable() -> None:
            if not carrier.writable():
                self._change(seat.descriptor, seat, write=None)

        self._change(seat.descriptor, seat, write=writable)

    def _change(
        self,
        descriptor: int,
        seat: Seat | None = None,
        *,
        read: Callable[[], object] | bool | None = False,
        write: Callable[[], object] | bool | None = False,
    ) -> None:
        with self._lock:
            if seat is not None and seat.closed:
                # The number may be somebody else's by now.
                return
            watch = self._watches.get(descriptor) or _Watch()
            before = watch.events
            if not isinstance(read, bool):
                watch.on_read = read
            if not isinstance(write, bool):
                watch.on_write = write
            if before and watch.events:
                if before == watch.events:
                    return
                self._selector.modify(descriptor, watch.events, watch)
            elif watch.events:
                self._selector.register(descriptor, watch.events, watch)
                self._watches[descriptor] = watch
            elif before:
                self._unregister(descriptor)
        self._poke()

    # -- the thread

    def start(self) -> None:
        """Start the thread unless it runs."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tcpconn-caretaker", daemon=True)
                self._thread.start()

    def runs_here(self) -> bool:
        """Whether the calling thread is the caretaker's."""
        return threading.current_thread() is self._thread

    def _poke(self) -> None:
        if self._asleep:
            self._asleep = False
            with contextlib.suppress(BlockingIOError):
                self._wake_end.send(b"\0")

    def _poke_unless_ticking(self) -> None:
        # While it ticks it comes by soon anyway. It has read the clock before it looked for errands, hence half a tick.
        if self._wakes_at - time.monotonic() > TICK:
            self._poke()

    def _run(self) -> None:
        self._waiter = current_waiter()
        ticked = 0.0
        while True:
            # Declared asleep before looking: whoever adds an errand after the look finds it so, and pokes.
            self._asleep = True
            try:
                self._sleep(self._timeout())
            except OSError:
                # A descriptor went bad under the selector; without this thread every connection of the process would hang.
                log.exception("the caretaker cannot wait for its descriptors")
                time.sleep(TICK)
            self._asleep = False
            self._run_errands()
            now = time.monotonic()
            self._run_timers(now)
            self._run_flushes()
            if now - ticked >= TICK:
                ticked = now
                self._run_acks()
                self._run_resting()

    def _timeout(self) -> float | None:
        # Until this is known again, whoever adds an errand pokes: none is overlooked between the looks and the sleep.
        self._wakes_at = float("inf")
        self._flushing = False
        now = time.monotonic()
        timeout = float("inf")
        with self._lock:
            if self._timers:
                timeout = self._timers[0][0] - now
        if self._errands:
            timeout = 0.0
        elif self._flushes:
            self._flush_interval = min(carrier.flush_interval for carrier in tuple(self._flushes))
            timeout = min(timeout, self._flush_interval)
            self._flushing = True
        elif self._acks or self._resting:
            timeout = min(timeout, TICK)
        self._wakes_at = now + timeout
        return None if timeout == float("inf") else max(timeout, 0.0)

    def _sleep(self, timeout: float | None) -> None:
        if timeout is not None and 0 < timeout < TICK / 2:
            # epoll rounds up to whole milliseconds, and nothing that it tells of minds waiting for so short a time.
            time.sleep(timeout)
            timeout = 0.0
        for key, events in self._selector.select(timeout):
            watch = key.data
            if watch is None:
                with contextlib.suppress(BlockingIOError):
                    self._waker.recv(4096)
                continue
            if events & _READ and watch.on_read is not None:
                self._call(watch.on_read)
            if events & _WRITE and watch.on_write is not None:
                self._call(watch.on_write)

    def _call(self, callback: Callable[[], object]) -> None:
        try:
            callback()
        except Exception:
            log.exception("the caretaker's errand failed")

    def _run_errands(self) -> None:
        for _ in range(len(self._errands)):
            self._call(self._errands.popleft())

    def _run_timers(self, now: float) -> None:
        while True:
            with self._lock:
                if not self._timers or self._timers[0][0] > now:
                    return
                callback = heapq.heappop(self._timers)[2]
            self._call(callback)

    def _run_flushes(self) -> None:
        for _ in range(len(self._flushes)):
            self._call(self._flushes.popleft().flush)

    def _run_acks(self) -> None:
        for _ in range(len(self._acks)):
            self._call(self._acks.popleft().acknowledge)

    def _run_resting(self) -> None:
        for _ in range(len(self._resting)):
            seat = self._resting.popleft()
            if seat.led:
                seat.led = False
                self._resting.append(seat)
            elif not seat.is_free():
                # Its reader sits there for long; it says when it leaves. It may have left while we looked.
                seat.watched = False
                if seat.is_free():
                    self.abandoned(seat)
            elif not seat.closed:
                self.attend(seat)

    def _read(self, seat: Seat) -> None:
        assert self._waiter is not None
        if seat.try_take(self._waiter):
            try:
                seat.channel.read(0)
            finally:
                seat.leave(self._waiter)
                seat.led = False
        else:
            self._change(seat.descriptor, seat, read=None)
            seat.led = True
            self._resting.append(seat)

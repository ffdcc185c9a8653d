"""What keeps the carriers of one event loop going: its timers, its readers and writers, and what to do when it ends.

There is one keeper a loop. When `asyncio.run` ends, sessions that are still open are closed in good order, as the blocking
flavour does when the process exits: a suspended asynchronous generator is what asyncio closes then.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, cast

from tcpconn.aio.waiting import carry_out
from tcpconn.caretaker import TICK
from tcpconn.carrier import Carrier
from tcpconn.delivering import finish
from tcpconn.lifecycle import State
from tcpconn.logs import logger
from tcpconn.process import EXIT_LIMIT
from tcpconn.transport import BareLink, Channel, LoopLink
from tcpconn.waiting import Seat
from tcpconn.writing import LinkWriter

__all__ = ["LoopKeeper", "keeper", "new_seat"]

log = logger()


class LoopKeeper:
    """Everything here is used by the loop's thread alone.

    Attributes:
        pool: the pool of those who bring none, once there is one.
        waiting: how many tasks wait for something of a connection.
        polls_left: how often in a row a task may still poll in place of waiting, before others have their turn.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.pool: object = None
        self.waiting = 0
        self.polls_left = 0
        self._carriers: weakref.WeakSet[Carrier] = weakref.WeakSet()
        self._tasks: dict[Carrier, asyncio.Task[None]] = {}
        self._going: set[asyncio.Future[None]] = set()
        self._until_the_end = self._wait_for_the_end()
        # It runs up to its `yield` without waiting, and the loop takes note of it.
        with contextlib.suppress(StopIteration):
            self._until_the_end.__anext__().send(None)

    async def _wait_for_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            _keepers.pop(self.loop, None)
            await self._finish()

    async def _finish(self) -> None:
        deadline = time.monotonic() + EXIT_LIMIT
        for carrier in list(self._carriers):
            self.give_up_unlinked(carrier, "the event loop ends")
            linger = carrier.config.linger
            left = max(deadline - time.monotonic(), 0)
            await carry_out(finish(carrier, left if linger is None else min(linger, left), "the event loop ends"))
        await self.settle()

    async def settle(self) -> None:
        """Wait until what was cancelled has ended and links that were closed are gone, which their backends bound."""
        while self._going:
            await asyncio.wait(list(self._going))

    def after_fork(self) -> None:
        """Make every connection of a loop that a forked child inherited fail there, without a word to its peer."""
        for carrier in list(self._carriers):
            carrier.after_fork()

    # -- for carriers

    def add(self, carrier: Carrier) -> None:
        """Take note of a new carrier; it is forgotten with its last reference."""
        self._carriers.add(carrier)

    def tell(self, carrier: Carrier) -> None:
        """Have a carrier tell its owner and its users what happened."""
        self.loop.call_soon(carrier.tell)

    def owe_ack(self, carrier: Carrier) -> None:
        """Have a carrier acknowledge what it received, after a moment in which more may come."""
        self.loop.call_later(TICK, carrier.acknowledge)

    def owe_flush(self, carrier: LinkWriter) -> None:
        """Have a carrier write what a burst has left, once the tasks that are ready now have had their turn."""
        self.loop.call_soon(carrier.flush)

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Call something at a time of `time.monotonic()`."""
        self.loop.call_later(max(when - time.monotonic(), 0.0), callback)

    def attend(self, seat: Seat) -> None:
        """Read a channel whenever something comes."""
        self.loop.add_reader(seat.descriptor, seat.channel.read, 0)

    def want_write(self, carrier: LinkWriter) -> None:
        """Have a carrier go on writing as soon as its link takes more."""
        seat = carrier.seat
        if seat is None:
            cast("LoopLink", carrier.link).when_writable(carrier.writable)
            return
        descriptor = seat.descriptor

        def writable() -> None:
            if not carrier.writable():
                self.loop.remove_writer(descriptor)

        self.loop.add_writer(descriptor, writable)

    def dismiss(self, link: BareLink, seat: Seat | None) -> None:
        """Stop attending to a link for good, and close it."""
        if seat is None:
            gone = cast("LoopLink", link).gone
            if not gone.done():
                self._await(gone)
        elif not seat.shared:
            self.forget(seat)
        link.close()

    def forget(self, seat: Seat) -> None:
        """Stop attending to a channel for good; before it is closed."""
        if not seat.closed:
            seat.closed = True
            self.loop.remove_reader(seat.descriptor)
            self.loop.remove_writer(seat.descriptor)

    # -- attempts to get a link

    def begin(self, carrier: Carrier, attempt: Coroutine[Any, Any, None]) -> None:
        """Run an attempt to get a link, in a task that `stop` ends."""
        task = self.loop.create_task(attempt)
        self._tasks[carrier] = task
        task.add_done_callback(lambda ended: self._tasks.pop(carrier, None) if self._tasks.get(carrier) is ended else None)

    def give_up_unlinked(self, carrier: Carrier, text: str) -> None:
        """End a session that has no link, and the attempt to get one: nobody is there for whom to wait."""
        with carrier.lock:
            if carrier.link is None and carrier.lifecycle.state is not State.CLOSED:
                lost = 0 if carrier.session is None else carrier.session.undelivered().total()
                if lost:
                    log.warning("%d messages to %s are lost: %s", lost, carrier.address, text)
                carrier.end(text)
        if carrier.link is None:
            self.stop(carrier)

    def stop(self, carrier: Carrier) -> None:
        """End a carrier's attempt to get a link, if there is one; `settle` waits for it."""
        task = self._tasks.pop(carrier, None)
        if task is not None:
            self._await(task)
            task.cancel()

    def _await(self, future: asyncio.Future[None]) -> None:
        self._going.add(future)
        future.add_done_callback(self._going.discard)


_keepers: dict[asyncio.AbstractEventLoop, LoopKeeper] = {}


def keeper() -> LoopKeeper:
    """Return the running event loop's keeper.

    Raises:
        RuntimeError: no event loop is running.
    """
    loop = asyncio.get_running_loop()
    found = _keepers.get(loop)
    if found is None:
        # Those of loops that were closed without `shutdown_asyncgens`.
        for closed in [known for known in list(_keepers) if known.is_closed()]:
            _keepers.pop(closed, None)
        found = _keepers[loop] = LoopKeeper(loop)
    return found


def _after_fork_in_child() -> None:
    """Make what a forked child inherited useless there: its loops' links are the parent's."""
    for inherited in _keepers.values():
        inherited.after_fork()
    _keepers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def new_seat(channel: Channel, *, shared: bool = False) -> Seat:
    """Return the seat of a channel that the loop reads: nobody takes it, so nobody leaves it either."""
    return Seat(channel, _nobody_leaves, shared=shared)


def _nobody_leaves(seat: Seat) -> None:
    pass

"""What the contract's tests work with: sinks that record, and the two ends of links, driven by one thread.

Nothing here waits without a deadline, and nothing reads a channel that its descriptor did not call for.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

from tcpconn.address import Address
from tcpconn.transport import Buffer, Channel, Link, LinkListener, LinkOptions, Transport

__all__ = ["LIMIT", "End", "Ends", "RecordingSink", "descriptors", "eventually", "in_thread"]

LIMIT = 20.0
"""Seconds after which a test gives up; nothing takes nearly as long unless it is broken."""

_T = TypeVar("_T")

_SHORT = 3
"""Bytes of the first of several buffers: few enough that most reads fill it."""


class RecordingSink:
    """Keeps what it is given.

    Attributes:
        data: all bytes received.
        losses: the reasons that `link_lost` was called with.
    """

    def __init__(self, buffer_size: int = 64 * 1024) -> None:
        self.data = bytearray()
        self.losses: list[Exception | None] = []
        self._buffer = bytearray(buffer_size)

    def get_buffer(self) -> bytearray:
        """Return a buffer to fill."""
        return self._buffer

    def get_buffers(self) -> tuple[memoryview, memoryview]:
        """Return two buffers to fill, the first a short one."""
        view = memoryview(self._buffer)
        return view[:_SHORT], view[_SHORT:]

    def buffer_updated(self, count: int) -> None:
        """Keep what was put into the buffer."""
        assert 0 < count <= len(self._buffer)
        self.data += memoryview(self._buffer)[:count]

    def data_received(self, data: bytes | memoryview) -> None:
        """Keep the data."""
        assert len(data) > 0
        self.data += data

    def link_lost(self, reason: Exception | None) -> None:
        """Keep the reason."""
        self.losses.append(reason)


class End:
    """One end of a link and what it has received."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.sink = RecordingSink()
        link.sink = self.sink

    @property
    def lost(self) -> bool:
        """Whether the loss of the link was reported, at least once."""
        return bool(self.sink.losses)


class Ends:
    """A listener and the ends of links to it. The thread that calls any method reads their channels."""

    def __init__(self, transport: Transport, address: Address, options: LinkOptions) -> None:
        self.transport = transport
        self.options = options
        self.listener: LinkListener = transport.listen(address, options)
        self.ends: list[End] = []

    def dial(self, address: Address | None = None) -> End:
        """Return the near end of a new link."""
        end = End(self.transport.connect(address or self.listener.address, self.options, LIMIT))
        self.ends.append(end)
        return end

    def accept(self) -> End:
        """Return the far end of a link that was dialled."""
        accepted: list[Link] = []

        def has_come() -> bool:
            link = self.listener.accept()
            if link is not None:
                accepted.append(link)
            return bool(accepted)

        self.drive(has_come, listening=True)
        end = End(accepted[0])
        self.ends.append(end)
        return end

    def join(self) -> tuple[End, End]:
        """Return both ends of a new link."""
        return self.dial(), self.accept()

    def drive(self, until: Callable[[], bool], *, listening: bool = False, limit: float = LIMIT) -> None:
        """Read whatever has come on any channel until a condition holds.

        Raises:
            AssertionError: it does not after `limit` seconds.
        """
        deadline = time.monotonic() + limit
        while not until():
            assert time.monotonic() < deadline, f"not after {limit} s; the ends are {self.ends!r}"
            self.turn(0.2, listening=listening)

    def turn(self, timeout: float, *, listening: bool = False) -> None:
        """Wait for any of the descriptors, and read the channels of those that are readable."""
        channels: dict[int, Channel] = {}
        if self.listener.channel is not None:
            channels[self.listener.channel.fileno()] = self.listener.channel
        for end in self.ends:
            if not end.lost:
                channels[end.link.channel.fileno()] = end.link.channel
        poll = select.poll()
        for descriptor in channels:
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        if listening and self.listener.fileno() >= 0:
            poll.register(self.listener.fileno(), select.POLLIN)
        for descriptor, events in poll.poll(timeout * 1000):
            if descriptor in channels and not events & select.POLLNVAL:
                channels[descriptor].read(0)

    def send(self, end: End, buffers: Sequence[Buffer]) -> None:
        """Write all of `buffers` as a user would: what the link does not take now is offered again."""
        deadline = time.monotonic() + LIMIT
        left: list[Buffer] = list(buffers)
        while left:
            taken = end.link.write(left)
            assert 0 <= taken <= sum(map(len, left))
            while left and taken >= len(left[0]):
                taken -= len(left.pop(0))
            if taken:
                left[0] = memoryview(left[0])[taken:]
            if left:
                assert time.monotonic() < deadline, "the link takes nothing"
                self.turn(0.01)

    def finish(self) -> None:
        """Close everything."""
        for end in self.ends:
            end.link.close()
        self.listener.close()

    def settle(self) -> None:
        """Close everything, and read until what the backend does in the background is done, as far as it can be seen."""
        self.finish()
        for _ in range(3):
            self.turn(0)


def in_thread(function: Callable[[], _T]) -> Future[_T]:
    """Run a function in a thread of its own, which does not keep the process from ending."""
    outcome: Future[_T] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome


def descriptors() -> int | None:
    """Return how many descriptors the process has open, or None where the system does not tell."""
    for folder in ("/proc/self/fd", "/dev/fd"):
        if os.path.isdir(folder):
            return len(os.listdir(folder))
    return None


def eventually(condition: Callable[[], bool], limit: float = LIMIT) -> None:
    """Look at a condition that nothing announces until it holds.

    Raises:
        AssertionError: it does not after `limit` seconds.
    """
    deadline = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < deadline, f"not after {limit} s"
        select.select([], [], [], 0.005)

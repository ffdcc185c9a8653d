"""A transport around another one whose links can be cut, stalled, refused and recorded from outside.

It is for backends that join two ends within one process, `memory` above all. Where bytes pass over sockets, `Relay` does the
same from outside and closer to the truth. The verbs are the same, so one test may use either.
"""

from __future__ import annotations

import errno
import socket
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import tcpconn.transport
from tcpconn.address import Address
from tcpconn.transport import Buffer, Channel, Link, LinkListener, LinkOptions, Sink, Transport

__all__ = ["FaultyLink", "FaultyTransport"]

_BUFFER_SIZE = 64 * 1024


class FaultyTransport:
    """Wraps a transport, and each of its links.

    Requires of the inner backend what `memory` and `zmq` do: its channels' `wake` makes their descriptors readable, too.

    Example:
        >>> with FaultyTransport(load_transport("memory")).installed() as faults:
        ...     listener = tcpconn.listen("here:1", backend="memory")
        ...     connection = tcpconn.connect("here:1", backend="memory")
        ...     faults.cut()  # the connection resumes over a new link

    Args:
        inner: the transport that does the work.
        record: keep what is written, in `FaultyLink.written`.

    Attributes:
        made: all links made so far, dialled and accepted, in order.
    """

    def __init__(self, inner: Transport, *, record: bool = False) -> None:
        self._inner = inner
        self._record = record
        self._lock = threading.Lock()
        self._stalled = False
        self._refusing = False
        self.made: list[FaultyLink] = []

    # -- what a test does

    @contextmanager
    def installed(self) -> Iterator[FaultyTransport]:
        """Have the library use this transport under its inner one's name, for as long as the context lasts."""
        cache = tcpconn.transport._cache
        former = cache.get(self.name)
        cache[self.name] = self
        try:
            yield self
        finally:
            self.resume()
            if former is not None:
                cache[self.name] = former
            else:
                del cache[self.name]

    @property
    def links(self) -> list[FaultyLink]:
        """The links, of both sides, that are neither cut nor closed."""
        with self._lock:
            return [link for link in self.made if link.is_up]

    def cut(self) -> int:
        """End all links and return how many there were, counting both of their ends; bytes on their way are lost."""
        live = self.links
        for link in live:
            link.cut()
        return len(live)

    def stall(self) -> None:
        """Deliver nothing until `resume`, on links that are there and on new ones; what is written is held."""
        self._stalled = True

    def resume(self) -> None:
        """Deliver again, beginning with what was held."""
        self._stalled = False
        for link in self.links:
            link.attend()

    def refuse(self) -> None:
        """Refuse further links until `accept`."""
        self._refusing = True

    def accept(self) -> None:
        """Let links be made again."""
        self._refusing = False

    @property
    def stalled(self) -> bool:
        """Whether nothing is delivered at present."""
        return self._stalled

    # -- the contract

    @property
    def name(self) -> str:
        """The inner backend's name."""
        return self._inner.name

    def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> Link:
        """Connect as the inner transport does.

        Raises:
            ConnectionRefusedError: after `refuse`.
            OSError: as the inner transport does.
        """
        if self._refusing:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"links to {address} are refused for the test")
        return self._wrap(self._inner.connect(address, options, timeout))

    def listen(self, address: Address, options: LinkOptions) -> LinkListener:
        """Listen as the inner transport does.

        Raises:
            OSError: as the inner transport does.
        """
        return _FaultyListener(self, self._inner.listen(address, options))

    def adopt(self, accepted: socket.socket, options: LinkOptions) -> Link:
        """Adopt as the inner transport does.

        Raises:
            NotImplementedError: as the inner transport does.
        """
        return self._wrap(self._inner.adopt(accepted, options))

    def _wrap(self, link: Link, channel: _FaultyChannel | None = None) -> FaultyLink:
        wrapped = FaultyLink(self, link, channel or _FaultyChannel(link.channel), record=self._record)
        with self._lock:
            self.made.append(wrapped)
        return wrapped

    def __repr__(self) -> str:
        return f"<FaultyTransport {self.name} links={len(self.links)}>"


class _FaultyChannel:
    """Reads for the links of one inner channel. Any thread appends to `_due`, the reader takes from it."""

    def __init__(self, inner: Channel) -> None:
        self._inner = inner
        self._due: deque[FaultyLink] = deque()

    def fileno(self) -> int:
        """Return the inner channel's descriptor."""
        return self._inner.fileno()

    def read(self, timeout: float | None) -> int:
        """Tell of what was done to the links, or else read."""
        count = self._settle()
        if not count:
            count = self._inner.read(timeout) + self._settle()
        return count

    def wake(self) -> None:
        """Wake the inner channel."""
        self._inner.wake()

    @property
    def has_news(self) -> bool:
        """Whether the next read will see to a link."""
        return bool(self._due)

    def attend(self, link: FaultyLink) -> None:
        """Have the next read, or the one that waits, see to a link."""
        self._due.append(link)
        self._inner.wake()

    def _settle(self) -> int:
        count = 0
        while self._due:
            count += self._due.popleft().settle()
        return count


class FaultyLink:
    """One link of a `FaultyTransport`; the sink of the link that it wraps.

    Attributes:
        written: all bytes that the inner link has taken, if they are recorded.
    """

    brief = 0

    def __init__(self, transport: FaultyTransport, inner: Link, channel: _FaultyChannel, *, record: bool) -> None:
        self.written = bytearray()
        self._transport = transport
        self._inner = inner
        self._channel = channel
        self._record = record
        self._sink: Sink | None = None
        self._buffer = bytearray()
        self._held: deque[bytes | memoryview | _Loss] = deque()
        self._cut = False
        self._lost = False
        self._closed = False

    # -- what a test does

    def cut(self) -> None:
        """End this link as if the network had: its sink hears of it at the next read, and nothing more arrives."""
        self._cut = True
        self.attend()

    @property
    def is_up(self) -> bool:
        """Whether it is neither cut nor closed."""
        return not self._cut and not self._closed

    def attend(self) -> None:
        """Have what was done to this link take effect."""
        self._channel.attend(self)

    # -- the contract

    @property
    def peer(self) -> str:
        """The inner link's peer."""
        return self._inner.peer

    @property
    def channel(self) -> Channel:
        """What to read."""
        return self._channel

    @property
    def sink(self) -> Sink:
        """Where received bytes go."""
        if self._sink is None:
            raise AttributeError("the link's sink was not set yet")
        return self._sink

    @sink.setter
    def sink(self, sink: Sink) -> None:
        first = self._sink is None
        self._sink = sink
        if first:
            self._inner.sink = self

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Write to the inner link.

        Raises:
            OSError: the link was cut, or as the inner link does.
        """
        if self._cut:
            raise BrokenPipeError(errno.EPIPE, f"the link to {self.peer} was cut by the test")
        count = self._inner.write(buffers)
        if self._record:
            self.written += b"".join(buffers)[:count]
        return count

    def wait(self, timeout: float | None, *, read: bool, write: bool) -> tuple[bool, bool]:
        """Wait as the inner link does; what was done to the link is to be read, too."""
        if read and self._channel.has_news:
            timeout = 0
        readable, writable = self._inner.wait(timeout, read=read, write=write)
        return readable or (read and self._channel.has_news), writable

    def close(self) -> None:
        """Close the inner link."""
        self._closed = True
        self._inner.close()

    # -- the sink of the inner link

    def get_buffer(self) -> bytearray:
        """Return a buffer of this link's own."""
        self._buffer = self._buffer or bytearray(_BUFFER_SIZE)
        return self._buffer

    def get_buffers(self) -> tuple[bytearray]:
        """Return a buffer of this link's own."""
        return (self.get_buffer(),)

    def buffer_updated(self, count: int) -> None:
        """Pass on or hold what was received."""
        self.data_received(bytes(memoryview(self._buffer)[:count]))

    def data_received(self, data: bytes | memoryview) -> None:
        """Pass on or hold what was received."""
        self._held.append(data)
        self.settle()

    def link_lost(self, reason: Exception | None) -> None:
        """Pass on or hold that the inner link is lost."""
        self._held.append(_Loss(reason))
        self.settle()

    def settle(self) -> int:
        """Deliver what is due, and return how many bytes that was. The reader of the channel calls this."""
        count = 0
        if self._cut and not self._lost and not self._closed:
            self._held.clear()
            self._lost = True
            text = f"the link to {self.peer} was cut by the test"
            self.sink.link_lost(ConnectionResetError(errno.ECONNRESET, text))
        while self._held and not self._transport.stalled and not self._lost and not self._closed:
            data = self._held.popleft()
            if isinstance(data, _Loss):
                self._lost = True
                self.sink.link_lost(data.reason)
            else:
                count += len(data)
                self.sink.data_received(data)
        return count

    def __repr__(self) -> str:
        state = "closed" if self._closed else "cut" if self._cut else "lost" if self._lost else "open"
        return f"<FaultyLink {state} {self._inner!r}>"


class _Loss:
    """Stands, among held data, for the end of them."""

    __slots__ = ("reason",)

    def __init__(self, reason: Exception | None) -> None:
        self.reason = reason


class _FaultyListener:
    """Wraps each link that the inner listener accepts."""

    def __init__(self, transport: FaultyTransport, inner: LinkListener) -> None:
        self._transport = transport
        self._inner = inner
        shared = inner.channel
        self._channel = None if shared is None else _FaultyChannel(shared)

    @property
    def address(self) -> Address:
        """The inner listener's address."""
        return self._inner.address

    @property
    def channel(self) -> _FaultyChannel | None:
        """The channel of all links, if they share one."""
        return self._channel

    def fileno(self) -> int:
        """Return the inner listener's descriptor."""
        return self._inner.fileno()

    def accept(self) -> Link | None:
        """Return the next link, or None.

        Raises:
            OSError: as the inner listener does.
        """
        link = self._inner.accept()
        return None if link is None else self._transport._wrap(link, self._channel)

    def close(self) -> None:
        """Close the inner listener."""
        self._inner.close()


def _conforms(transport: FaultyTransport, listener: _FaultyListener) -> tuple[Transport, LinkListener]:  # checked by mypy
    return transport, listener

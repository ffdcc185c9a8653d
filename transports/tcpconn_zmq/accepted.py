"""The accepted link: one peer of a ROUTER, which does the work for all of its links (`router`).

It holds what comes before its owner has set its sink, since a ROUTER cannot leave that in the peer's hands.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tcpconn.transport import Buffer, Sink
from tcpconn_zmq.owned import Lost
from tcpconn_zmq.parts import pack

if TYPE_CHECKING:
    from tcpconn_zmq.peers import Peer
    from tcpconn_zmq.router import RouterChannel

__all__ = ["RouterLink"]

_MAX_HELD = 16 * 1024 * 1024
"""A peer that has sent more than this before anybody has accepted it has broken every rule, and is dropped."""


class RouterLink:
    """One peer of a ROUTER. Any thread writes or closes; the reader of the channel feeds.

    Attributes:
        identity: ZeroMQ's name of the peer.
        standing_on: the connection, while it lasts; the channel's owner's.
        broken: whether writing makes no sense any more.
        ended: whether `link_lost` is in the channel's inbox or was delivered.
    """

    brief = 0

    def __init__(self, channel: RouterChannel, identity: bytes, standing_on: Peer[RouterLink] | None) -> None:
        self.identity = identity
        self.standing_on = standing_on
        self.broken = False
        self.ended = False
        self._channel = channel
        self._peer = standing_on.name if standing_on is not None else str(channel.address)
        self._pid = os.getpid()
        self._closed = False
        self._sink: Sink | None = None
        self._held: deque[bytes | memoryview | Lost] = deque()
        self._held_bytes = 0

    @property
    def peer(self) -> str:
        """The address that the peer has dialled from."""
        return self._peer

    @property
    def channel(self) -> RouterChannel:
        """The channel of all links of this listener."""
        return self._channel

    @property
    def sink(self) -> Sink:
        """Where received bytes go. May be set beside a read; what came before is delivered by the reader, in order."""
        if self._sink is None:
            raise AttributeError("the link's sink was not set yet")
        return self._sink

    @sink.setter
    def sink(self, sink: Sink) -> None:
        self._sink = sink
        if self._held:  # `feed` looks for a sink after it has added to what is held, so one of the two sees it
            self._channel.attend(self)

    def feed(self, data: bytes | memoryview | Lost | None) -> int:
        """Pass data on to the sink, or keep them until there is one; None delivers what was kept. Return the bytes passed."""
        if self._closed:
            self._held.clear()
            return 0
        if data is not None:
            sink = self._sink
            if sink is not None and not self._held:
                return self._pass_on(sink, data)
            self._held.append(data)
            self._held_bytes += 0 if isinstance(data, Lost) else len(data)
            if self._sink is None and self._held_bytes > _MAX_HELD:
                self.close()
        count = 0
        while self._sink is not None and self._held and not self._closed:
            count += self._pass_on(self._sink, self._held.popleft())
        return count

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Take all of `buffers` and return how many bytes they are.

        Raises:
            OSError: the link is lost or closed.
        """
        if self._closed:
            raise OSError(errno.EBADF, f"the link to {self._peer} is closed")
        total = 0
        if not self.broken:
            total, messages = pack(buffers)
            for message in messages:
                self._channel.post((self, message))
        if self.broken:
            raise BrokenPipeError(errno.EPIPE, f"the link to {self._peer} is lost")
        return total

    def wait(self, timeout: float | None, *, read: bool, write: bool) -> tuple[bool, bool]:
        """Wait until the channel may be read; the link may always be written."""
        if write:
            return read and self._channel.wait_readable(0), True
        return (self._channel.wait_readable(timeout) if read else False), False

    def close(self) -> None:
        """Say goodbye and drop the peer: see `router`."""
        # A forked child has no part in its parent's sockets.
        if self.end() and self._pid == os.getpid():
            self._channel.post((self, None))

    def end(self) -> bool:
        """Take and deliver nothing any more; say whether that is new, so that the peer is to be told."""
        closed, self._closed = self._closed, True
        return not closed

    @staticmethod
    def _pass_on(sink: Sink, data: bytes | memoryview | Lost) -> int:
        if isinstance(data, Lost):
            sink.link_lost(data.reason)
            return 0
        sink.data_received(data)
        return len(data)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "lost" if self.broken else "open"
        return f"<RouterLink {state} from {self._peer}>"

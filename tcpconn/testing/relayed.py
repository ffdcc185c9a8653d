"""One link of a relay: two sockets and what is under way between them, for each direction a bounded buffer.

The relay's thread alone uses it. It knows sockets and readiness, and nothing of the relay.
"""

from __future__ import annotations

import errno
import selectors
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress

from tcpconn.address import Address

__all__ = ["BUFFER_SIZE", "Flow", "RelayedLink"]

BUFFER_SIZE = 64 * 1024

_NO_LINGER = struct.pack("ii", 1, 0)
_CONNECTING = (errno.EINPROGRESS, errno.EWOULDBLOCK)


class Flow:
    """One direction.

    Attributes:
        held: read from the source and not yet written to the destination.
        count: bytes that were written to the destination.
        ended: the source has said that nothing more will come.
        finished: the destination has been told.
        piece, interval: the most bytes for one write, or None, and the seconds between two.
        due: when the next one may be, by `time.monotonic()`.
        budget: bytes that may still pass before the link is cut, or None.
        spoil: bytes that pass before one that is changed, or None.
    """

    def __init__(self, source: socket.socket, destination: socket.socket, size: int) -> None:
        self.source = source
        self.destination = destination
        self.held = bytearray()
        self.count = 0
        self.ended = False
        self.finished = False
        self.piece: int | None = None
        self.interval = 0.0
        self.due = 0.0
        self.budget: int | None = None
        self.spoil: int | None = None
        self._size = size

    @property
    def has_room(self) -> bool:
        """Whether the source is to be read."""
        return not self.ended and len(self.held) < self._size

    def fill(self) -> None:
        """Read what the source has, as far as there is room.

        Raises:
            OSError: the source is broken.
        """
        with suppress(BlockingIOError):
            data = self.source.recv(self._size - len(self.held))
            self.held += data
            self.ended = not data

    def drain(self) -> None:
        """Write to the destination what it takes and what may pass now.

        Raises:
            OSError: the destination is broken.
        """
        if self.may_write:
            self._spoil()
            most = min(len(self.held) if most is None else most for most in (self.piece, self.budget))
            with suppress(BlockingIOError):
                count = self.destination.send(self.held[:most])
                del self.held[:count]
                self._passed(count)
        if self.ended and not self.held and not self.finished:
            self.finished = True
            self.destination.shutdown(socket.SHUT_WR)

    @property
    def may_write(self) -> bool:
        """Whether there is something that may pass now."""
        return bool(self.held) and self.budget != 0 and (not self.interval or time.monotonic() >= self.due)

    def _spoil(self) -> None:
        if self.spoil is not None and self.spoil < len(self.held):
            self.held[self.spoil] ^= 0xFF
            self.spoil = None

    def _passed(self, count: int) -> None:
        self.count += count
        if self.interval:
            self.due = time.monotonic() + self.interval
        if self.budget is not None:
            self.budget -= count
        if self.spoil is not None:
            self.spoil -= count


class RelayedLink:
    """A client's socket and the one to the target.

    Attributes:
        cut_off: it was cut, and only waits for its ends to notice.
        over: it is to be closed.
        cut_by_reset: how it is cut when a flow's budget is used up.
    """

    def __init__(self, client: socket.socket, target: Address, buffer_size: int) -> None:
        family = socket.AF_UNIX if target.path is not None else socket.AF_INET6 if ":" in target.host else socket.AF_INET
        self._client = client
        self._server = socket.socket(family, socket.SOCK_STREAM)
        self.cut_off = False
        self.over = False
        self.cut_by_reset = False
        self.to_target = Flow(client, self._server, buffer_size)
        self.to_client = Flow(self._server, client, buffer_size)
        for end in (client, self._server):
            end.setblocking(False)
            if end.family != socket.AF_UNIX:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        where = target.path if target.path is not None else (target.host, target.port)
        outcome = self._server.connect_ex(where)
        self._connecting = outcome in _CONNECTING
        if outcome and not self._connecting:
            self._break()

    def interests(self, *, stalled: bool) -> Iterator[tuple[socket.socket, int]]:
        """Yield both sockets, each with the events to wait for."""
        if self.over:
            yield self._client, 0
            yield self._server, 0
        elif self.cut_off:
            yield self._client, 0 if self.to_target.ended else selectors.EVENT_READ
            yield self._server, 0 if self.to_client.ended else selectors.EVENT_READ
        elif stalled:
            yield self._client, 0
            yield self._server, 0
        elif self._connecting:
            yield self._client, 0
            yield self._server, selectors.EVENT_WRITE
        else:
            for own, out, back in (
                (self._client, self.to_target, self.to_client),
                (self._server, self.to_client, self.to_target),
            ):
                yield own, (selectors.EVENT_READ if out.has_room else 0) | (selectors.EVENT_WRITE if back.may_write else 0)

    def ready(self, which: object, events: int) -> None:
        """Do what one of the sockets is ready for."""
        if self.over:
            return
        if self.cut_off:
            self._discard(self.to_target if which is self._client else self.to_client)
            return
        try:
            if self._connecting:
                self._connecting = False
                failure = self._server.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if failure:
                    self._break()
                return
            out, back = (self.to_target, self.to_client) if which is self._client else (self.to_client, self.to_target)
            if events & selectors.EVENT_READ and out.has_room:
                out.fill()
            for flow in (out, back):
                flow.drain()
        except OSError:
            self._break()
        else:
            self.over = self.to_target.finished and self.to_client.finished
            if out.budget == 0 or back.budget == 0:
                self.cut(reset=self.cut_by_reset)

    @property
    def due(self) -> float | None:
        """When something may pass that has to wait for its time; None if nothing has."""
        if self.cut_off or self.over or self._connecting:
            return None
        waiting = [flow.due for flow in (self.to_target, self.to_client) if flow.interval and flow.held]
        return min(waiting, default=None)

    def cut(self, *, reset: bool) -> None:
        """End both connections and drop what is held; see `Relay.cut`."""
        if reset or (self._connecting and not self._has_connected()):
            self._break()
            return
        self.cut_off = True
        for flow in (self.to_target, self.to_client):
            flow.held.clear()
            with suppress(OSError):
                flow.destination.shutdown(socket.SHUT_WR)
        # Not closed yet: whatever an end has still to say is discarded, as the unread bytes would make a reset of it.

    def _has_connected(self) -> bool:
        """Whether the target has accepted, though nobody has looked since; a stalled relay does not."""
        try:
            self._server.getpeername()
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Release both sockets."""
        self._client.close()
        self._server.close()

    def _discard(self, flow: Flow) -> None:
        try:
            flow.ended = not flow.source.recv(BUFFER_SIZE)
        except BlockingIOError:
            return
        except OSError:
            flow.ended = True
        self.over = self.to_target.ended and self.to_client.ended

    def _break(self) -> None:
        """Reset both connections: an end that has broken off, or a target that refuses, is felt at the other."""
        self.over = True
        for end in (self._client, self._server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)

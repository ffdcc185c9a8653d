"""Streams over one session: opening, closing, and what the peer says about them.

Sans-I/O: it knows frames and streams; it knows nothing of links, replay, threads or time. Whoever owns the session guards
every call. `outbox.py` is its sending half, `inbox.py` its receiving half, and `receiver.py` feeds it what arrives.

Credit works on two levels, both in bytes of DATA frames, headers included, so that no number of empty messages is free:
per stream, so that a slow reader stops its own sender only, and over all streams of the session, which bounds memory.

A stream stays in the table until each end has sent its last frame, CLOSE or reset. Whoever gets a reset and has not sent
CLOSE yet answers with it; so both ends forget the stream at the same place in the order of frames, and a DATA frame for an
unknown stream is always the peer's fault.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tcpconn import frames
from tcpconn.demands import Demands
from tcpconn.errors import (
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    ProtocolError,
    TcpconnError,
)
from tcpconn.frames import Code, Hello
from tcpconn.inbox import Inbox
from tcpconn.outbox import Outbox
from tcpconn.stream import Stream

__all__ = ["Multiplexer"]

_AWAITING_REFUSAL = 1024
"""How many streams beyond `max_streams` may be open, refused and not yet closed by the peer, before that is an attack."""


_HIGHEST_NUMBER = 2**32 - 1


class Multiplexer:
    """All streams of one session.

    Args:
        client: whether this end dialled; it decides the parity of stream numbers.
        accepts: whether the peer may open streams.
        ours: the limits that this end announced.
        theirs: the limits that the peer announced.
        chunk_size: bytes of a message in one DATA frame when several streams have something to send.
        peer: the peer's address, for error texts.

    Attributes:
        outbox: the sending half; `inbox`: the receiving half, whose `take`, `take_piece` and `put_back` are here, too.
        streams: what is open, by number.
        names: this end's open ids; `peer_names`: those that the peer opened.
        opened: streams that the peer has opened since the driver last looked.
        woken: streams whose waiters have reason to look again.
        going_away: why no new streams may be opened, or None.
        demands: what the peer asks for that costs it nothing.
    """

    def __init__(self, *, client: bool, accepts: bool, ours: Hello, theirs: Hello, chunk_size: int, peer: str) -> None:
        self.peer = peer
        self.ours = ours
        self.theirs = theirs
        self.accepts = accepts
        self.streams: dict[int, Stream] = {}
        self.names: dict[str | bytes, Stream] = {}
        self.peer_names: dict[str | bytes, Stream] = {}
        self.opened: list[Stream] = []
        self.woken: list[Stream] = []
        self.outbox = Outbox(theirs, chunk_size, peer, self.woken, self._sent_end)
        self.inbox = Inbox(ours, self.outbox, peer, self.woken)
        self.take = self.inbox.take
        self.take_piece = self.inbox.take_piece
        self.put_back = self.inbox.put_back
        self.going_away: str | None = None
        self.demands = Demands(ours.max_streams)
        self._next_number = 1 if client else 2
        self._last_peer_number = 0
        self._opened = 0
        self._peer_opened = 0

    # -- opening and closing

    def open(self, name: str | bytes, metadata: Mapping[str, Any] | None = None) -> Stream:
        """Open a stream under a logical id.

        Raises:
            ConnectError: the id is open already, the peer is going away, or it allows no more streams.
            ValueError: the metadata is too large.
        """
        if self.going_away is not None:
            raise ConnectError(f"{self.peer} takes no new connections: {self.going_away}")
        if self.exhausted:
            raise ConnectError(f"the session with {self.peer} has used up its stream numbers; a new one is needed")
        if (other := self.names.get(name)) is not None:
            state = "still sending what was sent before it was closed" if other.discarding else "open already"
            raise ConnectError(
                f"id {name!r} is {state} in this process's session with {self.peer}; close that one or use another id"
            )
        # Counted as the peer counts them: a stream is open until both ends have closed it.
        if self._opened >= self.theirs.max_streams:
            raise ConnectError(
                f"{self.peer} allows {self.theirs.max_streams} connections on one link and they are all open; "
                "raise max_streams there, or close some at both ends"
            )
        number = self._next_number
        frame = frames.open_stream(number, name, metadata)
        self._next_number += 2
        self._opened += 1
        stream = Stream(number, name, dict(metadata or {}), send_credit=self.theirs.credit, window=self.ours.credit)
        self.streams[number] = stream
        self.names[name] = stream
        self.outbox.emit(frame)
        return stream

    @property
    def exhausted(self) -> bool:
        """Whether no stream can be opened any more, since a number is never used again."""
        return self._next_number > _HIGHEST_NUMBER

    def close_sending(self, stream: Stream) -> None:
        """Say that nothing more comes from this end, after what was accepted already; receiving goes on."""
        if stream.closing or stream.sent_end:
            return
        stream.closing = True
        stream.send_failure = _failure(ConnectionClosed, f"id {stream.name!r} to {self.peer}: this end has closed it")
        if not stream.sendq and not stream.held:
            self.outbox.emit_close(stream)
        self._notify(stream)

    def close(self, stream: Stream) -> None:
        """End the connection for this end: what was accepted is still sent, what arrives from now on is dropped."""
        self.close_sending(stream)
        if not stream.discarding:
            stream.discarding = True
            text = f"id {stream.name!r} to {self.peer}: this end has closed it"
            stream.receive_failure = _failure(ConnectionClosed, text)
            self.inbox.drop(stream)
            if stream.sent_end:
                self._forget_name(stream)
            self._notify(stream)

    def reset(self, stream: Stream, code: Code, text: str) -> None:
        """End both directions at once and tell the peer why; what was not framed yet is not sent."""
        text_here = f"id {stream.name!r} to {self.peer}: {text}"
        failure = _failure(ConnectionLost, text_here)
        if not stream.sent_end:
            self.outbox.abandon(stream)
            # What was said of an end before stays: it may count more that is lost.
            stream.send_failure = stream.send_failure or _lost(text_here, stream.abandoned)
        if not stream.reset_sent and not (stream.sent_end and stream.got_end):
            stream.reset_sent = stream.sent_end = True
            self.outbox.emit(frames.reset(stream.number, code, text))
            self.outbox.batch_ends += self._is_peers(stream.number)
        if not stream.discarding:
            stream.discarding = True
            stream.receive_failure = stream.receive_failure or failure
            self.inbox.drop(stream)
        self._forget_name(stream)
        self._notify(stream)
        self._forget_if_over(stream)

    def _sent_end(self, stream: Stream) -> None:
        self.outbox.batch_ends += self._is_peers(stream.number)
        if stream.discarding:
            # Only now: to the peer an id is in use until it has read the CLOSE.
            self._forget_name(stream)
        self._forget_if_over(stream)

    def _forget_if_over(self, stream: Stream) -> None:
        if stream.sent_end and stream.got_end and self.streams.pop(stream.number, None) is not None:
            if self._is_peers(stream.number):
                self._peer_opened -= 1
            else:
                self._opened -= 1
            self._forget_name(stream)

    def _forget_name(self, stream: Stream) -> None:
        for names in (self.names, self.peer_names):
            if names.get(stream.name) is stream:
                del names[stream.name]

    def _is_peers(self, number: int) -> bool:
        return number % 2 != self._next_number % 2

    def was_open(self, number: int) -> bool:
        """Whether a stream of this number is or was open."""
        return 0 < number <= (self._last_peer_number if self._is_peers(number) else self._next_number - 2)

    # -- what the peer says

    def peer_opened(self, number: int, body: bytes) -> None:
        """Take an OPEN.

        Raises:
            ProtocolError: the number is not the peer's to use or was used before, or it goes on opening streams that it
                was told it may not open.
        """
        if not self._is_peers(number) or number <= self._last_peer_number:
            raise ProtocolError(
                f"{self.peer} opened stream {number} after {self._last_peer_number}: not a fresh number of its own"
            )
        if self._peer_opened >= self.ours.max_streams + _AWAITING_REFUSAL:
            raise ProtocolError(
                f"{self.peer} opens more than the {self.ours.max_streams} connections of one link (max_streams) "
                "and does not listen to refusals"
            )
        name, metadata = frames.decode_open(body)
        self.demands.note_opened()
        self._last_peer_number = number
        stream = Stream(number, name, metadata, send_credit=self.theirs.credit, window=self.ours.credit)
        self.streams[number] = stream
        self._peer_opened += 1
        if not self.accepts:
            self.reset(stream, Code.REFUSED, "nobody listens for connections at this end")
        elif self.going_away is not None:
            self.reset(stream, Code.REFUSED, f"going away: {self.going_away}")
        elif name in self.peer_names:
            self.reset(stream, Code.DUPLICATE_ID, f"the id {name!r} is open already in this session")
        elif self._peer_opened > self.ours.max_streams:
            text = f"all {self.ours.max_streams} connections of this link (max_streams) are open"
            self.reset(stream, Code.REFUSED, text)
        else:
            self.peer_names[name] = stream
            self.opened.append(stream)

    def peer_closed(self, number: int, flags: int, body: bytes) -> None:
        """Take a CLOSE or a reset.

        Raises:
            ProtocolError: no such stream is open in that direction, or a message was under way.
        """
        stream = self.streams.get(number)
        if stream is None or (stream.got_end and not flags & frames.RESET):
            if flags & frames.RESET and self.was_open(number):
                self.demands.note_idle()
                return
            raise ProtocolError(f"{self.peer} closed stream {number}, which it does not have open")
        stream.got_end = True
        stream.window = 0
        if flags & frames.RESET:
            self._peer_reset(stream, *frames.decode_reason(body))
        else:
            if stream.assembly is not None or stream.incoming is not None:
                raise ProtocolError(f"{self.peer} closed stream {number} in the middle of a message")
            text = f"id {stream.name!r}: {self.peer} has closed it"
            stream.receive_failure = stream.receive_failure or _failure(ConnectionClosed, text)
        if self.peer_names.get(stream.name) is stream:
            del self.peer_names[stream.name]
        self._notify(stream)
        self._forget_if_over(stream)

    def _peer_reset(self, stream: Stream, code: int, text: str) -> None:
        kind: type[TcpconnError] = ConnectionLost
        if code == Code.CLOSED:
            kind = ConnectionClosed
        elif code in (Code.REFUSED, Code.DUPLICATE_ID):
            kind = ConnectError
        text = f"id {stream.name!r}: {self.peer} ended it: {text or Code.describe(code)}"
        failure = _failure(kind, text)
        stream.receive_failure = stream.receive_failure or failure
        self.inbox.drop_message(stream)
        if not stream.sent_end:
            self.outbox.abandon(stream)
            # An end in good order is a loss to whoever has sent what is not delivered.
            stream.send_failure = _lost(text, stream.abandoned) if stream.abandoned else failure
            self.outbox.emit_close(stream)

    def granted(self, number: int, count: int) -> None:
        """Take a CREDIT; for a stream that has ended it means nothing any more.

        Raises:
            ProtocolError: the number was never in use, or the credit exceeds what was announced.
        """
        if not count:
            self.demands.note_idle()
        if number == 0:
            self.outbox.granted_to_all(count)
        elif (stream := self.streams.get(number)) is not None:
            self.outbox.granted(stream, count)
        elif not self.was_open(number):
            raise ProtocolError(f"{self.peer} granted credit on stream {number}, which was never open")

    def _notify(self, stream: Stream) -> None:
        if stream.waiters:
            self.woken.append(stream)

    def fail(self, make: Callable[[Stream], Callable[[], TcpconnError]]) -> None:
        """End every stream for good; `make` gives the error of each."""
        for stream in self.streams.values():
            failure = make(stream)
            if not stream.discarding:
                stream.send_failure = failure
                stream.receive_failure = stream.receive_failure or failure
            stream.sendq = ()
            self._notify(stream)


def _failure(kind: type[TcpconnError], text: str) -> Callable[[], TcpconnError]:
    return lambda: kind(text)


def _lost(text: str, undelivered: int) -> Callable[[], TcpconnError]:
    where = f"{text}; undelivered messages: {undelivered}" if undelivered else text
    return lambda: ConnectionLost(where, undelivered)

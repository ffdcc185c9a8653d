"""The sending half of the multiplexer: accepting messages, chunking, credit, fair scheduling, batches to write.

Sans-I/O; it knows streams' sending state and frames. A frame is made only when its stream and the session both have credit
for it. A message that fits one frame is accepted whole or not at all; a longer one is accepted whole as soon as its stream
has nothing else under way, and cut up lazily, so that a small message of another stream never waits behind all of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tcpconn import frames
from tcpconn.errors import MessageTooLarge, ProtocolError
from tcpconn.frames import FIRST, HEADER_SIZE, LAST, UNKNOWN_TOTAL, Frame, Hello
from tcpconn.runs import frame_run, select_run
from tcpconn.stream import Outgoing, Piece, Stream

__all__ = ["BATCH_BYTES", "LONE_BATCH_BYTES", "TURN_BYTES", "Outbox"]

BATCH_BYTES = 64 * 1024
"""How much is framed ahead of a write, in bytes; more would make a small message wait behind a large one."""

LONE_BATCH_BYTES = 1 << 20
"""The same while one stream alone has something to send, and nobody to wait behind it."""

TURN_BYTES = 16 * 1024
"""How much a stream frames of small messages before it is another's turn, in bytes. One message of each in turn would be no
fairer beside chunks of 64 KiB, and the peer takes messages apart faster that come in rows (0.1 µs in place of 0.6)."""

GATHERED = 4096
"""From about this length on, in bytes, messages are not joined but gathered by the link, whose cost is by the call."""

GATHERED_BATCH_BYTES = 256 * 1024
"""How much of such messages of one stream, sent together, goes into a batch, in bytes."""

_pack_header = frames.HEADER.pack
_U64 = 8
_FIRST_LAST = FIRST | LAST


class Outbox:
    """What one session has to send.

    Args:
        theirs: the limits that the peer announced.
        chunk_size: bytes of a message in one DATA frame when several streams have something to send.
        peer: the peer's address, for error texts.
        woken: where to put streams whose waiters have reason to look again.
        on_end: called with a stream when its last frame has been made.

    Attributes:
        batch: buffers to write, header and body in turn, two for each frame.
        batch_bytes, batch_frames: its size.
        batch_ends: how many frames of it end a stream that the peer has opened; the multiplexer counts them.
        urgent: something was framed that the peer waits for; the batch should be written soon.
        ring: streams that have something to frame, in the order of their turns.
        credit: bytes that the peer lets all streams together send.
        under_way: a change of the engine's state in several steps has begun and not ended. Still set when the next begins, it
            says that an interrupt has left the state half changed. What has all its steps in a row, without a call between
            them, needs no such mark: only after calls and in loops do signals' handlers run.
    """

    def __init__(
        self, theirs: Hello, chunk_size: int, peer: str, woken: list[Stream], on_end: Callable[[Stream], None]
    ) -> None:
        self.peer = peer
        self.batch: list[bytes | memoryview] = []
        self.batch_bytes = 0
        self.batch_frames = 0
        self.batch_ends = 0
        self.urgent = False
        self.under_way = False
        self.credit = theirs.session_credit
        self._usual = 1024
        self._theirs = theirs
        self._woken = woken
        self._on_end = on_end
        self.ring: deque[Stream] = deque()
        # A dict for its order: a set's would depend on where in memory the streams lie.
        self._starved: dict[Stream, None] = {}
        # A frame must fit into half a window: the receiver grants anew when half of it was consumed, not earlier.
        half_window = min(theirs.credit, theirs.session_credit) // 2
        self.frame_limit = min(chunk_size, theirs.max_chunk - _U64, half_window - HEADER_SIZE - _U64)
        self._whole_limit = min(self.frame_limit, theirs.max_message)
        # Alone a long message goes in chunks of which several fit into the window, its last half window in one.
        self._lone_limit = max(min(theirs.max_chunk - _U64, half_window // 2 - HEADER_SIZE - _U64), self.frame_limit)
        self._lone_rest = max(min(theirs.max_chunk - _U64, half_window - HEADER_SIZE - _U64), self.frame_limit)

    def send(self, stream: Stream, payload: bytes) -> bool:
        """Accept a message, or return False if it has to wait for credit; then nothing of it was taken.

        Raises:
            MessageTooLarge: the peer does not take a message of this length.
            ConnectionClosed, ConnectionLost, ConnectError: the stream has ended.
        """
        length = len(payload)
        cost = length + HEADER_SIZE
        if length <= self._whole_limit:
            if stream.send_credit < cost or stream.held or self.credit < cost or stream.send_failure is not None:
                return self._refuse(stream)
            header = _pack_header(2, _FIRST_LAST, 0, stream.number, length)
            stream.send_credit -= cost
            self.credit -= cost
            stream.messages_sent += 1
            if self.ring or self.batch_bytes >= BATCH_BYTES:
                self.under_way = True
                stream.enqueue(payload)
                self._enter_ring(stream)
                self.under_way = False
            else:
                self.batch += (header, payload)
                self.batch_bytes += cost
                self.batch_frames += 1
            return True
        if length > self._theirs.max_message:
            raise MessageTooLarge(
                f"id {stream.name!r} to {self.peer}: a message of {length} bytes is longer than the {self._theirs.max_message} "
                "that the peer takes (its max_message); raise it there, or use send_stream()"
            )
        if stream.send_failure is not None or stream.held or stream.send_credit < self.frame_limit:
            return self._refuse(stream)
        self.under_way = True
        stream.held = True
        stream.messages_sent += 1
        stream.sent_apart += cost
        stream.enqueue(Outgoing(payload))
        self._enter_ring(stream)
        self.under_way = False
        return True

    def send_run(self, stream: Stream, payloads: Sequence[object], start: int) -> int:
        """Accept messages from index `start` on that fit one frame each, until the batch is large enough to be written.

        Returns:
            The index of the first one that was not accepted: it is no `bytes`, long, without credit, or has to wait its turn.
        """
        blocked = self.ring or stream.held or stream.send_failure is not None or self.batch_bytes >= BATCH_BYTES
        if blocked or start >= len(payloads):
            return start
        room = min(stream.send_credit, self.credit)
        run, size = select_run(
            payloads,
            start,
            usual=self._usual,
            longest=self._whole_limit,
            size=(BATCH_BYTES if self._usual < GATHERED else GATHERED_BATCH_BYTES) - self.batch_bytes,
            room=room,
        )
        if not run:
            return start
        count = len(run)
        self._usual = size // count - HEADER_SIZE
        self.batch += frame_run(stream.number, run)
        stream.send_credit -= size
        self.credit -= size
        self.batch_bytes += size
        self.batch_frames += count
        stream.messages_sent += count
        return start + count

    def may_send(self, stream: Stream, length: int) -> bool:
        """Whether `send` of a message of `length` bytes would accept it now, or raise."""
        if stream.send_failure is not None:
            return True
        if length > self.frame_limit:
            return not stream.held and stream.send_credit >= self.frame_limit
        return not stream.held and self.may_step(stream, length)

    def may_step(self, stream: Stream, length: int) -> bool:
        """Whether there is credit for a chunk of `length` bytes, or sending would raise."""
        if stream.send_failure is not None:
            return True
        cost = length + HEADER_SIZE
        return stream.send_credit >= cost and self.credit >= cost

    def _refuse(self, stream: Stream) -> bool:
        if stream.send_failure is not None:
            raise stream.send_failure()
        # Whatever it lacks now, it may be the session's credit by the time that it has got the rest.
        self._starved[stream] = None
        return False

    def begin_message(self, stream: Stream) -> bool:
        """Begin a message of unknown total; False if it has to wait. Until `end_message` nothing else is sent on the stream.

        Raises:
            ConnectionClosed, ConnectionLost, ConnectError: the stream has ended.
        """
        if stream.send_failure is not None or stream.held or not self._take_credit(stream, _U64):
            return self._refuse(stream)
        stream.held = True
        self._send_piece(stream, FIRST, frames.U64.pack(UNKNOWN_TOTAL))
        return True

    def send_chunk(self, stream: Stream, chunk: bytes) -> bool:
        """Send a chunk, at most `frame_limit` bytes, of the message that was begun; False if it has to wait for credit.

        Raises:
            ConnectionClosed, ConnectionLost, ConnectError: the stream has ended; reset it, lest the peer wait for the rest.
        """
        if stream.send_failure is not None or not self._take_credit(stream, len(chunk)):
            return self._refuse(stream)
        stream.sent_apart += len(chunk)
        self._send_piece(stream, 0, chunk)
        return True

    def end_message(self, stream: Stream) -> bool:
        """End the message that was begun; False if it has to wait for credit.

        Raises:
            ConnectionClosed, ConnectionLost, ConnectError: as for `send_chunk`.
        """
        if stream.send_failure is not None or not self._take_credit(stream, 0):
            return self._refuse(stream)
        stream.messages_sent += 1
        stream.sent_apart += HEADER_SIZE
        stream.held = False
        self._send_piece(stream, LAST, b"")
        self._notify(stream)
        return True

    def _send_piece(self, stream: Stream, flags: int, body: bytes) -> None:
        # Behind what the stream has in the ring already, and in turn with other streams.
        if self.ring or self.batch_bytes >= BATCH_BYTES:
            stream.enqueue(Piece(flags, body))
            self._enter_ring(stream)
        else:
            self._emit_data(stream, flags, body)
        self.under_way = False

    def _take_credit(self, stream: Stream, length: int) -> bool:
        cost = length + HEADER_SIZE
        if stream.send_credit < cost or self.credit < cost:
            return False
        self.under_way = True
        stream.send_credit -= cost
        stream.sent_apart -= cost
        self.credit -= cost
        return True

    def _emit_data(self, stream: Stream, flags: int, body: bytes | memoryview) -> None:
        self.batch += (_pack_header(2, flags, 0, stream.number, len(body)), body)
        self.batch_bytes += len(body) + HEADER_SIZE
        self.batch_frames += 1

    def emit(self, frame: Frame) -> None:
        """Put a sequenced frame into the batch."""
        size = len(frame.body)
        self.batch += (_pack_header(frame.type, frame.flags, 0, frame.stream, size), frame.body)
        self.batch_bytes += size + HEADER_SIZE
        self.batch_frames += 1
        self.urgent = True

    def _enter_ring(self, stream: Stream) -> None:
        if not stream.in_ring:
            stream.in_ring = True
            self.ring.append(stream)

    def fill(self) -> None:
        """Frame what waits, one chunk of each stream in turn, until the batch is large enough to be written."""
        ring = self.ring
        self.under_way = True
        while ring and self.batch_bytes < (BATCH_BYTES if len(ring) > 1 else LONE_BATCH_BYTES):
            stream = ring.popleft()
            if self._frame_next(stream):
                ring.append(stream)
            else:
                stream.in_ring = False
        self.under_way = False

    def _frame_next(self, stream: Stream) -> bool:
        sendq = stream.sendq
        if not isinstance(sendq, deque):
            return False
        item = sendq[0]
        if type(item) is bytes:
            self._frame_run(stream, sendq)
        elif type(item) is Piece:
            self._emit_data(stream, item.flags, item.body)
            sendq.popleft()
        else:
            assert isinstance(item, Outgoing)
            if not self._frame_chunk(stream, item):
                return False
            if item.offset < item.total:
                return True
            sendq.popleft()
            stream.held = False
            self._notify(stream)
        if sendq:
            return True
        stream.sendq = ()
        # In the middle of a message of unknown total there is no end in good order: whoever sends it resets the stream.
        if stream.closing and not stream.held:
            self.emit_close(stream)
        return False

    def _frame_run(self, stream: Stream, sendq: deque[Any]) -> None:
        run: list[bytes] = []
        size = 0
        # Their credit was taken when they were accepted.
        while sendq and size < TURN_BYTES and type(item := sendq[0]) is bytes:
            run.append(item)
            size += len(item) + HEADER_SIZE
            sendq.popleft()
        self.batch += frame_run(stream.number, run)
        self.batch_bytes += size
        self.batch_frames += len(run)

    def _frame_chunk(self, stream: Stream, item: Outgoing) -> bool:
        rest = item.total - item.offset
        limit = self.frame_limit if self.ring else self._lone_limit if rest > self._lone_rest else self._lone_rest
        # No crumbs: a chunk goes when there is credit for a whole one of the usual size.
        least = min(rest, self.frame_limit) + _U64
        credit = min(stream.send_credit, self.credit) - HEADER_SIZE
        if credit < least:
            if self.credit - HEADER_SIZE < least:
                self._starved[stream] = None
            return False
        size = min(rest, limit, credit - _U64)
        last = size == rest
        chunk = item.view[item.offset : item.offset + size]
        item.offset += size
        if item.started or last:
            self._take_credit(stream, size)
            self._emit_data(stream, (0 if item.started else FIRST) | (LAST if last else 0), chunk)
            item.started = True
            return True
        item.started = True
        self._take_credit(stream, size + _U64)
        # The total and the first chunk are one frame in two buffers: the total rides in the header's buffer.
        header = _pack_header(2, FIRST, 0, stream.number, size + _U64) + frames.U64.pack(item.total)
        self.batch += (header, chunk)
        self.batch_bytes += size + HEADER_SIZE + _U64
        self.batch_frames += 1
        return True

    @property
    def backlogged(self) -> bool:
        """Whether a stream waits for its turn to be framed."""
        return bool(self.ring)

    @property
    def has_output(self) -> bool:
        """Whether `fill` and `batch` would give something to write."""
        return bool(self.batch or self.ring)

    def emit_close(self, stream: Stream) -> None:
        """Frame the CLOSE of a stream; nothing more is framed for it."""
        stream.sent_end = True
        self.emit(frames.close(stream.number))
        self._on_end(stream)

    def abandon(self, stream: Stream) -> None:
        """Forget what a stream has waiting, and count the messages that are lost by that."""
        credit = 0
        for item in stream.sendq:
            if type(item) is bytes:
                credit += len(item) + HEADER_SIZE
                stream.abandoned += 1
            elif type(item) is Piece:
                credit += len(item.body) + HEADER_SIZE
                stream.abandoned += bool(item.flags & LAST)
            else:
                stream.abandoned += 1
        stream.sendq = ()
        stream.held = False
        self._notify(stream)
        if credit:
            # The peer never sees these bytes, so it cannot grant them anew.
            self.credit += credit
            self._feed_starved()

    def granted(self, stream: Stream, count: int) -> None:
        """Take credit for a stream.

        Raises:
            ProtocolError: the credit exceeds what the peer announced.
        """
        stream.send_credit += count
        stream.sent_apart += count
        if stream.send_credit > self._theirs.credit:
            raise ProtocolError(f"{self.peer} granted more credit on stream {stream.number} than it announced")
        if stream.sendq:
            self._enter_ring(stream)
        self._notify(stream)

    def granted_to_all(self, count: int) -> None:
        """Take credit for the session as a whole.

        Raises:
            ProtocolError: the credit exceeds what the peer announced.
        """
        self.credit += count
        if self.credit > self._theirs.session_credit:
            raise ProtocolError(f"{self.peer} granted more than the session credit that it announced")
        self._feed_starved()

    def _feed_starved(self) -> None:
        starved = self._starved
        # Who waits stays on the list: others may be faster to take what has come.
        self._starved = {stream: None for stream in starved if stream.waiters}
        for stream in starved:
            self._notify(stream)
            if stream.sendq:
                self._enter_ring(stream)

    def _notify(self, stream: Stream) -> None:
        if stream.waiters:
            self._woken.append(stream)

"""The receiving half of the multiplexer: what users take, whole or in pieces, and the credit that this gives back.

Sans-I/O; it knows streams' receiving state. Bytes that were taken are granted anew when enough have come together: on the
stream when half of its window has, on the session when a quarter of its has.

A message of several chunks may be longer than all credit, so its chunks are granted anew as they come. It holds more than
credit bounds then, so such messages have a bound of their own: together they may be as long as the longest message may be, or
as the session's credit. Those beyond that wait until others are taken; the first one never does.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from tcpconn import frames
from tcpconn.errors import MessageTooLarge
from tcpconn.frames import HEADER_SIZE, Hello
from tcpconn.outbox import Outbox
from tcpconn.runs import leading_bytes
from tcpconn.stream import Assembled, Assembly, Incoming, Stream

__all__ = ["Inbox"]

_MOST_LISTED = 64
"""A stream's inbox that holds more is a deque from then on, whose first one is taken without moving all others."""


class Inbox:
    """What one session has received and its users have not taken.

    Args:
        ours: the limits that this end announced.
        outbox: where to put what is granted.
        peer: the peer's address, for error texts.
        woken: where to put streams whose waiters have reason to look again.

    Attributes:
        unconsumed: bytes received and not yet granted anew, over all streams.
        consumed: those of them that were taken and will be granted with the next that are.
        reserved: bytes of all messages whose chunks are granted anew before they are taken.
    """

    def __init__(self, ours: Hello, outbox: Outbox, peer: str, woken: list[Stream]) -> None:
        self.unconsumed = 0
        self.consumed = 0
        self.reserved = 0
        self._most_reserved = max(ours.max_message, ours.session_credit)
        self._awaiting: deque[tuple[Stream, Assembly]] = deque()
        self._ours = ours
        self._outbox = outbox
        self._peer = peer
        self._woken = woken
        self._grant_at = ours.credit // 2
        self._session_grant_at = ours.session_credit // 4

    def consume(self, stream: Stream, cost: int) -> None:
        """Count `cost` bytes of a stream as consumed for which no message was taken, and grant what has come together."""
        stream.received_apart -= cost
        self._consume(stream, cost)

    def _consume(self, stream: Stream, cost: int) -> None:
        stream.consumed += cost
        self.consumed += cost
        if stream.consumed >= self._grant_at or self.consumed >= self._session_grant_at:
            self._grant(stream)

    def _grant(self, stream: Stream) -> None:
        if stream.consumed >= self._grant_at and not stream.got_end:
            self._outbox.emit(frames.credit(stream.number, stream.consumed))
            stream.window += stream.consumed
            stream.received_apart += stream.consumed
            stream.consumed = 0
        if self.consumed >= self._session_grant_at:
            self._outbox.emit(frames.credit(0, self.consumed))
            self.unconsumed -= self.consumed
            self.consumed = 0

    def take(self, stream: Stream) -> bytes | None:
        """Take the next message out of the inbox; None when none is whole yet.

        Raises:
            MessageTooLarge: the next one is a stream that grew beyond `max_message`; it is skipped.
            ConnectionClosed, ConnectionLost, ConnectError: the inbox is empty and nothing more will come.
        """
        inbox = stream.inbox
        if not inbox:
            if stream.receive_failure is not None:
                raise stream.receive_failure()
            return None
        if len(inbox) > _MOST_LISTED and type(inbox) is list:
            inbox = stream.inbox = deque(inbox)
        item = inbox[0]
        if type(item) is not bytes:
            return self._take_other(stream, item)
        cost = len(item) + HEADER_SIZE
        # All steps in a row, without a call between them, so that an interrupt finds all of them done or none.
        del inbox[0]
        stream.messages_received += 1
        stream.consumed += cost
        self.consumed += cost
        if stream.consumed >= self._grant_at or self.consumed >= self._session_grant_at:
            self._grant(stream)
        if stream.assembly is not None and not inbox:
            self.credit_assembly(stream)
        return item

    def _take_other(self, stream: Stream, item: object) -> bytes | None:
        if type(item) is not Assembled:
            assert isinstance(item, Incoming)
            return self._gather(stream, item)
        del stream.inbox[0]
        stream.messages_received += 1
        stream.received_apart += len(item.data) + HEADER_SIZE - item.uncredited
        self._consume(stream, item.uncredited)
        if not stream.inbox:
            self.credit_assembly(stream)
        if item.reserved:
            self.reserved -= item.reserved
            if self._awaiting:
                self._admit()
        return item.data

    def take_run(self, stream: Stream, limit: int) -> list[bytes]:
        """Take up to `limit` messages that are whole; a streamed one, or one of several chunks, ends the run before it."""
        inbox = stream.inbox
        count = min(limit, len(inbox))
        run = leading_bytes(list(inbox if count == len(inbox) else islice(inbox, count)))
        if len(run) == len(inbox):
            inbox.clear()
        elif type(inbox) is list:
            del inbox[: len(run)]
        else:
            for _ in run:
                del inbox[0]
        if run:
            stream.messages_received += len(run)
            self._consume(stream, sum(map(len, run)) + len(run) * HEADER_SIZE)
            if not inbox:
                self.credit_assembly(stream)
        return run

    def credit_assembly(self, stream: Stream) -> None:
        """Grant the chunks of the message being received once nothing lies before it: it may be longer than the window."""
        assembly = stream.assembly
        if assembly is not None and assembly.uncredited:
            if not assembly.reserved:
                if self._awaiting or (self.reserved and self.reserved + assembly.total > self._most_reserved):
                    self._await(stream, assembly)
                    return
                self.reserved += assembly.total
                assembly.reserved = True
            cost, assembly.uncredited = assembly.uncredited, 0
            self.consume(stream, cost)

    def _await(self, stream: Stream, assembly: Assembly) -> None:
        """Have a message wait until others that hold more than their credit are taken."""
        if all(known is not assembly for _, known in self._awaiting):
            self._awaiting.append((stream, assembly))

    def _admit(self) -> None:
        """Let messages that wait have their turn, as far as there is room."""
        awaiting = self._awaiting
        while awaiting:
            stream, assembly = awaiting[0]
            if stream.assembly is assembly:
                if self.reserved and self.reserved + assembly.total > self._most_reserved:
                    return
                self.reserved += assembly.total
                assembly.reserved = True
            awaiting.popleft()
            if assembly.reserved and not stream.inbox:
                self.credit_assembly(stream)

    def put_back(self, stream: Stream, message: bytes) -> None:
        """Put a message that was taken back to the head of the inbox."""
        stream.inbox.insert(0, Assembled(message, 0))
        stream.messages_received -= 1
        stream.received_apart -= len(message) + HEADER_SIZE
        if stream.waiters:
            self._woken.append(stream)

    def take_piece(self, stream: Stream) -> tuple[bytes, bool] | None:
        """Take the next chunk of a streamed message, or all of another, and whether it is the last; None if none is there.

        Raises:
            MessageTooLarge: `take` has begun to skip it; it is skipped to its end.
            ConnectionClosed, ConnectionLost, ConnectError: nothing more will come.
        """
        item = stream.inbox[0] if stream.inbox else None
        if not isinstance(item, Incoming):
            message = self.take(stream)
            return None if message is None else (message, True)
        if item.size > self._ours.max_message:
            self._gather(stream, item)
            return None
        if item.gathered:
            chunk = b"".join(item.gathered)
            item.gathered.clear()
        else:
            chunk = self._take_chunk(stream, item)
        if item.chunks or not item.whole:
            if not chunk and stream.receive_failure is not None:
                raise stream.receive_failure()
            return (chunk, False) if chunk else None
        self._finish_incoming(stream)
        return chunk, True

    def _take_chunk(self, stream: Stream, item: Incoming) -> bytes:
        if not item.chunks:
            return b""
        chunk = item.chunks.popleft()
        self.consume(stream, len(chunk) + HEADER_SIZE)
        stream.received_apart += len(chunk)
        return chunk

    def _finish_incoming(self, stream: Stream) -> None:
        del stream.inbox[0]
        stream.messages_received += 1
        stream.received_apart += HEADER_SIZE
        if not stream.inbox:
            self.credit_assembly(stream)

    def _gather(self, stream: Stream, item: Incoming) -> bytes | None:
        while chunk := self._take_chunk(stream, item):
            item.size += len(chunk)
            if item.size <= self._ours.max_message:
                item.gathered.append(chunk)
            else:
                item.gathered.clear()
        if not item.whole:
            if stream.receive_failure is not None:
                raise stream.receive_failure()
            return None
        self._finish_incoming(stream)
        if item.size > self._ours.max_message:
            raise MessageTooLarge(
                f"id {stream.name!r} from {self._peer}: a streamed message grew beyond max_message={self._ours.max_message} "
                "bytes and was skipped; use receive_stream(), or raise max_message"
            )
        return b"".join(item.gathered)

    def drop(self, stream: Stream) -> None:
        """Forget all that a stream holds, and what is being received for it."""
        cost = reserved = 0
        for item in stream.inbox:
            if type(item) is bytes:
                cost += len(item) + HEADER_SIZE
            elif type(item) is Assembled:
                cost += item.uncredited
                reserved += item.reserved
            else:
                assert isinstance(item, Incoming)
                cost += sum(len(chunk) + HEADER_SIZE for chunk in item.chunks)
                item.chunks.clear()
        stream.inbox.clear()
        if cost:
            self.consume(stream, cost)
        self.drop_message(stream)
        if reserved:
            self.reserved -= reserved
            self._admit()

    def drop_message(self, stream: Stream) -> None:
        """Forget the message that is being received; its rest, if it comes, is dropped unseen."""
        assembly = stream.assembly
        if assembly is not None and assembly.uncredited:
            # It is dropped, so it need not wait for its turn.
            self.consume(stream, assembly.uncredited)
        stream.assembly = stream.incoming = None
        if assembly is not None and assembly.reserved:
            self.reserved -= assembly.total
            self._admit()

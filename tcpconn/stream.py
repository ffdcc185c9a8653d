"""One logical connection as the engine sees it: its credit, its inbox, what waits to be sent, and how it ended.

A `Stream` is plain state; the multiplexer changes it. It knows no other stream, and of frames the length of their header.
"""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable, Mapping, MutableSequence
from types import MappingProxyType
from typing import Any

from tcpconn.errors import TcpconnError
from tcpconn.frames import HEADER_SIZE

__all__ = ["Assembled", "Assembly", "Incoming", "Outgoing", "Piece", "Stream"]


class Outgoing:
    """A message of several chunks that was accepted and is being cut up as credit allows."""

    __slots__ = ("offset", "started", "total", "view")

    def __init__(self, payload: bytes) -> None:
        self.view = memoryview(payload)
        self.total = len(payload)
        self.offset = 0
        self.started = False


class Piece:
    """A chunk of a message of unknown total that has its credit and waits for its turn to be framed."""

    __slots__ = ("body", "flags")

    def __init__(self, flags: int, body: bytes) -> None:
        self.flags = flags
        self.body = body


class _Expected:
    """The size of the blocks of memory that malloc knows to come and go.

    glibc gives the memory of a large block back to the system when the block is freed, and the next one costs a page fault
    for every 4 KiB, until it has seen a block of that size be freed; then it keeps about twice as much for further ones. So it
    is shown one of the size of what a stream of such messages holds at a time. It is never written to, so it costs
    two system calls and no memory. Streaming messages of 1 MiB then has one page fault a message at most in place of 170.
    """

    MOST = 32 * 1024 * 1024 - 64 * 1024
    """Blocks beyond this glibc never keeps."""

    AT_A_TIME = 4
    """A message in the user's hands, one or two that wait, and the next."""

    def __init__(self) -> None:
        self.size = 128 * 1024

    def expect(self, size: int) -> None:
        """Prepare for blocks of `size` bytes, and somewhat larger ones."""
        self.size = 1 << size.bit_length()
        block = bytes(min(self.AT_A_TIME * self.size, self.MOST))
        del block


_expected = _Expected()


class Assembly:
    """A message of several chunks, or one chunk, that is being received into its final memory.

    `io.BytesIO` gives its buffer away as `bytes` without a copy while no view of it is left, so the message is received
    into fresh memory and becomes a `bytes` for nothing: 79 µs for 1 MiB where `bytes(bytearray)` took 500 µs. Fresh zeros
    are address space only: what a peer announces and does not send takes no memory.

    Of a link that receives into memory of its own, pieces are kept as they are and joined in the end, which clears no memory
    first; a long message is not, as it would take its length twice.

    No view of the memory is kept: Python 3.12.1 crashes when its garbage collector meets one in a cycle, 3.13 complains.

    Raises:
        MemoryError: there is not even the address space.
    """

    MOST_KEPT = 4 * 1024 * 1024
    """A message of more bytes is not joined of pieces."""

    LEAST_KEPT = 16 * 1024
    """A piece of fewer bytes is copied: it may be a small part of what it is a view of."""

    MOST_PIECES = 64
    """More of them, small ones that is, take more memory than their message."""

    __slots__ = ("_memory", "_pieces", "filled", "reserved", "total", "uncredited")

    def __init__(self, total: int) -> None:
        self.total = total
        self.filled = 0
        self.uncredited = 0
        # Whether its bytes may be granted anew before it is taken: see `Inbox`.
        self.reserved = False
        if total > _expected.size:
            _expected.expect(total)
        self._memory: io.BytesIO | None = None
        self._pieces: list[bytes | memoryview] = []
        if total > self.MOST_KEPT:
            self._reserved()

    def room(self, start: int, stop: int) -> memoryview:
        """Return a view of a part of the memory, to be filled and forgotten at once."""
        return (self._memory or self._reserved()).getbuffer()[start:stop]

    def write(self, start: int, data: bytes | memoryview) -> None:
        """Copy data to where they belong."""
        if len(data) < self.LEAST_KEPT and self._continues(start):
            self._pieces.append(bytes(data))
            return
        with (self._memory or self._reserved()).getbuffer() as view:
            view[start : start + len(data)] = data

    def keep(self, start: int, data: bytes | memoryview) -> None:
        """Take data that nobody changes any more and that are all of their memory, without a copy if possible."""
        if len(data) >= self.LEAST_KEPT and self._continues(start):
            self._pieces.append(data)
        else:
            self.write(start, data)

    def _continues(self, start: int) -> bool:
        """Whether what begins at `start` may be a piece: all before it are pieces, and they are few."""
        pieces = self._pieces
        return self._memory is None and len(pieces) < self.MOST_PIECES and start == sum(map(len, pieces))

    def _reserved(self) -> io.BytesIO:
        memory = self._memory = io.BytesIO(bytes(self.total))
        memory.writelines(self._pieces)
        self._pieces = []
        return memory

    def finish(self) -> bytes:
        """Return the message; the assembly is used up."""
        if self._memory is None and sum(map(len, self._pieces)) == self.total:
            return b"".join(self._pieces)
        return (self._memory or self._reserved()).getvalue()


class Assembled:
    """A whole message in an inbox whose remaining cost in credit is not simply its length.

    Attributes:
        reserved: bytes that it holds although they may have been granted anew.
    """

    __slots__ = ("data", "reserved", "uncredited")

    def __init__(self, data: bytes, uncredited: int, reserved: int = 0) -> None:
        self.data = data
        self.uncredited = uncredited
        self.reserved = reserved


class Incoming:
    """A message of unknown total in an inbox: its chunks so far, and whether more will come.

    `gathered` is what `receive()` has taken out of `chunks` so far, to make one message of it in the end.
    """

    __slots__ = ("chunks", "gathered", "size", "whole")

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        self.whole = False
        self.gathered: list[bytes] = []
        self.size = 0


_NO_METADATA: Mapping[str, Any] = MappingProxyType({})


class _Sending:
    """What is touched for each message that is sent.

    Slots lie in memory by the alphabet, a base class's before; with 10,000 streams each further cache line is a miss, and so
    is each further number that changes with every message, an object of its own.
    """

    __slots__ = ("held", "messages_sent", "number", "send_credit", "send_failure", "turned")


class _Receiving(_Sending):
    """The same for each that is received."""

    __slots__ = (
        "assembly",
        "consumed",
        "discarding",
        "inbox",
        "incoming",
        "messages_received",
        "receive_failure",
        "waiters",
        "window",
    )


class Stream(_Receiving):
    """The engine's state of one logical connection; whoever owns the session guards it.

    Attributes:
        number: the stream's number on the wire.
        name: the logical id.
        metadata: what the opener said about the connection.
        send_credit: bytes that the peer lets this end send, headers included.
        held: a message of several chunks is being sent, so that nothing else of this stream may be framed.
        sendq: what was accepted and is not framed yet.
        in_ring: whether the multiplexer's ring of streams that can be framed holds this one.
        inbox: what has been received and is not consumed yet; a list while little waits.
        window: bytes that the peer may still send.
        consumed: bytes that were consumed and not yet granted anew.
        sent_end, got_end: whether the last frame of each direction has been framed or received.
        reset_sent: whether this end has told the peer that it takes nothing more.
        closing: CLOSE follows as soon as `sendq` is empty.
        turned: whether its user has waited for an answer since it last sent something.
        sent_apart, received_apart: by how much the bytes of messages sent and received are not what their credit says.
        abandoned: messages that were accepted here and will not be sent any more, since the stream was reset.
        discarding: the user closed the connection; what arrives is dropped and the peer is told.
        send_failure, receive_failure: makes the error that sending or receiving raises, once the direction has ended.
        waiters: the driver's; the engine only asks whether it is empty.
    """

    __slots__ = (
        "abandoned",
        "closing",
        "got_end",
        "in_ring",
        "metadata",
        "name",
        "received_apart",
        "reset_sent",
        "sendq",
        "sent_apart",
        "sent_end",
    )

    def __init__(self, number: int, name: str | bytes, metadata: Mapping[str, Any], *, send_credit: int, window: int) -> None:
        self.number = number
        self.name = name
        self.metadata = metadata or _NO_METADATA
        self.send_credit = send_credit
        self.sent_apart = send_credit
        self.held = False
        # Nearly always empty, and an empty deque takes 600 bytes.
        self.sendq: deque[bytes | Outgoing | Piece] | tuple[()] = ()
        self.in_ring = False
        # An empty list takes a tenth of a deque's memory, and what is put into it lies in fewer places.
        self.inbox: MutableSequence[bytes | Assembled | Incoming] = []
        self.assembly: Assembly | None = None
        self.incoming: Incoming | None = None
        self.window = window
        self.consumed = 0
        self.sent_end = False
        self.got_end = False
        self.closing = False
        self.abandoned = 0
        self.reset_sent = False
        self.discarding = False
        self.send_failure: Callable[[], TcpconnError] | None = None
        self.receive_failure: Callable[[], TcpconnError] | None = None
        self.turned = False
        self.messages_sent = 0
        self.messages_received = 0
        self.received_apart = 0
        self.waiters: list[Any] | tuple[()] = ()

    @property
    def bytes_sent(self) -> int:
        """Bytes of the messages that were accepted, without headers.

        A message that fits one frame takes its length and a header of credit, so they are read off the credit that is left.
        """
        return self.sent_apart - self.send_credit - HEADER_SIZE * self.messages_sent

    @property
    def bytes_received(self) -> int:
        """Bytes of the messages that were taken out of the inbox, without headers."""
        return self.received_apart + self.consumed - HEADER_SIZE * self.messages_received

    def enqueue(self, item: bytes | Outgoing | Piece) -> None:
        """Put something behind what was accepted and is not framed yet."""
        if isinstance(self.sendq, deque):
            self.sendq.append(item)
        else:
            self.sendq = deque((item,))

    def waiting_list(self) -> list[Any]:
        """Return the list that `waiters` is from now on, to register in."""
        if type(self.waiters) is list:
            return self.waiters
        # Not made with the stream: of many open ones few are waited for, and the collector looks at each list.
        self.waiters = waiting = list[Any]()
        return waiting

    def readable(self) -> bool:
        """Return whether receiving would return or raise at once."""
        inbox = self.inbox
        if not inbox:
            return self.receive_failure is not None
        first = inbox[0]
        return type(first) is not Incoming or bool(first.chunks) or first.whole or self.receive_failure is not None

    def __repr__(self) -> str:
        words = [f"Stream {self.number} id={self.name!r}"]
        if self.inbox:
            words.append(f"inbox={len(self.inbox)}")
        if self.sendq:
            words.append(f"sendq={len(self.sendq)}")
        words += [word for word in ("held", "closing", "discarding", "sent_end", "got_end") if getattr(self, word)]
        return f"<{' '.join(words)}>"

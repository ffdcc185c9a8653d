"""A DATA frame whose body is received into memory of its own: what it must keep to, where it goes, what it is when whole.

Sans-I/O; it knows streams and messages. Where the bytes come from is the receiver's business.
"""

from __future__ import annotations

from tcpconn import frames
from tcpconn.errors import ProtocolError
from tcpconn.frames import FIRST, HEADER_SIZE, LAST, UNKNOWN_TOTAL, Code
from tcpconn.multiplexer import Multiplexer
from tcpconn.stream import Assembled, Assembly, Incoming, Stream

__all__ = ["Landing", "Landings"]

_WHOLE = FIRST | LAST
_U64 = 8


class Landing:
    """A DATA frame under way: where its body goes, and what to do when it is whole.

    Attributes:
        stream, flags, length: what its header says.
        memory: what its body belongs to, or None if it is dropped; `start` is where in it.
        known: whether that is the memory of the whole message, and not of a chunk alone.
        size: bytes of the body without the total that it may begin with; `got`: how many of them are there.
    """

    __slots__ = ("flags", "got", "known", "length", "memory", "size", "start", "stream")

    def __init__(self, stream: Stream, flags: int, length: int) -> None:
        self.stream = stream
        self.flags = flags
        self.length = length
        self.memory: Assembly | None = None
        self.known = False
        self.start = 0
        self.size = length
        self.got = 0


class Landings:
    """Makes landings for the streams of one session, and messages of them."""

    def __init__(self, mux: Multiplexer) -> None:
        self._mux = mux

    def check(self, flags: int, number: int, length: int) -> Stream:
        """Check a DATA frame by its header, and return its stream.

        Raises:
            ProtocolError: the peer broke the rules.
        """
        mux = self._mux
        ours = mux.ours
        stream = mux.streams.get(number)
        if stream is None or stream.got_end:
            raise ProtocolError(f"{mux.peer} sent DATA on stream {number}, which it does not have open")
        if flags & ~_WHOLE:
            raise ProtocolError(f"{mux.peer} sent DATA with unknown flags {flags:#x}")
        if length > ours.max_chunk:
            raise ProtocolError(f"{mux.peer} announced a chunk of {length} bytes; {ours.max_chunk} are allowed")
        if length > ours.max_message and flags == _WHOLE:
            raise ProtocolError(f"{mux.peer} announced a message of {length} bytes; {ours.max_message} are allowed")
        if length + HEADER_SIZE > stream.window:
            raise ProtocolError(
                f"{mux.peer} sent {length + HEADER_SIZE} bytes on stream {number}; its credit is {stream.window}"
            )
        if flags & _WHOLE == FIRST and length < _U64:
            raise ProtocolError(f"{mux.peer} began a message on stream {number} without its total")
        under_way = stream.assembly is not None or stream.incoming is not None
        if bool(flags & FIRST) == under_way and not stream.discarding:
            what = "began a message inside another" if under_way else "continued a message that it did not begin"
            raise ProtocolError(f"{mux.peer} {what} on stream {number}")
        return stream

    def prepare(self, stream: Stream, flags: int, length: int, head: bytes | memoryview) -> Landing:
        """Find the memory for the body of a DATA frame; `head` is how it begins.

        Raises:
            ProtocolError: the message is or becomes too long.
        """
        mux = self._mux
        landing = Landing(stream, flags, length)
        assembly = stream.assembly
        if stream.discarding:
            return landing
        if assembly is not None:
            if length > assembly.total - assembly.filled:
                raise ProtocolError(f"{mux.peer} sent a chunk beyond its message's total of {assembly.total} bytes")
            landing.memory, landing.known, landing.start = assembly, True, assembly.filled
        elif flags & _WHOLE == FIRST:
            landing.size = length - _U64
            total = frames.U64.unpack(head)[0]
            if total == UNKNOWN_TOTAL:
                landing.memory = Assembly(landing.size)
            else:
                self._begin(landing, total)
        else:
            landing.memory = Assembly(length)
        return landing

    def _begin(self, landing: Landing, total: int) -> None:
        mux = self._mux
        if total > mux.ours.max_message:
            raise ProtocolError(f"{mux.peer} announced a message of {total} bytes; {mux.ours.max_message} are allowed")
        if landing.size > total:
            raise ProtocolError(f"{mux.peer} sent a chunk beyond its message's total of {total} bytes")
        try:
            landing.memory, landing.known = Assembly(total), True
        except MemoryError:
            # It may have been announced for no other reason. The other streams need not suffer.
            mux.reset(landing.stream, Code.MESSAGE_TOO_LARGE, f"there is no memory for a message of {total} bytes")

    def commit(self, landing: Landing) -> None:
        """Let a frame whose body is all there have its effect.

        Raises:
            ProtocolError: it ends a message before its total.
        """
        mux = self._mux
        stream = landing.stream
        cost = landing.length + HEADER_SIZE
        stream.window -= cost
        mux.inbox.unconsumed += cost
        if not landing.length and not landing.flags & _WHOLE:
            mux.demands.note_idle()
        memory = landing.memory
        if stream.discarding or memory is None:
            mux.inbox.consume(stream, cost)
            mux.reset(stream, Code.CLOSED, "the connection was closed at this end")
            return
        if landing.known:
            self._commit_known(stream, memory, landing)
        else:
            self._commit_unknown(stream, memory, landing.flags, cost)
        if stream.waiters:
            mux.woken.append(stream)

    def _commit_known(self, stream: Stream, assembly: Assembly, landing: Landing) -> None:
        mux = self._mux
        assembly.filled += landing.size
        assembly.uncredited += landing.length + HEADER_SIZE
        stream.assembly = assembly
        if landing.flags & LAST:
            if assembly.filled != assembly.total:
                raise ProtocolError(
                    f"{mux.peer} ended a message of {assembly.total} bytes on stream {stream.number} after {assembly.filled}"
                )
            stream.assembly = None
            reserved = assembly.total if assembly.reserved else 0
            stream.inbox.append(Assembled(assembly.finish(), assembly.uncredited, reserved))
        elif not stream.inbox:
            mux.inbox.credit_assembly(stream)

    def _commit_unknown(self, stream: Stream, chunk: Assembly, flags: int, cost: int) -> None:
        data = chunk.finish()
        if flags == _WHOLE:
            stream.inbox.append(data)
            return
        incoming = stream.incoming
        if flags & FIRST:
            incoming = stream.incoming = Incoming()
            stream.inbox.append(incoming)
            self._mux.inbox.consume(stream, _U64)
            cost -= _U64
        assert incoming is not None
        if data:
            incoming.chunks.append(data)
        else:
            self._mux.inbox.consume(stream, cost)
        if flags & LAST:
            incoming.whole = True
            stream.incoming = None

"""The receiving half of a session: bytes in, frames handed to the multiplexer and the session.

Sans-I/O, in the shape of asyncio's `BufferedProtocol`. Small frames are received many at a time into one buffer and decoded
in one tight loop; the body of a large frame that is not all there yet is received straight into the memory of its message.
A frame has its effect when it is whole, never before: when the link is lost in the middle of one, the peer sends that frame
again and nothing has to be undone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from tcpconn import frames
from tcpconn.errors import ProtocolError
from tcpconn.frames import FIRST, HEADER, HEADER_SIZE, LAST, MAX_CONTROL_BODY, UNKNOWN_TOTAL, Code, FrameType
from tcpconn.multiplexer import Multiplexer
from tcpconn.stream import Assembled, Assembly, Incoming, Stream

__all__ = ["RECEIVE_BUFFER", "Receiver"]

RECEIVE_BUFFER = 256 * 1024
"""Size of the buffer for frames that arrive together, in bytes; larger than any control frame."""

_DIRECT = 4096
"""A body of this many bytes that is not all there is received into its own memory."""

_DATA = int(FrameType.DATA)
_WHOLE = FIRST | LAST
_WHOLE_MESSAGE = _DATA << 24 | _WHOLE << 16
"""How the header of most frames begins: one comparison for its type, its flags and the reserved bits."""

_U64 = 8
_unpack = HEADER.unpack_from
_unpack_words = struct.Struct("!III").unpack_from


class _Landing:
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


class Receiver:
    """Decodes what one session receives.

    Attributes:
        count: sequenced frames received since the session began.
        unacknowledged_bytes: bytes of them since the driver last acknowledged.
    """

    def __init__(self, mux: Multiplexer, on_control: Callable[[int, bytes], None]) -> None:
        self.count = 0
        self.unacknowledged_bytes = 0
        self._mux = mux
        self._longest = min(mux.ours.max_chunk, mux.ours.max_message)
        self._on_control = on_control
        self._buffer = bytearray(RECEIVE_BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0
        self._landing: _Landing | None = None

    def get_buffer(self) -> memoryview:
        """Return where to receive to; not to be kept beyond the call of `buffer_updated`."""
        landing = self._landing
        if landing is None:
            return self._view[self._end :]
        if landing.memory is None:
            return self._view[: landing.size - landing.got]
        return landing.memory.room(landing.start + landing.got, landing.start + landing.size)

    def buffer_updated(self, count: int) -> None:
        """Take `count` bytes that were put into the last buffer that `get_buffer` gave.

        Raises:
            ProtocolError: the peer broke the rules.
        """
        if self._landing is not None:
            self._landed(count)
            return
        end = self._end + count
        # One copy of many small frames makes each slice of it a message; large ones are copied once, to where they belong.
        small = end < HEADER_SIZE or _unpack(self._buffer, 0)[4] < _DIRECT
        data = bytes(self._view[:end]) if small else self._view[:end]
        position = self._decode(data, end)
        rest = end - position
        if position and rest:
            self._view[:rest] = bytes(data[position:end])
        self._end = rest

    def data_received(self, data: bytes | memoryview) -> None:
        """Take bytes that are in memory of their own.

        Raises:
            ProtocolError: the peer broke the rules.
        """
        while len(data):
            if self._landing is None and self._end == 0:
                data = data[self._decode(data, len(data)) :]
                if self._landing is None:
                    self._view[: len(data)] = data
                    self._end = len(data)
                    return
            else:
                buffer = self.get_buffer()
                count = min(len(buffer), len(data))
                buffer[:count] = data[:count]
                # Not even in the traceback of an error may it live on: see `Assembly`.
                del buffer
                data = data[count:]
                self.buffer_updated(count)

    def link_lost(self) -> None:
        """Forget the frame that was under way; the peer sends it again."""
        self._landing = None
        # A thread may still be receiving from the lost link into the old buffer.
        self._buffer = bytearray(RECEIVE_BUFFER)
        self._view = memoryview(self._buffer)
        self._end = 0

    def _decode(self, data: bytes | memoryview, end: int) -> int:
        """Handle every frame that is whole and return where the first one begins that is not."""
        mux = self._mux
        inbox = mux.inbox
        streams = mux.streams
        woken = mux.woken
        longest = self._longest
        is_view = type(data) is memoryview
        last: Stream | None = None
        position = 0
        count = 0
        unconsumed = 0
        try:
            while end - position >= HEADER_SIZE:
                word, number, length = _unpack_words(data, position)
                start = position + HEADER_SIZE
                stop = start + length
                if word == _WHOLE_MESSAGE and stop <= end and length <= longest:
                    stream = streams.get(number)
                    cost = length + HEADER_SIZE
                    if (
                        stream is not None
                        and stream.window >= cost
                        and stream.assembly is None
                        and stream.incoming is None
                        and not stream.discarding
                    ):
                        stream.window -= cost
                        unconsumed += cost
                        body = data[start:stop]
                        stream.inbox.append(bytes(body) if is_view else body)  # type: ignore[arg-type]
                        # Once for many messages in a row: whoever wakes the waiters should not do it for each.
                        if stream.waiters and stream is not last:
                            woken.append(stream)
                            last = stream
                        count += 1
                        position = stop
                        continue
                # What the frames before have changed must be seen by the slow path.
                inbox.unconsumed += unconsumed
                self.count += count
                unconsumed = count = 0
                step = self._decode_one(data, position, end)
                if step < 0:
                    break
                position = step
                if self._landing is not None:
                    break
        finally:
            inbox.unconsumed += unconsumed
            self.count += count
            self.unacknowledged_bytes += position
        if inbox.unconsumed > mux.ours.session_credit:
            raise ProtocolError(
                f"{mux.peer} sent more than the session credit allows: {inbox.unconsumed} bytes are not consumed"
            )
        return position

    def _decode_one(self, data: bytes | memoryview, position: int, end: int) -> int:
        """Handle one frame of any kind; return where the next begins, or -1 if this one is not all there yet."""
        kind, flags, reserved, number, length = _unpack(data, position)
        mux = self._mux
        start = position + HEADER_SIZE
        stop: int = start + length
        if reserved:
            raise ProtocolError(f"{mux.peer} sent a frame header whose reserved bits are not zero: {reserved:#x}")
        if kind == _DATA:
            return self._data(data, start, end, (flags, number, length))
        if length > MAX_CONTROL_BODY:
            raise ProtocolError(
                f"{mux.peer} announced a frame of type {kind} with {length} bytes; {MAX_CONTROL_BODY} are allowed"
            )
        if stop > end:
            return -1
        body = bytes(data[start:stop])
        if kind == FrameType.CREDIT:
            if length != frames.U32.size:
                raise ProtocolError(f"{mux.peer} sent CREDIT with {length} bytes instead of 4")
            mux.granted(number, frames.U32.unpack(body)[0])
        elif kind == FrameType.OPEN:
            mux.peer_opened(number, body)
        elif kind == FrameType.CLOSE:
            mux.peer_closed(number, flags, body)
        else:
            if number:
                raise ProtocolError(f"{mux.peer} sent a frame of type {kind} for stream {number} instead of 0")
            self._on_control(kind, body)
            return stop
        self.count += 1
        return stop

    def _data(self, data: bytes | memoryview, start: int, end: int, header: tuple[int, int, int]) -> int:
        flags, number, length = header
        stream = self._check(flags, number, length)
        if start + length > end and (length < _DIRECT or end - start < _U64):
            # Small, or without its total: it waits in the buffer.
            return -1
        landing = self._prepare(stream, flags, length, data[start : start + _U64])
        announced = length - landing.size
        at_hand = min(length, end - start) - announced
        if landing.memory is not None and at_hand:
            landing.memory.write(landing.start, data[start + announced : start + announced + at_hand])
        landing.got = at_hand
        if at_hand == landing.size:
            self._commit(landing)
        else:
            self._landing = landing
        return start + announced + at_hand

    def _check(self, flags: int, number: int, length: int) -> Stream:
        """Check a DATA frame by its header."""
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

    def _prepare(self, stream: Stream, flags: int, length: int, head: bytes | memoryview) -> _Landing:
        """Find the memory for the body of a DATA frame; `head` is how it begins."""
        mux = self._mux
        landing = _Landing(stream, flags, length)
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

    def _begin(self, landing: _Landing, total: int) -> None:
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

    def _landed(self, count: int) -> None:
        landing = self._landing
        assert landing is not None
        self.unacknowledged_bytes += count
        landing.got += count
        if landing.got < landing.size:
            return
        self._landing = None
        self._commit(landing)
        if self._mux.inbox.unconsumed > self._mux.ours.session_credit:
            raise ProtocolError(f"{self._mux.peer} sent more than the session credit allows")

    def _commit(self, landing: _Landing) -> None:
        mux = self._mux
        stream = landing.stream
        cost = landing.length + HEADER_SIZE
        self.count += 1
        stream.window -= cost
        mux.inbox.unconsumed += cost
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

    def _commit_known(self, stream: Stream, assembly: Assembly, landing: _Landing) -> None:
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
            stream.inbox.append(Assembled(assembly.finish(), assembly.uncredited))
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

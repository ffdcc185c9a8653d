"""What fuzzers feed: any bytes to the decoder of the handshake and of a session, whose promises are checked after each read.

An input is a byte of choices, then what the peer says. Whatever that is, nothing but a `ProtocolError` or a `HandshakeError` is
raised, what is held stays within the limits that were announced, and what is said in return can be read.
"""

from __future__ import annotations

import struct

from engine import frames_of, hello, receive
from tcpconn import frames
from tcpconn.errors import HandshakeError, ProtocolError, TcpconnError
from tcpconn.frames import FIRST, LAST, Code, Frame, FrameType
from tcpconn.handshake import HelloReader
from tcpconn.receiver import Receiver
from tcpconn.session import Session
from tcpconn.stream import Assembled, Incoming

__all__ = ["LIMITS", "MOST_HELD", "SEEDS", "feed", "greet"]

LIMITS = hello(max_chunk=4096, max_message=20_000, max_streams=4, credit=9000, session_credit=18_000)

MOST_HELD = LIMITS.session_credit + max(LIMITS.max_message, LIMITS.session_credit)
"""Bytes of messages that a session may hold: what its credit bounds, and messages that are longer than their credit."""

INTO_BUFFER, TAKES, CLOSES, RESUMES = 1, 2, 4, 8
"""Choices: how the bytes come, whether the user takes messages, closes a stream in the middle, and whether the link is lost."""

_SPLITS = (1, 7, 13, 100, 1000, 4000, 1 << 20, 1 << 20)


def greet(data: bytes) -> None:
    """Feed the decoder of the handshake, byte by byte or at once."""
    reader = HelloReader()
    step = 1 if data[:1] < b"\x80" else 1 << 20
    position = 1
    try:
        while position < len(data):
            found = reader.feed(data[position : position + step])
            position += step
            if found is not None:
                assert len(found.session) == 16
                assert found.session_credit >= found.credit >= 256
                return
            assert len(reader._data) <= frames.HEADER_SIZE + frames.MAX_CONTROL_BODY
    except HandshakeError:
        pass


class _SmallBuffered(Receiver):
    """Has a buffer that is soon full, and cheap to make for each input."""

    def _renew_buffer(self, size: int = 80 * 1024) -> None:
        super()._renew_buffer(size)


def feed(data: bytes) -> None:
    """Feed a listening end's session that has two streams open."""
    choices = data[0] if data else 0
    session = Session(
        client=False,
        accepts=True,
        ours=LIMITS,
        theirs=LIMITS,
        chunk_size=1000,
        peer="the client",
        receiver=_SmallBuffered,
    )
    session.link_up(0)
    session.data_received(_PREAMBLE)
    streams = list(session.mux.streams.values())
    session.outbox.send(streams[0], bytes(1500))
    step = _SPLITS[choices >> 5]
    position = 1
    try:
        while position < len(data):
            piece = data[position : position + step]
            position += step
            if choices & INTO_BUFFER:
                receive(session, piece)
            else:
                session.data_received(piece)
            session.demands.settle(0.0, "the client")
            _look(session, takes=bool(choices & TAKES))
            if choices & CLOSES and position * 2 >= len(data):
                choices &= ~CLOSES
                session.mux.close(streams[1])
            if choices & RESUMES and position * 2 >= len(data):
                choices &= ~RESUMES
                session.link_down()
                session.link_up(session.acknowledged)
    except ProtocolError as error:
        session.say_goodbye(Code.PROTOCOL_ERROR, str(error))
        session.take()
        session.end(str(error))
    _look(session, takes=True)


def _look(session: Session, *, takes: bool) -> None:
    mux = session.mux
    assert 0 <= mux.inbox.unconsumed <= LIMITS.session_credit
    assert 0 <= mux.inbox.reserved <= max(LIMITS.max_message, LIMITS.session_credit)
    assert len(mux.streams) <= LIMITS.max_streams + 1024
    held = 0
    for stream in mux.streams.values():
        assert stream.window >= 0
        if stream.assembly is not None:
            assert stream.assembly.filled <= stream.assembly.total <= LIMITS.max_message
            held += stream.assembly.filled
        for item in stream.inbox:
            if isinstance(item, Incoming):
                held += sum(map(len, item.chunks))
            else:
                held += len(item.data) if isinstance(item, Assembled) else len(item)
    assert held <= MOST_HELD
    while buffers := session.take():
        frames_of(buffers)
    mux.opened.clear()
    mux.woken.clear()
    if takes:
        for stream in list(mux.streams.values()):
            try:
                while mux.take(stream) is not None:
                    pass
            except TcpconnError:
                pass


def _data(stream: int, flags: int, body: bytes) -> bytes:
    return Frame(FrameType.DATA, flags, stream, body).encode()


_PREAMBLE = frames.open_stream(1, "a", None).encode() + frames.open_stream(3, "b", {"k": 1}).encode()

_U64 = struct.Struct("!Q")

SEEDS: dict[str, bytes] = {
    "hello": b"\x00" + hello().encode().encode(),
    "refusal": b"\x00" + frames.goaway(Code.UNKNOWN_SESSION, "who are you?").encode(),
    "http": b"\xffGET / HTTP/1.1\r\n\r\n",
    "messages": b"\xe1" + _data(1, FIRST | LAST, b"x" * 100) * 30 + _data(3, FIRST | LAST, b"") * 3,
    "equal-messages": b"\xe0" + _data(1, FIRST | LAST, b"y" * 20) * 200,
    "chunks": b"\x43" + _data(1, FIRST, _U64.pack(9000) + b"c" * 3000) + _data(1, 0, b"c" * 3000) + _data(1, LAST, b"c" * 3000),
    "long-message": b"\xe3"
    + _data(1, FIRST, _U64.pack(20_000) + bytes(4000))
    + _data(3, FIRST, _U64.pack(20_000) + bytes(4000)),
    "streamed": b"\x62" + _data(3, FIRST, b"\xff" * 8 + b"piece") + _data(3, 0, b"") + _data(3, LAST, b"end"),
    "streams": b"\x87"
    + b"".join(frames.open_stream(number, f"{number}", {"n": [1, {"x": b"y"}]}).encode() for number in range(5, 19, 2))
    + frames.close(5).encode()
    + frames.reset(7, Code.CANCELLED, "no").encode(),
    "control": b"\x0f"
    + frames.ping(1).encode()
    + frames.pong(2).encode()
    + frames.ack(1).encode()
    + frames.credit(1, 100).encode()
    + frames.credit(0, 1).encode()
    + frames.goaway(Code.SHUTTING_DOWN, "soon").encode(),
    "duplicate": b"\x20" + frames.open_stream(5, "a", None).encode() + _data(5, FIRST | LAST, b"z"),
    "ends": b"\xe7" + frames.close(1).encode() + frames.close(3).encode() + frames.reset(3, 0, "").encode(),
    "large-chunk": b"\xe1" + _data(1, FIRST | LAST, bytes(4096)) + _data(1, FIRST | LAST, bytes(4096)),
    "beyond-the-credit": b"\xe0" + _data(1, FIRST | LAST, bytes(4000)) * 3,
    "unknown-type": b"\xe0" + Frame(77, 1, 2, b"abc").encode(),
}
"""Inputs to begin with, of each kind of frame and of both targets: what `tests/fuzz/corpus` holds first."""

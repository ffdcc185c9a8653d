"""The first exchange on a link: what each end says, and how it reads what the other says first.

Sans-I/O. The dialling end sends its HELLO at once; the listening end answers with one of its own, or with GOAWAY and
the reason. Nothing that comes is trusted: what cannot be the beginning of a HELLO is refused at the byte that shows it.
"""

from __future__ import annotations

import re

from tcpconn.config import Config
from tcpconn.errors import AuthenticationError, HandshakeError, ProtocolError
from tcpconn.frames import (
    HEADER,
    HEADER_SIZE,
    MAGIC,
    MAX_CONTROL_BODY,
    VERSION,
    Code,
    FrameType,
    Hello,
    decode_reason,
)

__all__ = ["HelloReader", "check_answer", "client_hello", "server_hello"]

_MAX_CHUNK = 1 << 20
"""Bytes of a DATA frame that this end always accepts, so that a lone large message comes in few of them."""

_MAX_REASON = 500
"""Characters of the peer's text that are repeated in an error."""

_OPENING = MAGIC + bytes([VERSION])

_FOREIGN = tuple(
    (name, re.compile(pattern, re.DOTALL))
    for name, pattern in (
        ("HTTP", rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PRI) |HTTP/"),
        ("TLS", rb"[\x15\x16]\x03"),
        ("ZeroMQ", rb"\xff.{8}\x7f"),
        ("SSH", rb"SSH-"),
        ("Redis", rb"\*\d+\r\n|\+PONG\r|-(ERR|NOAUTH|DENIED) "),
        ("AMQP", rb"AMQP"),
        ("PostgreSQL", rb"\x00\x00..(\x00\x03\x00\x00|\x04\xd2\x16\x2f)"),
    )
)


class HelloReader:
    """Collects what a peer says first, until that is a whole HELLO.

    Attributes:
        rest: once it is, the bytes that came behind it in the last `feed`.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._data = bytearray()
        self._done = False

    def feed(self, data: bytes | bytearray | memoryview) -> Hello | None:
        """Take the next bytes; return the HELLO when it is whole, else None. Not to be called after that.

        Raises:
            HandshakeError: the peer does not speak this protocol, or it refused the link (then `code` is set).
            AuthenticationError: it refused the link because this end did not prove that it may use it.
        """
        if self._done:
            raise RuntimeError("the HELLO is complete: what follows is the session's")
        behind = self._collect(memoryview(data), HEADER_SIZE)
        kind, length = _check_header(bytes(self._data[:HEADER_SIZE]))
        if len(self._data) < HEADER_SIZE:
            return None
        end = HEADER_SIZE + length
        behind = self._collect(behind, end)
        opening = bytes(self._data[HEADER_SIZE : HEADER_SIZE + len(_OPENING)])
        if kind == FrameType.HELLO and not _OPENING.startswith(opening):
            Hello.decode(opening)  # raises for these bytes, however many may follow
        if len(self._data) < end:
            return None
        body = bytes(self._data[HEADER_SIZE:])
        if kind == FrameType.GOAWAY:
            raise _refusal(body)
        hello = Hello.decode(body)
        self._done = True
        self.rest = bytes(behind)
        return hello

    def _collect(self, data: memoryview, size: int) -> memoryview:
        """Take from `data` what is missing to `size` bytes, and return what is left of it."""
        missing = max(size - len(self._data), 0)
        self._data += data[:missing]
        return data[missing:]

    def __repr__(self) -> str:
        return f"<HelloReader {'done' if self._done else 'waiting'} bytes={len(self._data)}>"


def _check_header(start: bytes) -> tuple[int, int]:
    """Return the type and the length of the first frame, as far as `start`, at most a header, tells."""
    # Zeros are allowed wherever bytes are missing yet, and a length with zeros at its end is the least it can become.
    kind, flags, reserved, stream, length = HEADER.unpack(start.ljust(HEADER_SIZE, b"\0"))
    if not start:
        return kind, length
    if kind not in (FrameType.HELLO, FrameType.GOAWAY):
        raise HandshakeError(_foreign(start, kind))
    name = FrameType(kind).name
    if flags:
        raise HandshakeError(f"the peer's first frame, {name}, has the flags {flags:#04x}; none are defined")
    if reserved:
        raise HandshakeError(f"the peer's first frame, {name}, has reserved bits that are not zero")
    if stream:
        raise HandshakeError(f"the peer's first frame, {name}, is for a stream; it must be for stream 0")
    if length > MAX_CONTROL_BODY:
        raise HandshakeError(
            f"the peer's first frame, {name}, announces at least {length} bytes; {MAX_CONTROL_BODY} are allowed"
        )
    return kind, length


def _foreign(start: bytes, kind: int) -> str:
    for name, pattern in _FOREIGN:
        if pattern.match(start):
            hint = ": is TLS set up at one end only?" if name == "TLS" else ""
            return f"the peer speaks {name}, not tcpconn{hint}"
    try:
        return f"the peer's first frame is {FrameType(kind).name}, not HELLO"
    except ValueError:
        return f"the peer does not speak tcpconn: it begins with {start!r}, and no frame has the type {kind}"


def _refusal(body: bytes) -> HandshakeError:
    try:
        code, reason = decode_reason(body)
    except ProtocolError as error:
        return HandshakeError(f"the peer refused the link without a valid reason: {error}")
    text = f"the peer refused the link: {Code.describe(code)}{': ' if reason else ''}{reason[:_MAX_REASON]}"
    return AuthenticationError(text, code) if code == Code.AUTHENTICATION_FAILED else HandshakeError(text, code)


def client_hello(config: Config, session_id: bytes, *, resume: bool = False, received: int = 0) -> Hello:
    """Return the HELLO of the end that dials.

    Args:
        config: the limits of this end.
        session_id: 16 random bytes for a new session, those of the old one to resume it.
        resume: whether to resume it.
        received: how many sequenced frames of it were received.
    """
    return _hello(config, session_id, resume, received)


def server_hello(config: Config, session_id: bytes, *, resume: bool = False, received: int = 0) -> Hello:
    """Return the HELLO that answers a client's: for the same session, resumed or not as it asked."""
    return _hello(config, session_id, resume, received)


def _hello(config: Config, session_id: bytes, resume: bool, received: int) -> Hello:
    return Hello(
        session=session_id,
        resume=resume,
        received=received,
        max_chunk=max(config.chunk_size, _MAX_CHUNK),
        max_message=config.max_message,
        max_streams=config.max_streams,
        credit=config.credit,
        session_credit=config.session_credit,
    )


def check_answer(ours: Hello, theirs: Hello) -> None:
    """Check that a listening end's HELLO answers the one that was sent.

    Raises:
        HandshakeError: it answers for another session, or begins anew one that was to be resumed, or the reverse.
    """
    if theirs.session != ours.session:
        raise HandshakeError(f"the peer answers for session {theirs.session.hex()}, not for {ours.session.hex()}")
    if theirs.resume != ours.resume:
        asked, done = ("resumed", "begun anew") if ours.resume else ("begun anew", "resumed")
        raise HandshakeError(f"the session was to be {asked}, but the peer has {done} one")

"""The first exchange on a link: what each end says, and how it reads what the other says first.

Sans-I/O. The dialling end sends its HELLO at once; the listening end answers with one of its own, or with GOAWAY and
the reason. Where there is something to prove, the answer and the dialling end's next frame are followed or replaced by PROOF.
Nothing that comes is trusted: what cannot be the beginning of what is due is refused at the byte that shows it.
"""

from __future__ import annotations

import re

from tcpconn.authentication import METHOD, PROOF_SIZE, opening_words
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

__all__ = ["HelloReader", "ProofReader", "authentication_refusal", "check_answer", "client_hello", "server_hello"]

_MAX_CHUNK = (1 << 20) + (64 << 10)
"""Bytes of a DATA frame that this end always accepts, so that a lone message of up to 1 MiB comes in one, others in few."""

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


class _FrameReader:
    """Collects one frame.

    Attributes:
        rest: once it is whole, the bytes that came behind it in the last `feed`.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._data = bytearray()
        self._done = False

    @property
    def body(self) -> bytes:
        """The frame's body as it came, once it is whole."""
        return bytes(self._data[HEADER_SIZE:])

    def _collect(self, data: memoryview, size: int) -> memoryview:
        """Take from `data` what is missing to `size` bytes, and return what is left of it."""
        missing = max(size - len(self._data), 0)
        self._data += data[:missing]
        return data[missing:]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'done' if self._done else 'waiting'} bytes={len(self._data)}>"


class HelloReader(_FrameReader):
    """Collects what a peer says first, until that is a whole HELLO."""

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


class ProofReader(_FrameReader):
    """Collects the PROOF behind a HELLO."""

    def feed(self, data: bytes | bytearray | memoryview) -> bytes | None:
        """Take the next bytes; return what the PROOF holds when it is whole, else None. Not to be called after that.

        Raises:
            AuthenticationError: no proof comes, or the peer found that of this end wrong.
            HandshakeError: it refused the link for another reason (then `code` is set).
        """
        behind = self._collect(memoryview(data), HEADER_SIZE)
        if not self._data:
            return None
        kind, flags, reserved, stream, length = HEADER.unpack(bytes(self._data[:HEADER_SIZE]).ljust(HEADER_SIZE, b"\0"))
        longest = PROOF_SIZE if kind == FrameType.PROOF else MAX_CONTROL_BODY
        if kind not in (FrameType.PROOF, FrameType.GOAWAY) or flags or reserved or stream or length > longest:
            raise AuthenticationError(f"the peer sent no proof behind its HELLO, but {bytes(self._data[:HEADER_SIZE])!r}")
        if len(self._data) < HEADER_SIZE:
            return None
        behind = self._collect(behind, HEADER_SIZE + length)
        if len(self._data) < HEADER_SIZE + length:
            return None
        if kind == FrameType.GOAWAY:
            raise _refusal(self.body)
        self._done = True
        self.rest = bytes(behind)
        return self.body


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


def client_hello(config: Config, session_id: bytes, nonce: bytes = b"") -> Hello:
    """Return the HELLO of the end that dials, for a new session; one that resumes is `Session.hello`.

    Args:
        config: the limits of this end, and its key.
        session_id: 16 random bytes.
        nonce: `NONCE_SIZE` random bytes.
    """
    return _hello(config, session_id, nonce)


def server_hello(config: Config, session_id: bytes, nonce: bytes = b"") -> Hello:
    """Return the HELLO that answers a client's, for the same new session."""
    return _hello(config, session_id, nonce)


def _hello(config: Config, session_id: bytes, nonce: bytes) -> Hello:
    return Hello(
        session=session_id,
        max_chunk=max(config.chunk_size, _MAX_CHUNK),
        max_message=config.max_message,
        max_streams=config.max_streams,
        credit=config.credit,
        session_credit=config.session_credit,
        authentication=opening_words(nonce, key=config.shared_key),
    )


def authentication_refusal(theirs: Hello, *, key: bytes | None) -> str | None:
    """Return why a listening end with this key, or none, does not take a client's HELLO up, or None."""
    method = theirs.authentication.get("method")
    if method is None:
        return None if key is None else "this listener asks for the shared key: set the same auth_key at the client"
    if key is None:
        return "the client asks for a shared key, and this listener has none: set the same auth_key at both ends"
    return None if method == METHOD else f"the client proves by {method[:40]!r}; this listener knows {METHOD!r} only"


def check_answer(ours: Hello, theirs: Hello) -> None:
    """Check that a listening end's HELLO answers the one that was sent.

    Raises:
        HandshakeError: it answers for another session, or begins anew one that was to be resumed, or the reverse.
        AuthenticationError: only one of the two ends has a shared key.
    """
    if ours.authentication.get("method") != theirs.authentication.get("method"):
        one = "the peer has no shared key" if "method" in ours.authentication else "the peer asks for a shared key"
        raise AuthenticationError(f"{one}: set the same auth_key at both ends")
    if theirs.session != ours.session:
        raise HandshakeError(f"the peer answers for session {theirs.session.hex()}, not for {ours.session.hex()}")
    if theirs.resume != ours.resume:
        asked, done = ("resumed", "begun anew") if ours.resume else ("begun anew", "resumed")
        raise HandshakeError(f"the session was to be {asked}, but the peer has {done} one")

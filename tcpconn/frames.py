"""The wire codec: what each frame looks like in bytes and in a log.

A frame is a header of 12 bytes in network order (`type u8, flags u8, reserved u16, stream u32, length u32`) and `length`
bytes of body. This module knows the layout of headers and bodies; what frames mean together is the multiplexer's and the
session's business.
"""

from __future__ import annotations

import reprlib
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import msgpack

from tcpconn.errors import HandshakeError, ProtocolError

__all__ = [
    "FIRST",
    "HEADER",
    "HEADER_SIZE",
    "LAST",
    "MAGIC",
    "MAX_CONTROL_BODY",
    "RESET",
    "UNKNOWN_TOTAL",
    "VERSION",
    "Code",
    "Frame",
    "FrameType",
    "Hello",
    "decode_frames",
]

HEADER = struct.Struct("!BBHII")
HEADER_SIZE = 12
U32 = struct.Struct("!I")
U64 = struct.Struct("!Q")
MAGIC = b"TCPN"
VERSION = 1
FIRST = 1
LAST = 2
RESET = 1
UNKNOWN_TOTAL = 2**64 - 1
MAX_CONTROL_BODY = 64 * 1024
"""No body of another frame than DATA may be longer, in bytes."""

_MAX_REASON = 1024
"""Bytes of text that go with a code."""

_MAX_ITEMS = 4096
"""Entries of one array or map within msgpack: the decoder takes memory for as many as are announced before they come."""

_LOWEST = {"max_chunk": 256, "max_message": 1, "max_streams": 1, "credit": 256, "session_credit": 256}
_HIGHEST = 2**63


class FrameType(IntEnum):
    """The first byte of a frame."""

    HELLO = 1
    DATA = 2
    OPEN = 3
    CLOSE = 4
    CREDIT = 5
    ACK = 6
    PING = 7
    PONG = 8
    GOAWAY = 9
    PROOF = 10


SEQUENCED = frozenset({FrameType.OPEN, FrameType.DATA, FrameType.CLOSE, FrameType.CREDIT})
"""Counted and acknowledged; the other types belong to one link and are never replayed."""


_FLAG_NAMES: dict[int, tuple[tuple[int, str], ...]] = {
    FrameType.DATA: ((FIRST, "first"), (LAST, "last")),
    FrameType.CLOSE: ((RESET, "reset"),),
}


class Code(IntEnum):
    """Why a stream was reset or a session is going away."""

    CLOSED = 0
    PROTOCOL_ERROR = 1
    REFUSED = 2
    DUPLICATE_ID = 3
    MESSAGE_TOO_LARGE = 4
    CANCELLED = 5
    UNKNOWN_SESSION = 6
    HANDSHAKE_FAILED = 7
    AUTHENTICATION_FAILED = 8
    SHUTTING_DOWN = 9
    INTERNAL_ERROR = 10
    REPLACED = 11
    TOO_FAST = 12

    @classmethod
    def describe(cls, number: int) -> str:
        """Return the code in words; a number that this version does not know stays a number."""
        try:
            return cls(number).name.lower().replace("_", " ")
        except ValueError:
            return f"code {number}"


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, for whoever does not need the speed of the inlined paths: control frames, tests and logs.

    Attributes:
        type: a `FrameType`, or the bare number of an unknown type.
        flags: FIRST and LAST for DATA, RESET for CLOSE.
        stream: 0 for frames that concern the whole session.
        body: the bytes after the header.
    """

    type: int
    flags: int = 0
    stream: int = 0
    body: bytes = b""

    def encode(self) -> bytes:
        """Return the frame as it goes over the wire."""
        return HEADER.pack(self.type, self.flags, 0, self.stream, len(self.body)) + self.body

    def __str__(self) -> str:
        words = []
        try:
            words.append(FrameType(self.type).name)
        except ValueError:
            words.append(f"TYPE-{self.type}")
        if self.stream:
            words.append(f"stream={self.stream}")
        unknown = self.flags
        for bit, word in _FLAG_NAMES.get(self.type, ()):
            if self.flags & bit:
                words.append(word)
                unknown &= ~bit
        if unknown:
            words.append(f"flags={unknown:#04x}")
        words.append(self._body_in_words())
        return " ".join(words)

    def _body_in_words(self) -> str:
        body = self.body
        try:
            match self.type:
                case FrameType.CREDIT:
                    return f"+{U32.unpack(body)[0]}"
                case FrameType.ACK:
                    return f"{U64.unpack(body)[0]} frames"
                case FrameType.PING | FrameType.PONG:
                    return str(U64.unpack(body)[0])
                case FrameType.OPEN:
                    return f"id={decode_open(body)[0]!r}"
                case FrameType.GOAWAY:
                    return _reason_in_words(body)
                case FrameType.CLOSE if self.flags & RESET:
                    return _reason_in_words(body)
                case FrameType.PROOF:
                    return f"{len(body)} bytes"
                case FrameType.HELLO:
                    hello = Hello.decode(body)
                    resuming = f"resuming after {hello.received}" if hello.resume else "new"
                    return f"session={hello.session.hex()[:8]} {resuming}"
        except (ProtocolError, HandshakeError, struct.error):
            pass
        shown = body[:12]
        return f"{len(body)} bytes {shown!r}{'…' if len(body) > len(shown) else ''}"


def _reason_in_words(body: bytes) -> str:
    code, text = decode_reason(body)
    return f"{Code.describe(code)}: {text}" if text else Code.describe(code)


def decode_frames(data: bytes) -> Iterator[Frame]:
    """Yield the frames that `data` holds from end to end.

    Raises:
        ProtocolError: `data` ends in the middle of a frame, or reserved bits are not zero.
    """
    position = 0
    while position < len(data):
        if len(data) - position < HEADER_SIZE:
            raise ProtocolError(f"{len(data) - position} bytes are too few for a frame header")
        kind, flags, reserved, stream, length = HEADER.unpack_from(data, position)
        if reserved:
            raise ProtocolError(f"a frame header's reserved bits are not zero: {reserved:#x}")
        position += HEADER_SIZE
        if len(data) - position < length:
            raise ProtocolError(f"a body of {length} bytes was announced, {len(data) - position} are there")
        yield Frame(kind, flags, stream, data[position : position + length])
        position += length


_pack_plain: Callable[[object], bytes] = msgpack.Packer().pack
"""For names alone, which run no code of a user's while they are packed, so that threads may share it; 1 µs less."""


def _pack(value: object) -> bytes:
    packed = msgpack.packb(value)
    assert isinstance(packed, bytes)
    return packed


def _unpack(body: bytes, what: str) -> Any:
    try:
        return msgpack.unpackb(body, strict_map_key=True, max_array_len=_MAX_ITEMS, max_map_len=_MAX_ITEMS)
    except (ValueError, msgpack.UnpackException, RecursionError) as error:
        raise ProtocolError(f"{what} does not hold valid msgpack: {error}") from error


def credit(stream: int, count: int) -> Frame:
    """Grant `count` more bytes on a stream, or on the session as a whole for stream 0."""
    return Frame(FrameType.CREDIT, 0, stream, U32.pack(count))


def ack(count: int) -> Frame:
    """Acknowledge that `count` sequenced frames have been received since the session began."""
    return Frame(FrameType.ACK, 0, 0, U64.pack(count))


def ping(token: int) -> Frame:
    """Ask the peer for an acknowledgement and for a PONG with the same token."""
    return Frame(FrameType.PING, 0, 0, U64.pack(token))


def pong(token: int) -> Frame:
    """Answer a PING."""
    return Frame(FrameType.PONG, 0, 0, U64.pack(token))


def close(stream: int) -> Frame:
    """Say that this end sends no more data on the stream."""
    return Frame(FrameType.CLOSE, 0, stream)


def reset(stream: int, code: int, text: str) -> Frame:
    """End both directions of a stream, with the reason."""
    return Frame(FrameType.CLOSE, RESET, stream, _encode_reason(code, text))


def goaway(code: int, text: str) -> Frame:
    """Say that this end opens and accepts no more streams, and why."""
    return Frame(FrameType.GOAWAY, 0, 0, _encode_reason(code, text))


def proof(mac: bytes) -> Frame:
    """Prove what the HELLO before says; see `authentication`."""
    return Frame(FrameType.PROOF, 0, 0, mac)


def _encode_reason(code: int, text: str) -> bytes:
    # A character that the limit would cut in two is left out.
    shown = text.encode("utf-8", "replace")[:_MAX_REASON].decode("utf-8", "ignore")
    return U32.pack(code) + shown.encode()


def decode_reason(body: bytes) -> tuple[int, str]:
    """Read the code and the text of a GOAWAY or a reset; what is not printable in the text becomes "?".

    Raises:
        ProtocolError: the body is shorter than a code.
    """
    if len(body) < U32.size:
        raise ProtocolError(f"a reason of {len(body)} bytes is too short for its code")
    text = body[U32.size : U32.size + _MAX_REASON].decode("utf-8", "replace")
    # The text goes into logs and onto terminals, where a stranger must not write lines and escapes of his own.
    return U32.unpack_from(body)[0], "".join(character if character.isprintable() else "?" for character in text)


def open_stream(stream: int, name: str | bytes, metadata: Mapping[str, Any] | None) -> Frame:
    """Open a stream under a logical id; the metadata is any map that msgpack can hold, with texts for keys.

    Raises:
        ValueError: the peer would not take the id or the metadata; the text says why.
        TypeError: msgpack cannot hold something in the metadata.
    """
    if not metadata and _is_name(name):
        return Frame(FrameType.OPEN, 0, stream, _pack_plain([name, {}]))
    try:
        body = _pack([name, dict(metadata or {})])
    except OverflowError as error:
        raise ValueError(f"the metadata of id {reprlib.repr(name)} holds a number of more than 64 bits") from error
    if len(body) > MAX_CONTROL_BODY:
        raise ValueError(f"the metadata of id {reprlib.repr(name)} takes {len(body)} bytes; {MAX_CONTROL_BODY} are allowed")
    try:
        decode_open(body)
    except ProtocolError as error:
        # At the peer this would end the link, and with it everybody else's connections.
        raise ValueError(f"the id {reprlib.repr(name)} or its metadata cannot be sent: {error}") from error
    return Frame(FrameType.OPEN, 0, stream, body)


def _is_name(name: object) -> bool:
    return isinstance(name, str | bytes) and 1 <= len(name if isinstance(name, bytes) else name.encode()) <= 255


def decode_open(body: bytes) -> tuple[str | bytes, dict[str, Any]]:
    """Read the logical id and the metadata of an OPEN.

    Raises:
        ProtocolError: the body is not a well-formed OPEN.
    """
    value = _unpack(body, "OPEN")
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[1], dict)):
        raise ProtocolError("OPEN does not hold an id and a map of metadata")
    name, metadata = value
    if not _is_name(name):
        raise ProtocolError(f"OPEN names the id {reprlib.repr(name)}; an id is text or bytes of 1 to 255 bytes")
    if not all(isinstance(key, str) for key in metadata):
        raise ProtocolError("OPEN holds metadata with a key that is not text")
    return name, metadata


@dataclass(frozen=True, slots=True)
class Hello:
    """What each end tells the other first on every link.

    Attributes:
        session: 16 random bytes, chosen by the client when the session begins.
        resume: whether the link continues a session that the server should still know.
        received: how many sequenced frames of this session the sender of the HELLO has received.
        max_chunk: largest body, in bytes, of a DATA frame that the sender of the HELLO accepts.
        max_message: largest message that it accepts, in bytes.
        max_streams: how many streams it lets the other end have open at a time.
        credit: bytes that each new stream may send to it before it grants more.
        session_credit: bytes that all streams together may send to it before it grants more; `credit` or more.
        capabilities: names of optional features, for versions to come.
        authentication: what the two ends' proofs are made of; see `authentication`.
    """

    session: bytes
    resume: bool = False
    received: int = 0
    max_chunk: int = (1 << 20) + (64 << 10)
    max_message: int = 1 << 30
    max_streams: int = 100_000
    credit: int = (2 << 20) + (64 << 10)
    session_credit: int = 64 << 20
    capabilities: tuple[str, ...] = ()
    authentication: dict[str, bytes] = field(default_factory=dict, repr=False)

    def encode(self) -> Frame:
        """Return the HELLO frame."""
        fields = {
            "session": self.session,
            "resume": self.resume,
            "received": self.received,
            "max_chunk": self.max_chunk,
            "max_message": self.max_message,
            "max_streams": self.max_streams,
            "credit": self.credit,
            "session_credit": self.session_credit,
            "capabilities": list(self.capabilities),
            "authentication": self.authentication,
        }
        return Frame(FrameType.HELLO, 0, 0, MAGIC + bytes([VERSION]) + _pack(fields))

    @classmethod
    def decode(cls, body: bytes) -> Hello:
        """Read the body of a HELLO; fields that this version does not know are ignored.

        Raises:
            HandshakeError: wrong magic, another protocol version, or fields that make no sense.
        """
        if body[: len(MAGIC)] != MAGIC:
            raise HandshakeError(f"the first frame begins with {body[:4]!r}, not with {MAGIC!r}: the peer is not tcpconn")
        if len(body) == len(MAGIC) or body[len(MAGIC)] != VERSION:
            theirs = body[len(MAGIC)] if len(body) > len(MAGIC) else "none"
            raise HandshakeError(f"the peer speaks protocol version {theirs}, this end version {VERSION}")
        try:
            value = _unpack(body[len(MAGIC) + 1 :], "HELLO")
        except ProtocolError as error:
            raise HandshakeError(str(error)) from error
        if not isinstance(value, dict):
            raise HandshakeError("HELLO does not hold a map")
        hello = cls(
            session=_checked(value, "session", bytes, lambda session: len(session) == 16),
            resume=_checked(value, "resume", bool),
            received=_checked(value, "received", int, lambda received: 0 <= received < _HIGHEST),
            capabilities=tuple(
                _checked(value, "capabilities", list, lambda names: all(isinstance(name, str) for name in names))
            ),
            authentication=_checked(
                value,
                "authentication",
                dict,
                lambda proof: all(isinstance(key, str) and isinstance(item, bytes) for key, item in proof.items()),
            ),
            **{
                name: _checked(value, name, int, lambda number, low=low: low <= number < _HIGHEST)
                for name, low in _LOWEST.items()
            },
        )
        # Else a frame that a stream has credit for might never have the session's.
        if hello.session_credit < hello.credit:
            raise HandshakeError(f"HELLO holds session_credit={hello.session_credit}, less than credit={hello.credit}")
        return hello


def _checked(value: dict[str, Any], name: str, kind: type, allowed: Any = lambda _: True) -> Any:
    found = value.get(name)
    if type(found) is not kind or not allowed(found):
        raise HandshakeError(f"HELLO holds {name}={reprlib.repr(found)}, which is missing or out of range")
    return found

"""The first exchange on a link, under every split of the bytes and with every kind of stranger at the other end."""

from __future__ import annotations

import dataclasses
import itertools
import struct
from collections.abc import Iterable

import msgpack
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tcpconn import frames
from tcpconn.authentication import METHOD, PROOF_SIZE, needs_proof
from tcpconn.config import Config
from tcpconn.errors import AuthenticationError, ConnectError, HandshakeError, TcpconnError
from tcpconn.frames import HEADER, HEADER_SIZE, MAGIC, MAX_CONTROL_BODY, VERSION, Code, Frame, FrameType, Hello
from tcpconn.handshake import HelloReader, ProofReader, authentication_refusal, check_answer, client_hello, server_hello

_quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

SESSION = bytes(range(16))
NONCE = bytes(range(100, 132))
HELLO = client_hello(Config(), SESSION)
WIRE = HELLO.encode().encode()

HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
TLS_CLIENT_HELLO = bytes.fromhex("16030100c4010000c00303") + bytes(32)
ZMTP_GREETING = bytes.fromhex("ff00000000000000017f0301") + b"NULL".ljust(52, b"\0")


def feed_all(reader: HelloReader, pieces: Iterable[bytes]) -> tuple[Hello | None, bytes]:
    """Feed pieces until the HELLO is there; return it and all that came behind it."""
    pieces = iter(pieces)
    for piece in pieces:
        hello = reader.feed(piece)
        if hello is not None:
            return hello, reader.rest + b"".join(pieces)
    return None, b""


def split(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Cut data at these places."""
    places = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


def refusal(data: bytes, size: int = 1 << 20) -> HandshakeError:
    """Return the error of a reader that is fed data in pieces of `size` bytes."""
    pieces = [data[start : start + size] for start in range(0, len(data), size)]
    with pytest.raises(HandshakeError) as caught:
        feed_all(HelloReader(), pieces)
    return caught.value


# -- a HELLO


@pytest.mark.parametrize("first", range(1, len(WIRE) + 6))
def test_a_hello_is_read_however_it_is_cut_in_two(first: int) -> None:
    wire = WIRE + b"after"
    assert feed_all(HelloReader(), [wire[:first], wire[first:]]) == (HELLO, b"after")


def test_a_hello_is_read_byte_by_byte_and_is_there_with_its_last_byte() -> None:
    reader = HelloReader()
    for byte in WIRE[:-1]:
        assert reader.feed(bytes([byte])) is None
    assert reader.feed(WIRE[-1:]) == HELLO
    assert reader.rest == b""


@_quick
@given(st.lists(st.integers(0, 10_000), max_size=30), st.binary(max_size=300))
def test_a_hello_and_what_follows_it_are_told_apart_under_any_split(cuts: list[int], rest: bytes) -> None:
    assert feed_all(HelloReader(), split(WIRE + rest, cuts)) == (HELLO, rest)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_come_in_any_buffer_and_are_not_kept(kind: type[bytes] | type[bytearray] | type[memoryview]) -> None:
    source = bytearray(WIRE + b"rest")
    reader = HelloReader()
    assert reader.feed(kind(source)) == HELLO
    source[:] = bytes(len(source))
    assert reader.rest == b"rest"


def test_nothing_is_decided_by_no_bytes() -> None:
    reader = HelloReader()
    assert reader.feed(b"") is None
    assert reader.feed(WIRE) == HELLO


def test_a_reader_that_has_its_hello_takes_nothing_more() -> None:
    reader = HelloReader()
    reader.feed(WIRE)
    with pytest.raises(RuntimeError, match="the HELLO is complete"):
        reader.feed(b"x")


def test_a_reader_shows_how_far_it_is() -> None:
    reader = HelloReader()
    assert repr(reader) == "<HelloReader waiting bytes=0>"
    reader.feed(WIRE[:20])
    assert repr(reader) == "<HelloReader waiting bytes=20>"
    reader.feed(WIRE[20:] + b"rest")
    assert repr(reader) == f"<HelloReader done bytes={len(WIRE)}>"


# -- strangers


@pytest.mark.parametrize(
    ("greeting", "name"),
    [
        (HTTP_REQUEST, "HTTP"),
        (b"POST /submit HTTP/1.1\r\n\r\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP"),
        (TLS_CLIENT_HELLO, "TLS"),
        (bytes.fromhex("15030300020228"), "TLS"),
        (ZMTP_GREETING, "ZeroMQ"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH"),
        (b"*1\r\n$4\r\nPING\r\n", "Redis"),
        (b"-ERR unknown command\r\n", "Redis"),
        (b"AMQP\x00\x00\x09\x01", "AMQP"),
        (bytes.fromhex("0000000804d2162f"), "PostgreSQL"),
        (bytes.fromhex("0000002900030000") + b"user\0me\0\0", "PostgreSQL"),
    ],
)
def test_a_peer_of_another_protocol_is_named(greeting: bytes, name: str) -> None:
    error = refusal(greeting)
    assert str(error).startswith(f"the peer speaks {name}, not tcpconn")
    assert error.code is None


def test_a_tls_peer_gets_the_hint_that_one_end_may_lack_tls() -> None:
    assert "TLS set up at one end only" in str(refusal(TLS_CLIENT_HELLO))


@pytest.mark.parametrize(
    "greeting", [HTTP_REQUEST, TLS_CLIENT_HELLO, ZMTP_GREETING, b"SSH-2.0-x\r\n", b"\0" * 40, b"\xff" * 40]
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 11, 12, 13])
def test_a_stranger_is_refused_with_its_first_piece_however_small(greeting: bytes, size: int) -> None:
    reader = HelloReader()
    with pytest.raises(HandshakeError, match="the peer"):
        reader.feed(greeting[:size])


def test_an_unknown_beginning_is_shown() -> None:
    assert str(refusal(b"\x80hello, is anybody there?")) == (
        "the peer does not speak tcpconn: it begins with b'\\x80hello, is a', and no frame has the type 128"
    )


@pytest.mark.parametrize("kind", [kind for kind in FrameType if kind not in (FrameType.HELLO, FrameType.GOAWAY)])
def test_a_first_frame_of_another_type_is_named(kind: FrameType) -> None:
    assert str(refusal(Frame(kind).encode())) == f"the peer's first frame is {kind.name}, not HELLO"


@pytest.mark.parametrize("kind", [FrameType.HELLO, FrameType.GOAWAY])
@pytest.mark.parametrize(
    ("header", "text"),
    [
        ((0x80, 0, 0, 10), "has the flags 0x80; none are defined"),
        ((0, 1, 0, 10), "has reserved bits that are not zero"),
        ((0, 0, 1, 10), "is for a stream; it must be for stream 0"),
        ((0, 0, 0, MAX_CONTROL_BODY + 1), f"announces at least {MAX_CONTROL_BODY + 1} bytes; {MAX_CONTROL_BODY} are allowed"),
        ((0, 0, 0, 2**32 - 1), f"{MAX_CONTROL_BODY} are allowed"),
    ],
)
def test_a_wrong_header_is_refused_before_the_body_comes(kind: FrameType, header: tuple[int, int, int, int], text: str) -> None:
    error = refusal(HEADER.pack(kind, *header))
    assert str(error).startswith(f"the peer's first frame, {kind.name}, ")
    assert text in str(error)


def test_a_huge_length_is_refused_at_the_byte_that_shows_it() -> None:
    reader = HelloReader()
    assert reader.feed(bytes([FrameType.HELLO, 0, 0, 0, 0, 0, 0, 0])) is None
    with pytest.raises(HandshakeError, match="announces at least 16777216 bytes"):
        reader.feed(b"\x01")


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_the_wrong_magic_is_refused_before_the_rest_of_the_body_comes(size: int) -> None:
    wire = HEADER.pack(FrameType.HELLO, 0, 0, 0, 60_000) + b"TCPX"
    assert "not with b'TCPN'" in str(refusal(wire, size))


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_another_version_is_refused_before_the_rest_of_the_body_comes(size: int) -> None:
    wire = HEADER.pack(FrameType.HELLO, 0, 0, 0, 60_000) + MAGIC + bytes([VERSION + 1])
    assert "the peer speaks protocol version 2, this end version 1" in str(refusal(wire, size))


@pytest.mark.parametrize("body", [b"", b"TC", MAGIC, MAGIC + bytes([VERSION])])
def test_a_hello_that_is_too_short_is_refused(body: bytes) -> None:
    assert isinstance(refusal(Frame(FrameType.HELLO, 0, 0, body).encode()), HandshakeError)


def test_a_hello_whose_fields_make_no_sense_is_refused() -> None:
    body = MAGIC + bytes([VERSION]) + bytes(msgpack.packb({"session": b"short"}))
    assert "session=b'short'" in str(refusal(Frame(FrameType.HELLO, 0, 0, body).encode()))


_garbage = st.binary(max_size=200) | st.builds(
    lambda kind, body: Frame(kind, 0, 0, body).encode(), st.sampled_from([1, 9]), st.binary(max_size=100)
)


@_quick
@given(_garbage, st.lists(st.integers(0, 300), max_size=5))
@example(Frame(FrameType.HELLO, 0, 0, MAGIC + b"\x01\x81\xa7session" + b"\x91" * 1020 + b"\xc0").encode(), [])
def test_garbage_under_any_split_is_waited_for_or_refused_and_nothing_else(data: bytes, cuts: list[int]) -> None:
    reader = HelloReader()
    try:
        hello, _ = feed_all(reader, split(data, cuts))
    except HandshakeError:
        return
    assert hello is None
    assert "waiting" in repr(reader)
    # Only what can still become a first frame is waited for.
    if data:
        assert data[0] in (FrameType.HELLO, FrameType.GOAWAY)
        length = int.from_bytes(data[8:HEADER_SIZE].ljust(4, b"\0"), "big")
        assert len(data) < HEADER_SIZE + max(length, 1)


@_quick
@given(_garbage)
def test_the_verdict_does_not_depend_on_the_split(data: bytes) -> None:
    def verdict(size: int) -> bool:
        reader = HelloReader()
        try:
            return feed_all(reader, (data[start : start + size] for start in range(0, len(data), size)))[0] is None
        except HandshakeError:
            return False

    assert len({verdict(size) for size in (1, 2, 5, 13, 1000)}) == 1


def test_a_first_frame_as_long_as_is_allowed_is_taken() -> None:
    body = HELLO.encode().body
    # A map of eleven fields, the last of which this version does not know and ignores.
    known = body[len(MAGIC) + 2 :]
    room = MAX_CONTROL_BODY - len(body) - len(msgpack.packb("padding")) - 3
    padded = body[: len(MAGIC) + 1] + b"\x8b" + known + msgpack.packb("padding") + msgpack.packb(bytes(room))
    assert len(padded) == MAX_CONTROL_BODY
    assert HelloReader().feed(Frame(FrameType.HELLO, 0, 0, padded).encode()) == HELLO


# -- a refusal


def test_a_goaway_in_place_of_a_hello_is_a_handshake_error_with_its_code() -> None:
    error = refusal(frames.goaway(Code.UNKNOWN_SESSION, "the listener was restarted").encode(), 3)
    assert str(error) == "the peer refused the link: unknown session: the listener was restarted"
    assert error.code == Code.UNKNOWN_SESSION
    assert not isinstance(error, AuthenticationError)
    assert isinstance(error, ConnectError)


def test_a_refusal_for_lack_of_proof_is_an_authentication_error() -> None:
    error = refusal(frames.goaway(Code.AUTHENTICATION_FAILED, "wrong key").encode())
    assert isinstance(error, AuthenticationError)
    assert error.code == Code.AUTHENTICATION_FAILED


def test_a_refusal_without_words_is_told_by_its_code() -> None:
    assert str(refusal(frames.goaway(77, "").encode())) == "the peer refused the link: code 77"


def test_a_refusal_without_a_code_is_a_handshake_error_all_the_same() -> None:
    error = refusal(Frame(FrameType.GOAWAY, 0, 0, b"no").encode())
    assert "refused the link without a valid reason" in str(error)
    assert error.code is None


def test_the_peers_words_are_kept_short_and_on_one_line() -> None:
    error = refusal(Frame(FrameType.GOAWAY, 0, 0, struct.pack("!I", 2) + b"a\nb\x1b[2J" + b"x" * 60_000).encode())
    assert str(error).startswith("the peer refused the link: refused: a?b?[2Jxxx")
    assert len(str(error)) < 600


# -- what this end says


def test_a_hello_announces_the_limits_of_the_config() -> None:
    config = Config(max_message=1000, max_streams=7, credit=8192, session_credit=16384, chunk_size=4 << 20)
    for make in (client_hello, server_hello):
        hello = make(config, SESSION, NONCE)
        assert hello == Hello(SESSION, False, 0, 4 << 20, 1000, 7, 8192, 16384, (), {"nonce": NONCE})


def test_a_lone_message_of_a_mebibyte_may_come_in_one_chunk_with_its_total_whatever_this_end_sends() -> None:
    assert client_hello(Config(chunk_size=256), SESSION).max_chunk >= (1 << 20) + 8


def test_a_hello_without_limits_has_those_of_the_default_config() -> None:
    assert dataclasses.replace(HELLO, authentication={}) == Hello(SESSION)


_CONFIGS = [
    Config(),
    Config(max_message=1, max_streams=1, credit=4096, session_credit=4096, chunk_size=256),
    Config(max_message=2**63 - 1, max_streams=1 << 30, credit=2**31 - 1, session_credit=2**31 - 1, chunk_size=16 << 20),
]


@pytest.mark.parametrize("config", _CONFIGS, ids=["default", "least", "most"])
def test_every_config_makes_a_hello_that_peers_accept(config: Config) -> None:
    hello = client_hello(config, SESSION)
    assert HelloReader().feed(hello.encode().encode()) == hello


# -- the answer


@pytest.mark.parametrize("resume", [False, True])
def test_an_answer_for_the_same_session_begun_or_resumed_as_asked_is_good(resume: bool) -> None:
    theirs = server_hello(Config(credit=4096), SESSION)
    check_answer(dataclasses.replace(HELLO, resume=resume), dataclasses.replace(theirs, resume=resume, received=3))


def test_an_answer_for_another_session_is_a_handshake_error() -> None:
    with pytest.raises(HandshakeError, match=f"answers for session {'ff' * 16}, not for {SESSION.hex()}"):
        check_answer(HELLO, dataclasses.replace(HELLO, session=b"\xff" * 16))


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (True, "was to be resumed, but the peer has begun anew one"),
        (False, "was to be begun anew, but the peer has resumed one"),
    ],
)
def test_an_answer_that_does_otherwise_than_asked_is_a_handshake_error(asked: bool, text: str) -> None:
    with pytest.raises(TcpconnError, match=text):
        check_answer(dataclasses.replace(HELLO, resume=asked), dataclasses.replace(HELLO, resume=not asked))


# -- proofs

KEYED = client_hello(Config(auth_key=b"k" * 16), SESSION, NONCE)
PROOF = frames.proof(bytes(range(PROOF_SIZE))).encode()


def feed_proof(pieces: Iterable[bytes]) -> tuple[bytes | None, bytes]:
    """Feed pieces until the proof is there; return it and all that came behind it."""
    reader = ProofReader()
    pieces = iter(pieces)
    for piece in pieces:
        proof = reader.feed(piece)
        if proof is not None:
            return proof, reader.rest + b"".join(pieces)
    return None, b""


def test_a_hello_names_the_method_only_with_a_key_and_announces_a_proof_then() -> None:
    assert KEYED.authentication == {"nonce": NONCE, "method": METHOD}
    assert HELLO.authentication == {"nonce": b""}
    assert needs_proof(KEYED)
    assert not needs_proof(HELLO)
    assert needs_proof(dataclasses.replace(HELLO, resume=True))


@_quick
@given(st.lists(st.integers(0, 10_000), max_size=10), st.binary(max_size=30))
def test_a_proof_and_what_follows_it_are_told_apart_under_any_split(cuts: list[int], rest: bytes) -> None:
    assert feed_proof(split(PROOF + rest, cuts)) == (bytes(range(PROOF_SIZE)), rest)


@pytest.mark.parametrize("end", range(len(PROOF)))
def test_part_of_a_proof_is_none(end: int) -> None:
    assert feed_proof([PROOF[:end]]) == (None, b"")


@pytest.mark.parametrize(
    "words",
    [
        WIRE,
        Frame(FrameType.OPEN, 0, 1, b"x" * 32).encode(),
        Frame(FrameType.PROOF, 1, 0, bytes(32)).encode(),
        Frame(FrameType.PROOF, 0, 1, bytes(32)).encode(),
        Frame(FrameType.PROOF, 0, 0, bytes(33)).encode(),
        HEADER.pack(FrameType.PROOF, 0, 1, 0, 32),
        HEADER.pack(FrameType.PROOF, 0, 0, 0, 1 << 31)[:9],
        HEADER.pack(FrameType.GOAWAY, 0, 0, 0, 1 << 20),
    ],
)
@pytest.mark.parametrize("size", [1, 12, 100])
def test_whatever_comes_in_place_of_a_proof_is_an_authentication_error_by_its_header(words: bytes, size: int) -> None:
    pieces = [words[:12][start : start + size] for start in range(0, 12, size)]
    with pytest.raises(AuthenticationError, match="sent no proof behind its HELLO"):
        feed_proof(pieces)


def test_a_refusal_in_place_of_a_proof_is_told_with_its_reason() -> None:
    with pytest.raises(AuthenticationError, match="the peer refused the link: authentication failed: wrong") as caught:
        feed_proof([frames.goaway(Code.AUTHENTICATION_FAILED, "wrong").encode()])
    assert caught.value.code == Code.AUTHENTICATION_FAILED


def test_a_listener_takes_only_who_has_a_key_if_it_has_one_itself() -> None:
    assert authentication_refusal(HELLO, key=None) is None
    assert authentication_refusal(KEYED, key=b"k") is None
    assert "set the same auth_key at the client" in str(authentication_refusal(HELLO, key=b"k"))
    assert "set the same auth_key at both ends" in str(authentication_refusal(KEYED, key=None))
    other = dataclasses.replace(KEYED, authentication={"nonce": NONCE, "method": b"x" * 1000})
    assert len(str(authentication_refusal(other, key=b"k"))) < 200


@pytest.mark.parametrize(
    ("ours", "theirs", "text"), [(KEYED, HELLO, "the peer has no shared key"), (HELLO, KEYED, "the peer asks for a shared key")]
)
def test_an_answer_of_an_end_that_alone_has_a_key_or_has_none_is_refused(ours: Hello, theirs: Hello, text: str) -> None:
    with pytest.raises(AuthenticationError, match=f"{text}: set the same auth_key at both ends"):
        check_answer(ours, theirs)

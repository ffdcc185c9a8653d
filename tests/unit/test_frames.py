"""The wire codec: round trips, hostile bodies, and frames as a log shows them."""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import re
import struct
from typing import Any

import msgpack
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tcpconn import frames
from tcpconn.errors import HandshakeError, ProtocolError
from tcpconn.frames import (
    FIRST,
    HEADER_SIZE,
    LAST,
    MAGIC,
    MAX_CONTROL_BODY,
    UNKNOWN_TOTAL,
    VERSION,
    Code,
    Frame,
    FrameType,
    Hello,
    decode_frames,
)

_quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

_OPENING = MAGIC + bytes([VERSION])
_U8 = st.integers(0, 2**8 - 1)
_U32 = st.integers(0, 2**32 - 1)
_U64 = st.integers(0, 2**64 - 1)
_ANY_FRAME = st.builds(Frame, _U8, _U8, _U32, st.binary(max_size=100))
_KEYS = st.text(max_size=10)
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=10) | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=10,
)
_NAMES = st.text(min_size=1, max_size=60) | st.binary(min_size=1, max_size=255)


@st.composite
def hellos(draw: st.DrawFn) -> Hello:
    """Draw a HELLO that makes sense."""
    sizes = st.integers(256, 2**63 - 1)
    credit, session_credit = sorted((draw(sizes), draw(sizes)))
    return Hello(
        session=draw(st.binary(min_size=16, max_size=16)),
        resume=draw(st.booleans()),
        received=draw(st.integers(0, 2**63 - 1)),
        max_chunk=draw(sizes),
        max_message=draw(st.integers(1, 2**63 - 1)),
        max_streams=draw(st.integers(1, 2**63 - 1)),
        credit=credit,
        session_credit=session_credit,
        capabilities=tuple(draw(st.lists(st.text(max_size=5), max_size=3))),
        authentication=draw(st.dictionaries(st.text(max_size=5), st.binary(max_size=5), max_size=3)),
    )


HELLO = Hello(session=bytes(range(16)))


def hello_body(**changes: object) -> bytes:
    """Return the body of a HELLO some of whose fields were replaced, or taken out by `...`."""
    fields = msgpack.unpackb(HELLO.encode().body[len(_OPENING) :])
    fields.update(changes)
    return _OPENING + bytes(msgpack.packb({name: value for name, value in fields.items() if value is not ...}))


# -- headers


def test_a_header_is_twelve_bytes_in_network_order() -> None:
    assert (
        Frame(FrameType.DATA, FIRST | LAST, 0x01020304, b"abc").encode() == bytes.fromhex("020300000102030400000003") + b"abc"
    )


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (frames.open_stream(1, "a", None), "03000000 00000001 00000004 92 a161 80"),
        (frames.open_stream(2, b"\xff", {"k": 7}), "03000000 00000002 00000008 92 c401ff 81a16b07"),
        (frames.close(3), "04000000 00000003 00000000"),
        (frames.reset(3, Code.CANCELLED, "no"), "04010000 00000003 00000006 00000005 6e6f"),
        (frames.credit(4, 0x10000), "05000000 00000004 00000004 00010000"),
        (frames.credit(0, 1), "05000000 00000000 00000004 00000001"),
        (frames.ack(5), "06000000 00000000 00000008 0000000000000005"),
        (frames.ping(6), "07000000 00000000 00000008 0000000000000006"),
        (frames.pong(UNKNOWN_TOTAL), "08000000 00000000 00000008 ffffffffffffffff"),
        (frames.goaway(Code.SHUTTING_DOWN, ""), "09000000 00000000 00000004 00000009"),
    ],
)
def test_every_frame_goes_over_the_wire_as_the_specification_writes_it(frame: Frame, wire: str) -> None:
    assert frame.encode() == bytes.fromhex(wire)


def test_a_hello_begins_with_the_magic_and_the_version() -> None:
    wire = HELLO.encode().encode()
    assert wire[:HEADER_SIZE] == struct.pack("!BBHII", 1, 0, 0, 0, len(wire) - HEADER_SIZE)
    assert wire[HEADER_SIZE : HEADER_SIZE + 5] == b"TCPN\x01"


def test_the_session_as_a_whole_is_counted_by_four_types_of_frame() -> None:
    assert {kind.name for kind in frames.SEQUENCED} == {"OPEN", "DATA", "CLOSE", "CREDIT"}


@_quick
@given(st.lists(_ANY_FRAME, max_size=10))
def test_frames_come_back_as_they_were_encoded(sent: list[Frame]) -> None:
    assert list(decode_frames(b"".join(frame.encode() for frame in sent))) == sent


@_quick
@given(st.lists(_ANY_FRAME, min_size=1, max_size=4))
def test_bytes_cut_at_any_place_give_the_frames_before_and_then_an_error(sent: list[Frame]) -> None:
    wire = b"".join(frame.encode() for frame in sent)
    ends = [0]
    for frame in sent:
        ends.append(ends[-1] + len(frame.encode()))
    for cut in range(len(wire)):
        whole = sum(end <= cut for end in ends) - 1
        found: list[Frame] = []
        if cut in ends:
            assert list(decode_frames(wire[:cut])) == sent[:whole]
            continue
        with pytest.raises(ProtocolError, match=r"too few for a frame header|was announced") as caught:
            found.extend(decode_frames(wire[:cut]))
        assert found == sent[:whole]
        assert caught.value.code == Code.PROTOCOL_ERROR


def test_reserved_bits_must_be_zero() -> None:
    with pytest.raises(ProtocolError, match="reserved bits are not zero: 0x100"):
        list(decode_frames(bytes.fromhex("020001000000000100000000")))


# -- OPEN


@_quick
@given(_NAMES, st.dictionaries(_KEYS, _VALUES, max_size=4))
def test_an_open_carries_its_id_and_its_metadata(name: str | bytes, metadata: dict[str, Any]) -> None:
    found_name, found = frames.decode_open(frames.open_stream(1, name, metadata).body)
    assert type(found_name) is type(name)
    assert (found_name, found) == (name, metadata)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({1: "x"}, "not allowed for map key"),
        ({"nested": {1: "x"}}, "not allowed for map key"),
        ({b"bytes": 1}, "key that is not text"),
        ({"n": 2**64}, "more than 64 bits"),
        ({"long": list(range(5000))}, "4096"),
        ({"big": bytes(MAX_CONTROL_BODY)}, f"{MAX_CONTROL_BODY} are allowed"),
    ],
)
def test_metadata_that_the_peer_would_not_take_is_refused_by_the_sender(metadata: dict[Any, Any], why: str) -> None:
    # At the peer it would be a ProtocolError, which ends the link for every connection on it.
    with pytest.raises(ValueError, match=why):
        frames.open_stream(1, "orders", metadata)


def test_metadata_that_msgpack_does_not_know_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        frames.open_stream(1, "orders", {"file": object()})


@pytest.mark.parametrize("name", ["", b"", "x" * 256, b"x" * 256, "é" * 128])
def test_an_id_has_1_to_255_bytes(name: str | bytes) -> None:
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        frames.open_stream(1, name, None)


@pytest.mark.parametrize(
    "value",
    [[], ["a"], ["a", {}, 1], {"a": 1}, "a", 7, None, ["a", []], [7, {}], [None, {}], [["a"], {}], ["", {}], ["a", {b"k": 1}]],
)
def test_an_open_of_another_shape_is_a_protocol_error(value: object) -> None:
    with pytest.raises(ProtocolError, match="OPEN"):
        frames.decode_open(msgpack.packb(value))


_garbage = given(st.binary(max_size=200) | _VALUES.map(msgpack.packb) | st.lists(_VALUES, max_size=3).map(msgpack.packb))

_BOMB = (b"\xdd" + (60_000).to_bytes(4, "big")) * 1000
_NESTED = b"\x91" * 1020 + b"\xc0"
"""Deep enough that repr() of it raises RecursionError, and not so deep that msgpack refuses it."""


@_quick
@_garbage
@example(b"\x92" + _NESTED + b"\x80")
@example(b"\x91" * 60_000)
@example(_BOMB)
@example(b"\x92\xa1\xff\x80")
@example(b"\x92\xc7\x0c\xff" + b"\xff" * 12 + b"\x80")
def test_garbage_in_an_open_is_a_protocol_error_or_an_open(body: bytes) -> None:
    try:
        name, metadata = frames.decode_open(body)
    except ProtocolError as error:
        assert len(str(error)) < 500  # noqa: PT017
    else:
        assert isinstance(name, str | bytes)
        assert all(isinstance(key, str) for key in metadata)


def test_an_array_may_not_announce_more_entries_than_it_is_worth_taking_memory_for() -> None:
    with pytest.raises(ProtocolError, match="exceeds max_array_len"):
        frames.decode_open(_BOMB.ljust(MAX_CONTROL_BODY, b"\xc0"))


# -- reasons


@_quick
@given(_U32, st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=200))
def test_a_reason_keeps_its_code_and_its_text(code: int, text: str) -> None:
    assert frames.decode_reason(frames.goaway(code, text).body) == (code, text)
    assert frames.decode_reason(frames.reset(1, code, text).body) == (code, text)


def test_a_long_reason_is_cut_between_two_characters() -> None:
    body = frames.goaway(1, "é" * 511 + "€" + "x").body
    assert frames.decode_reason(body) == (1, "é" * 511)


def test_text_that_is_no_unicode_is_sent_with_question_marks() -> None:
    assert frames.decode_reason(frames.goaway(1, "a\ud800b").body) == (1, "a?b")


def test_a_strangers_reason_cannot_write_lines_or_escapes_into_a_log() -> None:
    assert frames.decode_reason(b"\0\0\0\2bad\r\nCRITICAL \x1b[31mhacked\0") == (2, "bad??CRITICAL ?[31mhacked?")


@_quick
@given(st.binary(max_size=3000))
def test_any_body_of_four_bytes_or_more_is_a_reason(body: bytes) -> None:
    if len(body) < 4:
        with pytest.raises(ProtocolError, match=f"{len(body)} bytes is too short"):
            frames.decode_reason(body)
    else:
        code, text = frames.decode_reason(body)
        assert code == int.from_bytes(body[:4], "big")
        assert text.isprintable()
        assert len(text) <= 1024


# -- HELLO


@_quick
@given(hellos())
def test_a_hello_comes_back_as_it_was_encoded(hello: Hello) -> None:
    frame = hello.encode()
    assert (frame.type, frame.flags, frame.stream) == (FrameType.HELLO, 0, 0)
    assert Hello.decode(frame.body) == hello


def test_fields_of_versions_to_come_are_ignored() -> None:
    assert Hello.decode(hello_body(colour="blue", compression=["zstd"])) == HELLO


@pytest.mark.parametrize("body", [b"", b"T", b"TCP", b"HTTP\x01", b"tcpn\x01"])
def test_another_magic_is_a_handshake_error_that_shows_it(body: bytes) -> None:
    with pytest.raises(HandshakeError, match="the peer is not tcpconn") as caught:
        Hello.decode(body)
    assert repr(body[:4]) in str(caught.value)


@pytest.mark.parametrize(("body", "theirs"), [(MAGIC, "none"), (MAGIC + b"\0", "0"), (MAGIC + b"\2\x80", "2")])
def test_another_version_is_a_handshake_error_that_names_both(body: bytes, theirs: str) -> None:
    with pytest.raises(HandshakeError, match=f"protocol version {theirs}, this end version 1"):
        Hello.decode(body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("session", ...),
        ("session", b"short"),
        ("session", "x" * 16),
        ("resume", ...),
        ("resume", 1),
        ("received", ...),
        ("received", -1),
        ("received", 2**63),
        ("received", True),
        ("received", 1.0),
        ("max_chunk", ...),
        ("max_chunk", 255),
        ("max_chunk", 2**63),
        ("max_message", 0),
        ("max_streams", 0),
        ("credit", 255),
        ("credit", None),
        ("session_credit", 255),
        ("capabilities", ...),
        ("capabilities", "x"),
        ("capabilities", [1]),
        ("authentication", []),
        ("authentication", {"key": "text"}),
        ("authentication", {b"key": b"bytes"}),
    ],
)
def test_a_field_that_is_missing_or_out_of_range_is_a_handshake_error_that_names_it(name: str, value: object) -> None:
    with pytest.raises(HandshakeError, match=f"HELLO holds {name}=.*missing or out of range"):
        Hello.decode(hello_body(**{name: value}))


@pytest.mark.parametrize(
    "changes", [{"session": bytes(16)}, {"received": 2**63 - 1}, {"max_chunk": 256}, {"max_message": 1}, {"max_streams": 1}]
)
def test_values_at_their_limits_are_taken(changes: dict[str, Any]) -> None:
    assert Hello.decode(hello_body(**changes)) == dataclasses.replace(HELLO, **changes)


def test_a_session_that_grants_less_than_one_of_its_streams_makes_no_sense() -> None:
    assert Hello.decode(hello_body(credit=5000, session_credit=5000)).credit == 5000
    with pytest.raises(HandshakeError, match="session_credit=4999, less than credit=5000"):
        Hello.decode(hello_body(credit=5000, session_credit=4999))


@pytest.mark.parametrize("value", [[], 1, None, "map"])
def test_a_hello_without_a_map_is_a_handshake_error(value: object) -> None:
    with pytest.raises(HandshakeError, match="does not hold a map"):
        Hello.decode(_OPENING + msgpack.packb(value))


@_quick
@_garbage
@example(b"")
@example(b"\x81\xa7session" + _NESTED)
@example(b"\x91" * 60_000)
@example(_BOMB)
@example(hello_body(session="x" * 60_000)[5:])
def test_garbage_in_a_hello_is_a_handshake_error(packed: bytes) -> None:
    with pytest.raises(HandshakeError) as caught:
        Hello.decode(_OPENING + packed)
    assert len(str(caught.value)) < 500


@_quick
@given(st.binary(max_size=200))
def test_any_body_is_a_hello_or_a_handshake_error(body: bytes) -> None:
    with pytest.raises(HandshakeError):
        Hello.decode(body)


def test_what_proves_an_identity_stays_out_of_the_repr() -> None:
    assert "hunter2" not in repr(dataclasses.replace(HELLO, authentication={"proof": b"hunter2"}))


# -- in a log


@pytest.mark.parametrize(
    ("frame", "line"),
    [
        (Frame(FrameType.DATA, FIRST | LAST, 7, b"ab" * 50), "DATA stream=7 first last 100 bytes b'abababababab'…"),
        (Frame(FrameType.DATA, 0, 7, b"ab"), "DATA stream=7 2 bytes b'ab'"),
        (Frame(FrameType.DATA, LAST, 7), "DATA stream=7 last 0 bytes b''"),
        (Frame(FrameType.DATA, LAST | 0x80, 7), "DATA stream=7 last flags=0x80 0 bytes b''"),
        (frames.open_stream(1, "orders", {"k": 1}), "OPEN stream=1 id='orders'"),
        (Frame(FrameType.OPEN, 0, 1, b"\xc0"), "OPEN stream=1 1 bytes b'\\xc0'"),
        (frames.close(2), "CLOSE stream=2 0 bytes b''"),
        (frames.reset(2, Code.DUPLICATE_ID, "taken"), "CLOSE stream=2 reset duplicate id: taken"),
        (frames.reset(2, 99, ""), "CLOSE stream=2 reset code 99"),
        (frames.credit(2, 1000), "CREDIT stream=2 +1000"),
        (frames.credit(0, 1000), "CREDIT +1000"),
        (Frame(FrameType.CREDIT, 0, 2, b"x"), "CREDIT stream=2 1 bytes b'x'"),
        (frames.ack(12), "ACK 12 frames"),
        (frames.ping(3), "PING 3"),
        (frames.pong(3), "PONG 3"),
        (Frame(FrameType.PONG, 0, 5, b""), "PONG stream=5 0 bytes b''"),
        (frames.goaway(Code.SHUTTING_DOWN, "the listener was closed"), "GOAWAY shutting down: the listener was closed"),
        (frames.goaway(Code.CLOSED, ""), "GOAWAY closed"),
        (Frame(FrameType.GOAWAY, 0, 0, b"x"), "GOAWAY 1 bytes b'x'"),
        (HELLO.encode(), "HELLO session=00010203 new"),
        (dataclasses.replace(HELLO, resume=True, received=9).encode(), "HELLO session=00010203 resuming after 9"),
        (Frame(FrameType.HELLO, 0, 0, b"TCPN\x02"), "HELLO 5 bytes b'TCPN\\x02'"),
        (Frame(200, 0, 1, b"?"), "TYPE-200 stream=1 1 bytes b'?'"),
    ],
)
def test_a_frame_prints_itself_in_one_line(frame: Frame, line: str) -> None:
    assert str(frame) == line


@_quick
@given(_ANY_FRAME)
def test_no_frame_is_too_odd_to_be_printed(frame: Frame) -> None:
    assert len(str(frame).splitlines()) == 1
    assert len(str(frame)) < 1500


def test_frames_are_values() -> None:
    frame = frames.ping(1)
    assert frame == frames.ping(1)
    assert Frame(FrameType.CLOSE) == Frame(4, 0, 0, b"")
    assert len({frame, frames.ping(1), frames.ping(2)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.stream = 1  # type: ignore[misc]


@pytest.mark.parametrize("code", list(Code))
def test_a_code_is_told_in_words(code: Code) -> None:
    assert Code.describe(code) == code.name.lower().replace("_", " ")
    assert Code.describe(1000) == "code 1000"


# -- the specification


SPECIFICATION = (pathlib.Path(__file__).parents[2] / "docs" / "spec.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the first table after a line of the specification that begins with `heading`."""
    lines = iter(SPECIFICATION.splitlines())
    table = itertools.dropwhile(lambda line: not line.startswith("|"), itertools.dropwhile(lambda line: line != heading, lines))
    found = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in itertools.takewhile(lambda line: line[:1] == "|", table)
    ]
    return found[2:]


def test_the_specification_has_the_types_of_frames_that_there_are() -> None:
    listed = rows("## Frames")
    assert [(int(row[0]), row[1]) for row in listed] == [(kind, kind.name) for kind in FrameType]
    flags = {row[1]: row[3] for row in listed if row[3]}
    assert flags == {"DATA": f"FIRST {FIRST}, LAST {LAST}", "CLOSE": f"RESET {frames.RESET}"}


def test_the_specification_has_the_codes_that_there_are() -> None:
    codes = rows(next(line for line in SPECIFICATION.splitlines() if line.startswith("A **reason**")))
    assert [(int(row[0]), row[1]) for row in codes] == [(code, code.name) for code in Code]


def test_the_specification_has_the_fields_of_a_hello() -> None:
    assert [row[0].strip("`") for row in rows("## Handshake")] == [field.name for field in dataclasses.fields(Hello)]


def test_the_examples_of_the_specification_are_the_frames_that_they_are_said_to_be() -> None:
    example = SPECIFICATION.partition("## Example")[2]
    lines = re.findall(r"^    ((?:[0-9a-f]{2,16} +)+) +([A-Z].*)$", example, re.MULTILINE)
    assert len(lines) == 5
    for wire, line in lines:
        assert [str(frame) for frame in decode_frames(bytes.fromhex(wire))] == [line]

"""The decoder keeps its promises whatever comes: the committed corpus, and inputs that hypothesis makes, for some seconds.

`many_inputs.py` and `fuzz_decoder.py` do the same for as long as one likes; docs/reliability.md tells what they have found.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fuzzing
from engine import hello
from tcpconn.errors import HandshakeError, ProtocolError
from tcpconn.frames import FIRST, LAST, Frame, FrameType, decode_open, decode_reason
from tcpconn.handshake import HelloReader
from tcpconn.inbox import Inbox

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())

QUICKLY = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

numbers = st.sampled_from([0, 1, 2, 3, 5, 7, 255, 1 << 31, (1 << 32) - 1])
bodies = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"\xff" * 8, bytes(8), (20_000).to_bytes(8, "big"), bytes(4000)]),
    st.integers(0, (1 << 64) - 1).map(lambda number: number.to_bytes(8, "big")),
)
wire_frames = st.builds(
    lambda kind, flags, stream, body: Frame(kind, flags, stream, body).encode(),
    st.sampled_from([*FrameType, FrameType.DATA, FrameType.DATA, 0, 10, 255]),
    st.sampled_from([0, FIRST, LAST, FIRST | LAST, 4]),
    numbers,
    bodies,
)
known = st.sampled_from([seed[1:] for seed in fuzzing.SEEDS.values()])
talks = st.lists(st.one_of(wire_frames, known), max_size=8).map(b"".join)


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_fuzzing_has_found_stays_mended(path: Path) -> None:
    data = path.read_bytes()
    fuzzing.feed(data)
    fuzzing.greet(data)


def test_the_corpus_has_all_that_it_began_with() -> None:
    assert {path.name for path in CORPUS} >= fuzzing.SEEDS.keys()


@QUICKLY
@given(st.binary(max_size=1), st.one_of(st.binary(max_size=200), talks))
def test_a_session_is_fed_anything(choices: bytes, words: bytes) -> None:
    fuzzing.feed(choices + words)


@QUICKLY
@given(st.binary(max_size=1), talks, st.integers(0, 1 << 16), st.integers(0, 255))
def test_a_session_is_fed_frames_with_a_byte_changed(choices: bytes, words: bytes, where: int, value: int) -> None:
    changed = bytearray(words)
    if changed:
        changed[where % len(changed)] = value
    fuzzing.feed(choices + bytes(changed))


@QUICKLY
@given(st.binary(max_size=300), st.integers(0, 200), st.binary(max_size=3))
def test_a_handshake_is_fed_anything(words: bytes, where: int, change: bytes) -> None:
    fuzzing.greet(b"\x00" + words)
    changed = bytearray(hello().encode().encode())
    changed[where : where + len(change)] = change
    for way in (b"\x00", b"\xff"):
        fuzzing.greet(way + bytes(changed))


@QUICKLY
@given(st.binary(max_size=100))
def test_bodies_are_read_or_refused(body: bytes) -> None:
    for decode in (decode_open, decode_reason):
        with suppress(ProtocolError):
            decode(body)
    with suppress(HandshakeError):
        HelloReader().feed(Frame(FrameType.HELLO, body=b"TCPN\x01" + body).encode())


# -- the checks can fail


def test_a_session_that_holds_more_than_it_may_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    long = fuzzing.SEEDS["long-message"]
    fuzzing.feed(long)
    monkeypatch.setattr(fuzzing, "MOST_HELD", 4000)
    with pytest.raises(AssertionError):
        fuzzing.feed(long)


def test_an_error_of_another_kind_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise IndexError

    monkeypatch.setattr(Inbox, "consume", fails)
    with pytest.raises(IndexError):
        fuzzing.feed(fuzzing.SEEDS["streamed"])

"""Loops in C over many messages: what they give is what a loop in Python gives."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpconn.frames import FIRST, HEADER_SIZE, LAST, Frame, FrameType, decode_frames
from tcpconn.runs import LEAST_EQUAL, count_equal, cut_equal, frame_run, leading_bytes, select_run

MESSAGES = st.lists(st.binary(max_size=30) | st.integers(100, 400).map(bytes), max_size=30)
NUMBERS = st.integers(1, 2**32 - 1)


def framed(number: int, message: bytes) -> bytes:
    return Frame(FrameType.DATA, FIRST | LAST, number, message).encode()


@given(MESSAGES.filter(bool), NUMBERS)
def test_a_run_is_framed_as_each_of_its_messages_would_be(run: list[bytes], number: int) -> None:
    parts = frame_run(number, run)
    assert all(part is message for part, message in zip(parts[1::2], run, strict=True))
    assert b"".join(parts) == b"".join(framed(number, message) for message in run)


@given(st.lists(st.binary(max_size=30) | st.just(bytearray(b"x")) | st.none(), max_size=20))
def test_whatever_is_not_bytes_ends_a_run(items: list[Any]) -> None:
    expected = []
    for item in items:
        if type(item) is not bytes:
            break
        expected.append(item)
    assert leading_bytes(items) == expected


@given(
    MESSAGES,
    st.integers(0, 5),
    st.integers(0, 400),
    st.integers(0, 400),
    st.integers(1, 5000),
    st.integers(0, 5000),
)
def test_a_run_keeps_to_its_bounds_and_is_not_shorter_than_they_ask(
    payloads: list[bytes], start: int, usual: int, longest: int, size: int, room: int
) -> None:
    run, total = select_run(payloads, start, usual=usual, longest=longest, size=size, room=room)
    costs = [len(message) + HEADER_SIZE for message in run]

    assert run == payloads[start : start + len(run)]
    assert total == sum(costs) <= room
    assert all(len(message) <= longest for message in run)
    assert sum(costs[:-1]) <= 2 * size
    ended = start + len(run) >= len(payloads)
    if not run and not ended:
        assert len(payloads[start]) > longest or len(payloads[start]) + HEADER_SIZE > room


def test_what_is_not_bytes_is_not_selected() -> None:
    assert select_run([b"a", bytearray(b"b")], 0, usual=1, longest=9, size=999, room=999) == ([b"a"], 13)
    assert select_run((bytearray(b"b"), b"a"), 0, usual=1, longest=9, size=999, room=999) == ([], 0)


@pytest.mark.parametrize("kind", [bytes, bytearray])
@given(
    length=st.integers(0, 40),
    equal=st.integers(1, 700),
    other=st.integers(0, HEADER_SIZE - 1) | st.none(),
    before=st.binary(max_size=5),
)
def test_frames_are_equal_up_to_the_first_header_that_differs_in_any_byte(
    kind: type[bytes | bytearray], length: int, equal: int, other: int | None, before: bytes
) -> None:
    frame = framed(7, bytes(length))
    stride = len(frame)
    data = bytearray(before + frame * (equal + 300))
    if other is not None:
        data[len(before) + equal * stride + other] ^= 1

    most = equal + 300 if other is None else equal
    count = count_equal(kind(data), len(before), stride, equal + 300)

    assert count % LEAST_EQUAL == 0
    assert most - 256 < count <= most


@given(st.integers(0, 50), st.integers(1, 20), st.binary(max_size=7))
def test_equal_frames_are_cut_into_their_bodies(length: int, blocks: int, before: bytes) -> None:
    count = blocks * LEAST_EQUAL
    frames = b"".join(framed(5, (b"%d" % number * length)[:length].ljust(length, b"-")) for number in range(count))
    for data in (before + frames, bytearray(before + frames), memoryview(before + frames)):
        assert list(cut_equal(data, len(before), length, count)) == [frame.body for frame in decode_frames(frames)]


def test_the_bounds_of_a_run_are_met_exactly() -> None:
    payloads = [bytes(8)] * 10
    ends = list(accumulate([20] * 10))
    for room in range(0, 220):
        run, _ = select_run(payloads, 0, usual=8, longest=8, size=10_000, room=room)
        assert len(run) == sum(end <= room for end in ends)

"""Cutting writes into ZeroMQ messages."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tcpconn.transport import Buffer
from tcpconn_zmq.parts import LARGE, MAX_PART, pack

_SIZES = st.one_of(
    st.integers(0, 100),
    st.sampled_from([LARGE - 1, LARGE, LARGE + 1, MAX_PART - 1, MAX_PART, MAX_PART + 1, 2 * MAX_PART + 5]),
)
_KINDS = st.sampled_from(["bytes", "bytearray", "view", "view of a bytearray"])


def _buffer(kind: str, size: int, seed: int) -> Buffer:
    data = bytes([seed % 256]) * size
    match kind:
        case "bytes":
            return data
        case "bytearray":
            return bytearray(data)
        case "view":
            return memoryview(data)
        case _:
            return memoryview(bytearray(data))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_KINDS, _SIZES), max_size=6))
def test_the_messages_hold_the_same_bytes_within_their_bounds(chosen: list[tuple[str, int]]) -> None:
    buffers = [_buffer(kind, size, index) for index, (kind, size) in enumerate(chosen)]
    expected = b"".join(buffers)
    total, messages = pack(buffers)
    assert total == len(expected)
    assert b"".join(b"".join(message) for message in messages) == expected
    for message in messages:
        assert message
        assert all(0 < len(part) <= MAX_PART for part in message)
        assert sum(map(len, message)) < 2 * MAX_PART


@settings(max_examples=50, deadline=None)
@given(st.lists(_SIZES, max_size=4))
def test_what_its_owner_may_change_is_copied(sizes: list[int]) -> None:
    mutable = [bytearray(b"a") * size for size in sizes]
    _, messages = pack([memoryview(buffer) if index % 2 else buffer for index, buffer in enumerate(mutable)])
    for buffer in mutable:
        buffer[:] = b"b" * len(buffer)
    assert b"b" not in b"".join(b"".join(message) for message in messages)


def test_large_bytes_are_not_copied() -> None:
    data = bytes(LARGE)
    _, [[part]] = pack([data])
    assert part is data


def test_a_view_of_bytes_that_are_no_longer_than_a_part_is_a_view_of_its_own() -> None:
    data = bytes(LARGE)
    view = memoryview(data)
    _, [[part]] = pack([view])
    view.release()
    assert isinstance(part, memoryview)
    assert part.obj is data


def test_small_buffers_are_joined_into_one_part() -> None:
    assert pack([b"a", bytearray(b"b"), memoryview(b"c"), b""]) == (3, [[b"abc"]])


def test_items_wider_than_a_byte_are_counted_in_bytes() -> None:
    total, messages = pack([memoryview(b"12345678").cast("I")])
    assert (total, messages) == (8, [[b"12345678"]])


def test_nothing_makes_no_message() -> None:
    assert pack([]) == (0, [])
    assert pack([b"", bytearray()]) == (0, [])


def test_a_lone_message_is_one_part_with_its_header() -> None:
    body = bytes(LARGE)
    assert pack([b"header", body]) == (6 + LARGE, [[b"header" + body]])

"""What users hand over: messages, streams of chunks, files."""

from __future__ import annotations

import array
import io
import mmap
import os
import pathlib
from collections.abc import Callable, Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcpconn.payloads import chunks, rest_of, to_bytes

_quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview, lambda data: array.array("B", data)])
def test_any_bytes_like_object_is_copied(make: Callable[[bytes], object]) -> None:
    assert to_bytes(make(b"abc")) == b"abc"
    assert to_bytes(make(b"")) == b""


def test_a_copy_does_not_change_with_its_source() -> None:
    source = bytearray(b"abc")
    copied = to_bytes(source)
    source[0] = 0
    assert copied == b"abc"


def test_the_bytes_of_wide_items_and_of_slices_are_taken_in_order() -> None:
    assert to_bytes(array.array("H", [1, 2])) == array.array("H", [1, 2]).tobytes()
    assert to_bytes(memoryview(b"abcdef")[::2]) == b"ace"


@pytest.mark.parametrize("message", [1, None, [1, 2], object()])
def test_what_is_not_bytes_like_is_a_type_error_that_names_its_type(message: object) -> None:
    with pytest.raises(TypeError, match=f"a message is a bytes-like object, not {type(message).__name__}$"):
        to_bytes(message)


def test_text_is_refused_with_the_way_to_encode_it() -> None:
    with pytest.raises(TypeError, match=r"not str; encode text first, as in message\.encode\(\)"):
        to_bytes("text")


@_quick
@given(st.lists(st.binary(max_size=50) | st.binary(max_size=50).map(bytearray), max_size=10), st.integers(1, 20))
def test_chunks_of_an_iterable_hold_all_of_it_and_none_is_empty_or_too_long(pieces: list[bytes | bytearray], size: int) -> None:
    found = list(chunks(pieces, size))
    assert b"".join(found) == b"".join(pieces)
    assert all(type(chunk) is bytes and 1 <= len(chunk) <= size for chunk in found)


@_quick
@given(st.binary(max_size=200), st.integers(1, 20))
def test_chunks_of_a_file_hold_all_of_it_and_none_is_empty_or_too_long(data: bytes, size: int) -> None:
    found = list(chunks(io.BytesIO(data), size))
    assert b"".join(found) == data
    assert all(1 <= len(chunk) <= size for chunk in found)


def test_a_short_piece_is_passed_on_by_reference() -> None:
    piece = b"x" * 10
    assert next(chunks([piece], 10)) is piece


def test_an_iterable_is_read_only_as_far_as_chunks_are_taken() -> None:
    taken = []

    def source() -> Iterable[bytes]:
        for number in range(3):
            taken.append(number)
            yield b"x"

    next(chunks(source(), 10))
    assert taken == [0]


def test_a_mapped_file_is_read_like_a_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "payload"
    path.write_bytes(b"abcdef")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert list(chunks(mapped, 4)) == [b"abcd", b"ef"]


class GenerousFile:
    """A file whose read gives more than it was asked for, in a buffer that it goes on using."""

    def __init__(self) -> None:
        self.buffer = bytearray(b"abcdef")
        self.reads = 0

    def read(self, size: int, /) -> bytes:
        self.reads += 1
        return memoryview(self.buffer) if self.reads == 1 else b""  # type: ignore[return-value]


def test_a_file_that_gives_too_much_is_cut_and_its_buffer_is_copied() -> None:
    file = GenerousFile()
    found = chunks(file, 4)
    first = next(found)
    file.buffer[:] = bytes(6)
    assert [first, *found] == [b"abcd", b"ef"]


def test_a_file_that_would_block_is_an_error_and_not_the_end_of_the_message() -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=0) as file, open(writing, "wb", buffering=0) as other:
        other.write(b"abc")
        found = chunks(file, 10)
        assert next(found) == b"abc"
        with pytest.raises(BlockingIOError, match="nothing to read now and does not block"):
            next(found)


def test_a_file_opened_for_text_is_refused_with_the_mode_to_use() -> None:
    with pytest.raises(TypeError, match="opened for text; open it for bytes, with mode 'rb'"):
        list(chunks(io.StringIO("text"), 10))  # type: ignore[arg-type]


@pytest.mark.parametrize("message", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_one_message_in_place_of_a_stream_is_refused_with_the_call_to_use(message: Iterable[bytes]) -> None:
    with pytest.raises(TypeError, match=r"not (bytes|bytearray|memoryview); use send\(\)"):
        list(chunks(message, 10))


def test_an_iterable_that_yields_something_else_is_a_type_error() -> None:
    found = chunks([b"abc", 1], 10)  # type: ignore[list-item]
    assert next(found) == b"abc"
    with pytest.raises(TypeError, match="not int"):
        next(found)


@_quick
@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(0, 200))
def test_the_rest_of_buffers_is_what_was_not_taken(buffers: list[bytes], taken: int) -> None:
    data = b"".join(buffers)
    rest = rest_of(buffers, taken)
    if taken >= len(data):
        assert rest is None
    else:
        assert rest is not None
        assert b"".join(rest) == data[taken:]
        assert len(rest[0]) > 0


def test_the_rest_of_buffers_copies_nothing() -> None:
    first, second, third = b"abc", b"def", b"ghi"
    rest = rest_of([first, second, third], 3)
    assert rest is not None
    assert rest[0] is second
    assert rest[1] is third
    rest = rest_of([first, second], 4)
    assert rest is not None
    assert isinstance(rest[0], memoryview)
    assert rest[0].obj is second

"""Sizes as they are written to `tcpconn compare`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tcpconn_bench.sizes import LARGEST, label, parse, parse_list


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("100", 100),
        ("1", 1),
        ("7B", 7),
        ("1KiB", 1024),
        ("1 kib", 1024),
        ("1KB", 1000),
        ("1.5kB", 1500),
        ("64KiB", 65_536),
        ("1MiB", 1_048_576),
        ("2MB", 2_000_000),
        ("0.5 MiB", 524_288),
        ("1000MiB", 1_048_576_000),
    ],
)
def test_a_size_is_bytes_or_a_number_with_a_decimal_or_binary_unit(text: str, size: int) -> None:
    assert parse(text) == size


@pytest.mark.parametrize("text", ["", "KiB", "-1", "1e3", "1GiB", "1 KiB 2", "ten", "1..5KB"])
def test_what_is_no_size_is_refused_with_how_to_write_one(text: str) -> None:
    with pytest.raises(ValueError, match="is no size; write bytes, or a number with KB, KiB, MB or MiB"):
        parse(text)


@pytest.mark.parametrize("text", ["0", "0.5", "1.0001KiB"])
def test_a_part_of_a_byte_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="a whole number of bytes, 1 or more"):
        parse(text)


def test_a_list_keeps_its_order_and_takes_each_size_once() -> None:
    assert parse_list("64KiB, 100,1KiB,65536") == (65_536, 100, 1024)
    with pytest.raises(ValueError, match="there is no size"):
        parse_list(" , ")
    assert parse_list("64MiB") == (LARGEST,)
    with pytest.raises(ValueError, match="messages of 65 MiB are not allowed; allowed is up to 64 MiB"):
        parse_list("100,65MiB")


def test_a_label_is_in_the_largest_unit_that_fits() -> None:
    assert [label(size) for size in (1, 100, 1025, 1024, 200_000, 65_536, 1_000_000, 1_048_576)] == [
        "1 B",
        "100 B",
        "1,025 B",
        "1 KiB",
        "200 KB",
        "64 KiB",
        "1 MB",
        "1 MiB",
    ]


@given(st.integers(1, LARGEST))
def test_a_label_stands_for_the_size_that_it_was_made_of(size: int) -> None:
    assert parse(label(size).replace(",", "")) == size

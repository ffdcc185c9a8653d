"""How figures are named and told."""

from __future__ import annotations

import pytest

from tcpconn_bench.units import (
    byte_count,
    duration,
    figure_name,
    is_rate,
    is_time,
    more_is_better,
    quantity,
    rounded,
    times,
    told,
    workload_name,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.00 ns"), (7e-9, "7.00 ns"), (999e-9, "999 ns"), (9.996e-7, "1.00 µs"), (28.13e-6, "28.1 µs"), (148e-6, "148 µs"),
     (999.96e-6, "1.00 ms"), (1.5e-3, "1.50 ms"), (2, "2.00 s"), (3600, "3,600 s")],
)  # fmt: skip
def test_a_time_is_told_in_the_unit_that_suits_it(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.00"), (0.012, "0.012"), (953, "953"), (999.9, "1.00 k"), (645_000, "645 k"), (1.01e6, "1.01 M"), (2e9, "2.00 G")],
)  # fmt: skip
def test_a_number_is_told_with_three_digits(value: float, text: str) -> None:
    assert quantity(value) == text


def test_bytes_are_told_in_decimal_units() -> None:
    assert [byte_count(value) for value in (100, 4096, 90.3e6)] == ["100 B", "4.10 kB", "90.3 MB"]


@pytest.mark.parametrize(
    ("values", "text"),
    [([2.0], "2.00"), ([0.97, 1.06], "0.97 to 1.06"), ([12.34, 120.0], "12.3 to 120"), ([2.001, 2.002], "2.00"),
     ([1.0004, 2.0], "1.0004 to 2.00"), ([0.012], "0.012"), ([1.0], "1.00"), ([1.0035], "1.00")],
)  # fmt: skip
def test_a_ratio_shows_on_which_side_of_1_it_is(values: list[float], text: str) -> None:
    assert times(values) == text


def test_figures_are_told_with_their_unit_and_by_their_name_if_nobody_knows_it() -> None:
    assert told("p99", 2.5e-4) == "250 µs"
    assert told("messages_per_second", 1e6) == "1.00 M"
    assert told("peak_memory", 9e7) == "90.0 MB"
    assert told("syscalls_per_message", 2.5) == "2.50"
    assert told("lost", 12_345) == "12,345"
    assert [figure_name(name) for name in ("p50", "frames_per_second", "syscalls_per_message")] == [
        "median",
        "frames/s",
        "syscalls per message",
    ]
    assert [workload_name(name) for name in ("round_trip", "stream", "head_of_line")] == [
        "round trip",
        "one-way stream",
        "head of line",
    ]


def test_more_is_better_of_rates_and_of_what_is_kept_of_them() -> None:
    assert [more_is_better(name) for name in ("messages_per_second", "kept", "p50", "nobody_knows")] == [
        True,
        True,
        False,
        False,
    ]
    assert [is_rate(name) for name in ("messages_per_second", "p50", "cpu_seconds_per_million_messages")] == [
        True,
        False,
        False,
    ]
    assert [is_time(name) for name in ("p50", "alone_p50", "reconnect_seconds", "messages_per_second")] == [
        True,
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(("text", "short"), [("20.0 µs", "20 µs"), ("1.50 ms", "1.5 ms"), ("100 µs", "100 µs"), ("0.00", "0")])
def test_an_axis_has_no_zeros_behind_the_point(text: str, short: str) -> None:
    assert rounded(text) == short

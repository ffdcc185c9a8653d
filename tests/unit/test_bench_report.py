"""From the result of `tcpconn compare` to the tables on the terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from measured import backend_and_floor, measured, series, with_variant_and_further_floor
from tcpconn_bench.environment import describe
from tcpconn_bench.messages import MessageSet, describe_all, made_of_size
from tcpconn_bench.report import print_tables
from tcpconn_bench.results import Record, subjects_result


@pytest.fixture
def records() -> list[Record]:
    return backend_and_floor(None)


def result(records: Sequence[Record], *sizes: int) -> dict[str, Any]:
    sets = [made_of_size(size) for size in sizes] or [MessageSet("here", "lines", [b"x" * 100])]
    return {
        "environment": {**describe("tcpconn compare"), "options": {"rounds": 3, "warmup": 1}},
        "messages": describe_all(sets),
        "sizes": [{"size": one.size, **one.describe()} for one in sets if one.size is not None],
        "skipped": {"zmq": "pyzmq is [not] here"},
        "interrupted": False,
        "uncounted": ["system calls: perf is [not] installed"],
        "subjects": subjects_result(records),
    }


def shown(records: Sequence[Record], *sizes: int) -> str:
    text = io.StringIO()
    print_tables(result(records, *sizes), Console(file=text, width=80))
    return text.getvalue()


def rows(text: str, name: str) -> list[list[str]]:
    """Return the cells behind a row's name, of each table that has such a row."""
    return [line.strip().removeprefix(name).split() for line in text.splitlines() if line.strip().startswith(f"{name} ")]


def test_the_tables_fit_eighty_columns_and_show_ratios_and_what_was_skipped(records: list[Record]) -> None:
    text = shown(records)
    assert max(map(len, text.splitlines())) <= 80
    assert rows(text, "tcp") == [
        ["40.0", "2.00", "100.0", "180.0", "60.0", "2.00"],
        ["250,000", "0.50", "25", "4.00", "2.00"],
    ]
    assert rows(text, "plain-socket") == [["20.0", "50.0", "90.0", "30.0"], ["500,000", "50", "2.00"]]
    assert "306,000 of 306,000 arrived as sent" in " ".join(text.split())
    assert "skipped zmq: pyzmq is [not] here" in text
    assert "FAILED" not in text
    assert "ratio of" not in text
    assert "not counted: system calls: perf is [not] installed" in text
    assert "costs besides" not in text


def test_what_a_message_costs_besides_time_has_a_table_as_far_as_it_is_known(records: list[Record]) -> None:
    records[0].series[None].rounds = [measured(1, wire=1352)] * 3
    text = shown(records)
    assert "what a message costs besides, lower is better" in text
    assert "calls" not in text.partition("costs besides")[2].partition("arrived")[0]
    assert rows(text, "tcp")[-1] == ["1,352", "1,352", "50"]
    assert rows(text, "plain-socket")[-1] == ["-", "-", "50"]

    records[1].series[None].syscalls = {"round_trip": 4.0, "stream": 0.0625}
    text = shown(records)
    assert max(map(len, text.splitlines())) <= 80
    assert rows(text, "tcp")[-1] == ["1,352", "1,352", "-", "-", "50"]
    assert rows(text, "plain-socket")[-1] == ["-", "-", "4.00", "0.06", "50"]


def test_enough_rounds_tell_how_sure_the_ratios_are() -> None:
    tcp = Record("tcp", "backend", "plain-socket", series={None: series(*[2.0] * 6, 2.2)})
    variant = Record("tcp credit=4096", "variant", "plain-socket", variant_of="tcp")
    variant.series = {None: series(*[1.6, 2.4] * 3, 2.2)}
    floor = Record("plain-socket", "floor", None, series={None: series(*[1.0] * 7)})
    text = shown([tcp, variant, floor])
    lines = [line.strip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert "tcp to plain-socket: p50 2.00 to 2.00, CPU 2.00 to 2.00" in lines
    told = "p50 0.80 to 1.20 (no difference shown), CPU 0.80 to 1.20 (no difference shown)"
    assert f"tcp credit=4096 to tcp: {told}" in " ".join(lines)
    assert "with 95 % intervals" in " ".join(lines)


def test_too_few_rounds_tell_nothing_of_that(records: list[Record]) -> None:
    text = " ".join(shown(records).split())
    assert "tcp to plain-socket" not in text
    assert "3 rounds are too few to tell how sure they are, 6 are enough" in text


def test_each_size_has_its_tables(records: list[Record]) -> None:
    sizes = (100, 65_536)
    text = shown(backend_and_floor(*sizes), *sizes)
    titles = [line.strip() for line in text.splitlines() if "is better" in line or "are better" in line]
    assert titles == [
        "100 B: round trip, lower is better",
        "100 B: one-way stream, more messages are better",
        "64 KiB: round trip, lower is better",
        "64 KiB: one-way stream, more messages are better",
    ]
    assert len(rows(text, "tcp")) == 4
    assert "random bytes, 100 B, 64 KiB. Medians" in " ".join(text.split())


def test_variants_have_a_table_of_their_own_with_ratios_to_the_default(records: list[Record]) -> None:
    text = shown(with_variant_and_further_floor(records, None))
    assert max(map(len, text.splitlines())) <= 80
    assert rows(text, "leader_followers=false") == [
        ["160.0", "4.00", "8.00", "240.0", "4.00"],
        ["62,500", "0.25", "0.12", "16.00", "4.00"],
    ]
    assert rows(text, "default") == [["40.0", "2.00", "60.0"], ["250,000", "0.50", "4.00"]]
    assert "ablation of tcp, round trip, lower is better" in text


def test_settings_that_are_not_turned_off_make_no_ablation(records: list[Record]) -> None:
    records = with_variant_and_further_floor(records, None)
    records[1].changes = {"credit": 65_536}
    assert "variants of tcp, one-way stream" in shown(records)


def test_several_floors_have_a_table_with_the_ratio_to_each(records: list[Record]) -> None:
    text = shown(with_variant_and_further_floor(records, None))
    assert "ratio of p50 µs to each floor" in " ".join(text.split())
    assert rows(text, "tcp leader_followers=false") == [["8.00", "40.00"], ["0.12", "0.025"]]
    assert ["2.00", "10.00"] in rows(text, "tcp")


def test_messages_that_were_not_right_are_shown_as_a_failure(records: list[Record]) -> None:
    records[0].series[None].verified -= 2
    text = shown(records)
    assert "FAILED tcp: 2 of 153,000 messages did not arrive as they were sent" in text
    assert "305,998 of 306,000 arrived as sent" in " ".join(text.split())


@pytest.mark.parametrize("size", [None, 100])
def test_a_subject_that_was_given_up_before_its_first_round_is_still_shown(size: int | None) -> None:
    records = with_variant_and_further_floor(backend_and_floor(size), size)
    for record in records[:2]:
        record.series = {}
        record.error = "the server's process ended unexpectedly"
    text = shown(records, *([] if size is None else [size]))
    assert "FAILED tcp: the server's process ended unexpectedly" in text
    assert rows(text, "tcp")[0] == ["-", "-", "-", "-"]
    assert rows(text, "leader_followers=false")[0] == ["-", "-"]

"""From what was measured to the result file and the table of `tcpconn compare`."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console

from tcpconn_bench.environment import describe
from tcpconn_bench.messages import MessageSet
from tcpconn_bench.report import Record, print_tables, round_figures, subjects_result
from tcpconn_bench.workloads import ROUND_TRIP, STREAM

TIMES = {"p50": 20e-6, "p99": 50e-6, "p999": 90e-6, "max": 1e-3, "mean": 25e-6}


def measured(factor: float) -> dict[str, dict[str, Any]]:
    trip = {"verified": 1000, "cpu_seconds": 0.02, **{name: time * factor for name, time in TIMES.items()}}
    return {
        ROUND_TRIP: round_figures(ROUND_TRIP, 1000, 100_000, {"client": trip, "server": {"cpu_seconds": 0.01}}),
        STREAM: round_figures(
            STREAM,
            50_000,
            5_000_000,
            {"client": {"seconds": 0.1 * factor, "cpu_seconds": 0.05}, "server": {"cpu_seconds": 0.05}},
        ),
    }


@pytest.fixture
def records() -> list[Record]:
    backend = Record("tcp", "backend", "plain-socket", rounds=[measured(factor) for factor in (1, 2, 8)])
    floor = Record("plain-socket", "floor", None, rounds=[measured(factor) for factor in (0.5, 1, 2)])
    for record in (backend, floor):
        record.messages = record.verified = 153_000
    return [backend, floor]


def result(records: list[Record]) -> dict[str, Any]:
    options = {"rounds": 3, "warmup": 1}
    return {
        "environment": {**describe("tcpconn compare"), "options": options},
        "messages": MessageSet("here", "lines", [b"x" * 100]).describe(),
        "skipped": {"zmq": "pyzmq is [not] here"},
        "subjects": subjects_result(records),
    }


def shown(records: list[Record]) -> str:
    text = io.StringIO()
    print_tables(result(records), Console(file=text, width=80))
    return text.getvalue()


def test_a_rounds_figures_count_the_cpu_of_both_sides_and_the_payload() -> None:
    figures = measured(1)
    assert figures[STREAM]["messages_per_second"] == pytest.approx(500_000)
    assert figures[STREAM]["megabytes_per_second"] == pytest.approx(50)
    assert figures[STREAM]["cpu_seconds_per_million_messages"] == pytest.approx(2)
    assert figures[ROUND_TRIP]["cpu_seconds_per_million_messages"] == pytest.approx(30)
    assert figures[ROUND_TRIP]["p999"] == TIMES["p999"]


def test_the_result_holds_medians_and_the_median_of_the_ratios_round_by_round(records: list[Record]) -> None:
    subjects = subjects_result(records)
    tcp = subjects["tcp"]
    assert tcp[ROUND_TRIP]["p50"] == pytest.approx(40e-6)
    assert tcp["to_floor"][ROUND_TRIP]["p50"] == pytest.approx(2)
    assert tcp["to_floor"][STREAM]["messages_per_second"] == pytest.approx(0.5)
    assert tcp["cpu_seconds_per_million_messages"] == {ROUND_TRIP: pytest.approx(30), STREAM: pytest.approx(2)}
    assert (tcp["role"], tcp["floor"], tcp["messages"], tcp["verified"], tcp["failures"]) == (
        "backend",
        "plain-socket",
        153_000,
        153_000,
        0,
    )
    assert len(tcp["rounds"]) == 3
    assert "to_floor" not in subjects["plain-socket"]


def test_the_result_can_be_written_as_json(records: list[Record]) -> None:
    whole = result(records)
    assert json.loads(json.dumps(whole)) == whole


def test_the_tables_fit_eighty_columns_and_show_ratios_and_what_was_skipped(records: list[Record]) -> None:
    text = shown(records)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert [line.split() for line in lines if line.strip().startswith("tcp ")] == [
        ["tcp", "40.0", "100.0", "180.0", "30.0", "2.00", "153,000"],
        ["tcp", "250,000", "25", "2.00", "0.50", "153,000"],
    ]
    assert "skipped zmq: pyzmq is [not] here" in text
    assert "FAILED" not in text


def test_messages_that_were_not_right_are_shown_as_a_failure(records: list[Record]) -> None:
    records[0].verified -= 2
    assert records[0].failed
    assert subjects_result(records)["tcp"]["failures"] == 2
    text = shown(records)
    assert "152,998 of 153,000" in text
    assert "FAILED tcp: 2 messages did not arrive as they were sent" in text


def test_a_subject_that_was_given_up_before_its_first_round_is_still_reported(records: list[Record]) -> None:
    records[0].rounds = []
    records[0].error = "the server's process ended unexpectedly"
    assert "to_floor" not in subjects_result(records)["tcp"]
    assert ROUND_TRIP not in subjects_result(records)["tcp"]
    assert "FAILED tcp: the server's process ended unexpectedly" in shown(records)


def test_a_subject_without_its_floor_has_no_ratio(records: list[Record]) -> None:
    assert "to_floor" not in subjects_result(records[:1])["tcp"]


def test_the_environment_tells_machine_and_software_apart() -> None:
    told = describe("tcpconn compare --quick")
    assert told["command_line"] == "tcpconn compare --quick"
    assert told["cpu"]["model"]
    assert told["cpu"]["logical_cores"] >= 1
    assert told["python"]["version"].count(".") == 2
    assert told["versions"]["msgpack"]
    assert json.loads(json.dumps(told)) == told

"""What `tcpconn compare --against` says of an earlier result."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from measured import series
from tcpconn_bench.against import AgainstError, Change, changes, load
from tcpconn_bench.report import print_changes
from tcpconn_bench.results import CPU, Record, subjects_result
from tcpconn_bench.workloads import ROUND_TRIP, STREAM

STEADY = (1.0, 1.01, 0.99, 1.0, 1.02, 0.98, 1.0)


def result(tcp: float, floor: float, *, rounds: int = 7, size: int | None = None) -> dict[str, Any]:
    """Return a result in which everything took so many times as long as it might."""
    records = [
        Record("tcp", "backend", "plain-socket", series={size: series(*(tcp * factor for factor in STEADY[:rounds]))}),
        Record("plain-socket", "floor", None, series={size: series(*(floor * factor for factor in STEADY[:rounds]))}),
    ]
    environment = {"time": "2026-01-01T00:00:00+00:00", "cpu": {"model": "a CPU"}, "python": {"version": "3.11.1"}}
    messages = {"source": "here", "sha256": "abc"}
    return {"environment": environment, "messages": messages, "subjects": subjects_result(records)}


def of(found: list[Change], subject: str) -> dict[tuple[str, str], Change]:
    return {(change.workload, change.figure): change for change in found if change.subject == subject}


def shown(new: dict[str, Any], old: dict[str, Any], fail_over: float = 0.05) -> list[str]:
    text = io.StringIO()
    print_changes(changes(new, old), old, fail_over, Console(file=text, width=200))
    return [line.strip() for line in text.getvalue().splitlines()]


@pytest.mark.parametrize("size", [None, 100])
def test_what_takes_longer_is_slower_by_times_and_by_rates(size: int | None) -> None:
    found = changes(result(3, 1, size=size), result(2, 1, size=size))
    tcp = of(found, "tcp")
    assert tcp.keys() == {(ROUND_TRIP, "p50"), (ROUND_TRIP, CPU), (STREAM, "messages_per_second"), (STREAM, CPU)}
    for change in tcp.values():
        assert change.slowdown.ratio == pytest.approx(1.5, rel=0.03)
        assert change.regressed(0.05)
        assert not change.regressed(0.6)
        assert (change.floor, change.size) == ("plain-socket", size)
    assert not any(change.regressed(0.05) for change in of(found, "plain-socket").values())


def test_on_a_day_on_which_the_machine_is_slower_nothing_has_changed_that_has_a_floor() -> None:
    found = changes(result(6, 3), result(2, 1))
    assert not any(change.regressed(0.05) for change in of(found, "tcp").values())
    assert all(change.regressed(0.05) and change.floor is None for change in of(found, "plain-socket").values())


def test_without_its_floor_in_both_results_a_subject_is_compared_as_it_is() -> None:
    old = result(2, 1)
    del old["subjects"]["plain-socket"]
    tcp = of(changes(result(6, 3), old), "tcp")
    assert all(change.floor is None and change.slowdown.ratio == pytest.approx(3, rel=0.03) for change in tcp.values())


def test_what_has_become_faster_is_no_regression() -> None:
    found = of(changes(result(1, 1), result(2, 1)), "tcp")
    assert not any(change.regressed(0) for change in found.values())
    assert "tcp: round trip, p50: faster, 2.00 to 2.00 times" in shown(result(1, 1), result(2, 1))


def test_with_too_few_rounds_nothing_is_certain() -> None:
    found = of(changes(result(9, 1, rounds=5), result(2, 1)), "tcp")
    assert all(change.slowdown.low is None and not change.regressed(0) for change in found.values())
    lines = shown(result(9, 1, rounds=5), result(2, 1))
    assert "tcp: round trip, p50: 4.50 times; fewer than 6 rounds show no difference" in lines


def test_the_report_names_regressions_and_what_shows_no_difference() -> None:
    lines = shown(result(3, 1, size=100), result(2, 1, size=100))
    assert lines[0].startswith("Since 2026-01-01T00:00:00+00:00, a CPU, Python 3.11.1")
    assert "REGRESSION tcp, 100 B: round trip, p50: slower, 1.50 to 1.50 times" in lines
    assert "REGRESSION tcp, 100 B: stream, CPU: more, 1.50 to 1.50 times" in lines
    assert "plain-socket, 100 B: stream, msg/s: no difference shown (0.99 to 1.01)" in lines
    assert shown(result(1, 1), {**result(1, 1), "subjects": {"other": result(1, 1)["subjects"]["tcp"]}})[1:] == [
        "no subject is in both results"
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot read .*: No such file"),
        ("{", "is no JSON"),
        ("[]", "is no result of 'tcpconn compare --json'"),
        (json.dumps({**result(1, 1), "subjects": {}}), "holds no measured subject"),
        (
            json.dumps({**result(1, 1), "messages": {"source": "elsewhere", "sha256": "?"}}),
            "with other messages: elsewhere; give",
        ),
    ],
)
def test_a_file_that_cannot_be_compared_with_is_refused_with_the_reason(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(AgainstError, match=reason):
        load(path, "abc")


def test_a_result_of_the_same_messages_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(result(1, 1)))
    assert load(path, "abc") == result(1, 1)

"""A result is read case by case, whatever its workloads are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from made_up import result, steady, subject
from measured import backend_and_floor
from tcpconn_bench.measurements import Case, ResultError, advantage, cases, load, measurements, ratio
from tcpconn_bench.results import subjects_result


def test_cases_come_workload_by_workload_with_sizes_ascending() -> None:
    both = {"many_jugglers": {"p50": steady(1.0)}, "stream": {"messages_per_second": steady(1.0)}}
    found = cases(result({"tcp": subject({1024: both, 100: both}), "zmq": subject({100: {"churn": {"p50": steady(1.0)}}})}))
    assert found == [
        Case("many_jugglers", 100),
        Case("many_jugglers", 1024),
        Case("stream", 100),
        Case("stream", 1024),
        Case("churn", 100),
    ]
    assert [case.title for case in found[:2]] == ["many jugglers, 100 B", "many jugglers, 1 KiB"]


def test_what_compare_writes_is_read() -> None:
    told = result(subjects_result(backend_and_floor(None)))
    assert [case.workload for case in cases(told)] == ["round_trip", "stream"]
    tcp = measurements(told, Case("round_trip"))["tcp"]
    assert tcp.value("p50") == pytest.approx(40e-6)
    assert tcp.span("p50") == pytest.approx((20e-6, 160e-6))
    assert (tcp.timed, tcp.value("nothing"), tcp.span("nothing")) == (3000, None, None)
    assert tcp.curve == [tuple(point) for point in told["subjects"]["tcp"]["round_trip"]["curve"]]
    assert {"p50", "p9999", "peak_memory"} < set(tcp.figures)


def test_a_distribution_is_made_of_the_rounds_where_the_result_has_none_of_all_together() -> None:
    told = result({"tcp": subject({"round_trip": {"p50": steady(1e-3)}})})
    times = {share: time for time, share in measurements(told, Case("round_trip"))["tcp"].curve}
    assert times[0.5] == pytest.approx(1e-3, rel=0.02)


def test_ratios_are_taken_of_the_rounds_that_both_have() -> None:
    one, other = ({"w": {"p50": values}} for values in ([1.0, 2.0, 3.0], [2.0, 4.0]))
    found = measurements(result({"a": subject(one), "b": subject(other)}), Case("w"))
    half = ratio(found["a"], found["b"], "p50")
    assert half is not None
    assert (half.ratio, half.low) == (0.5, None)
    assert ratio(found["a"], found["b"], "p99") is None


def test_an_advantage_is_above_1_for_less_time_and_for_a_higher_rate() -> None:
    found = measurements(
        result(
            {name: subject({"w": {"p50": [1 / factor], "x_per_second": [factor]}}) for name, factor in (("a", 2.0), ("b", 1.0))}
        ),
        Case("w"),
    )
    told = [advantage(found["a"], found["b"], figure) for figure in ("p50", "x_per_second")]
    assert [None if one is None else one.ratio for one in told] == [2.0, 2.0]


def test_a_subject_without_a_round_of_a_case_is_not_in_it() -> None:
    told = result({"tcp": subject({"round_trip": {"p50": steady(1.0)}}), "zmq": subject({}, error="it ended")})
    assert list(measurements(told, Case("round_trip"))) == ["tcp"]
    assert measurements(told, Case("round_trip", 100)) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "cannot read .*: No such file"),
        ("{", "is no JSON"),
        ("[]", "is no result of 'tcpconn compare --json'"),
        ('{"environment": {}, "messages": {"source": 1}, "subjects": {}}', "is no result of"),
    ],
)
def test_a_file_that_is_no_result_is_refused_with_the_reason(tmp_path: Path, text: str | None, reason: str) -> None:
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ResultError, match=reason):
        load(path)


def test_a_result_is_loaded_as_it_was_written(tmp_path: Path) -> None:
    told = result({"tcp": subject({"round_trip": {"p50": steady(1.0)}})})
    path = tmp_path / "result.json"
    path.write_text(json.dumps(told))
    assert load(path) == told

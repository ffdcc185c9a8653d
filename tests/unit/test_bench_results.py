"""From what was measured to the result file of `tcpconn compare`."""

from __future__ import annotations

import json

import pytest

from measured import TIMES, backend_and_floor, measured, with_variant_and_further_floor
from tcpconn_bench.results import Record, subjects_result
from tcpconn_bench.workloads import ROUND_TRIP, STREAM

CPU = "cpu_seconds_per_million_messages"


@pytest.fixture
def records() -> list[Record]:
    return backend_and_floor(None)


def test_a_rounds_figures_count_the_cpu_of_both_sides_and_the_payload() -> None:
    figures = measured(1)
    assert figures[STREAM]["messages_per_second"] == pytest.approx(500_000)
    assert figures[STREAM]["megabytes_per_second"] == pytest.approx(50)
    assert figures[STREAM][CPU] == pytest.approx(2)
    assert figures[ROUND_TRIP][CPU] == pytest.approx(30)
    assert figures[STREAM]["peak_memory"] == 50_000_000
    assert figures[ROUND_TRIP]["p999"] == TIMES["p999"]


def test_the_result_holds_medians_and_the_median_of_the_ratios_round_by_round(records: list[Record]) -> None:
    subjects = subjects_result(records)
    tcp = subjects["tcp"]
    assert tcp[ROUND_TRIP]["p50"] == pytest.approx(40e-6)
    assert tcp["to_floor"][ROUND_TRIP]["p50"]["ratio"] == pytest.approx(2)
    assert tcp["to_floor"][STREAM]["messages_per_second"]["ratio"] == pytest.approx(0.5)
    assert tcp["to_floor"][STREAM][CPU]["ratio"] == pytest.approx(2)
    assert tcp[CPU] == {ROUND_TRIP: pytest.approx(60), STREAM: pytest.approx(4)}
    assert (tcp["role"], tcp["floor"], tcp["messages"], tcp["verified"], tcp["failures"]) == (
        "backend",
        "plain-socket",
        153_000,
        153_000,
        0,
    )
    assert len(tcp["rounds"]) == 3
    assert tcp["to"] == {"plain-socket": tcp["to_floor"]}
    assert not {"to", "to_floor", "to_default", "variant_of", "by_size"} & subjects["plain-socket"].keys()


def test_the_times_of_all_rounds_together_make_a_curve(records: list[Record]) -> None:
    told = subjects_result(records)["tcp"][ROUND_TRIP]
    # Three rounds of a thousand each that took 20, 40 and 160 µs.
    assert told["p9999"] == pytest.approx(160e-6, rel=1e-3)
    shares = {share: time for time, share in told["curve"]}
    assert [shares[share] for share in (0.1, 0.5, 0.9)] == [pytest.approx(time, rel=1e-3) for time in (20e-6, 40e-6, 160e-6)]
    assert told["curve"] == sorted(told["curve"])


def test_bytes_on_the_wire_are_told_for_each_message_and_system_calls_as_they_were_counted(records: list[Record]) -> None:
    records[0].series[None].rounds = [measured(1, wire=size) for size in (152, 160, 200)]
    records[0].series[None].syscalls = {ROUND_TRIP: 4.0}
    tcp, plain = (subjects_result(records)[name] for name in ("tcp", "plain-socket"))
    assert [tcp[workload]["wire_bytes_per_message"] for workload in (ROUND_TRIP, STREAM)] == [160, 160]
    assert [tcp[workload]["syscalls_per_message"] for workload in (ROUND_TRIP, STREAM)] == [4.0, None]
    assert [plain[ROUND_TRIP][name] for name in ("wire_bytes_per_message", "syscalls_per_message")] == [None, None]


def test_the_result_can_be_written_as_json(records: list[Record]) -> None:
    told = subjects_result(with_variant_and_further_floor(records, None))
    assert json.loads(json.dumps(told)) == told


def test_with_sizes_a_curve_is_drawn_by_going_through_a_list() -> None:
    sizes = (100, 65_536)
    subjects = subjects_result(with_variant_and_further_floor(backend_and_floor(*sizes), *sizes))
    tcp = subjects["tcp"]
    assert [one["size"] for one in tcp["by_size"]] == [100, 65_536]
    assert [one[STREAM]["megabytes_per_second"] for one in tcp["by_size"]] == [pytest.approx(25)] * 2
    assert [(one["messages"], one["verified"], len(one["rounds"])) for one in tcp["by_size"]] == [(153_000, 153_000, 3)] * 2
    assert tcp["messages"] == tcp["verified"] == 306_000
    for one in tcp["by_size"]:
        assert one["to_floor"][ROUND_TRIP]["p50"]["ratio"] == pytest.approx(2)
        assert one["to"]["polling-socket"][ROUND_TRIP]["p50"]["ratio"] == pytest.approx(10)
    assert not {"rounds", ROUND_TRIP, STREAM, "to_floor", "to"} & tcp.keys()


def test_a_variant_is_set_in_ratio_to_its_unchanged_backend_and_to_the_floors(records: list[Record]) -> None:
    subjects = subjects_result(with_variant_and_further_floor(records, None))
    variant = subjects["tcp leader_followers=false"]
    assert (variant["variant_of"], variant["changes"]) == ("tcp", {"leader_followers": False})
    assert variant["to_default"][ROUND_TRIP]["p50"]["ratio"] == pytest.approx(4)
    assert variant["to_default"][STREAM][CPU]["ratio"] == pytest.approx(4)
    assert variant["to_floor"][ROUND_TRIP]["p50"]["ratio"] == pytest.approx(8)
    assert variant["to"].keys() == {"plain-socket", "polling-socket"}
    assert "to_default" not in subjects["tcp"]


def test_messages_that_were_not_right_are_failures(records: list[Record]) -> None:
    records[0].series[None].verified -= 2
    assert subjects_result(records)["tcp"]["failures"] == 2


def test_a_subject_that_was_given_up_before_its_first_round_has_no_figures(records: list[Record]) -> None:
    records[1].series = {}
    records[1].error = "the server's process ended unexpectedly"
    subjects = subjects_result(records)
    assert (subjects["plain-socket"]["error"], subjects["plain-socket"]["rounds"]) == (records[1].error, [])
    assert not {ROUND_TRIP, STREAM, "to"} & subjects["plain-socket"].keys()
    assert "to_floor" not in subjects["tcp"]
    assert subjects["tcp"]["to"] == {}


def test_a_subject_that_was_given_up_later_is_compared_by_the_rounds_that_it_has(records: list[Record]) -> None:
    del records[1].series[None].rounds[1:]
    assert subjects_result(records)["tcp"]["to_floor"][ROUND_TRIP]["p50"]["ratio"] == pytest.approx(2)


def test_a_subject_without_its_floor_has_no_ratio(records: list[Record]) -> None:
    assert "to_floor" not in subjects_result(records[:1])["tcp"]

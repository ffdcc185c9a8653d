"""Percentiles and medians of `tcpconn compare`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcpconn_bench.stats import Distribution, median, median_ratio


def test_percentiles_are_told_in_seconds_and_true_to_three_digits() -> None:
    found = Distribution(range(1_000, 1_001_000, 1_000))
    assert found.count == 1000
    assert found.percentile(50) == pytest.approx(500e-6, rel=1e-3)
    assert found.percentile(99) == pytest.approx(990e-6, rel=1e-3)
    summary = found.summary()
    assert list(summary) == ["p50", "p99", "p999", "max", "mean"]
    assert summary["p999"] == pytest.approx(999e-6, rel=2e-3)
    assert summary["max"] == pytest.approx(1e-3, rel=1e-3)
    assert summary["mean"] == pytest.approx(500.5e-6, rel=1e-3)


def test_times_out_of_range_are_counted_at_its_ends() -> None:
    found = Distribution([-5, 0, 10**15])
    assert found.count == 3
    assert found.percentile(1) == pytest.approx(1e-9)
    assert found.percentile(100) == pytest.approx(3600, rel=1e-3)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=200))
def test_percentiles_never_fall_and_lie_among_the_values(times: list[int]) -> None:
    found = Distribution(times)
    told = [found.percentile(percent) for percent in (1, 50, 90, 99, 99.9, 100)]
    assert told == sorted(told)
    assert min(times) / 1e9 * 0.998 <= told[0]
    assert told[-1] <= max(times) / 1e9 * 1.002


def test_ratios_are_taken_round_by_round() -> None:
    # The machine was ten times slower in the second round, for both: the ratio is 2 all the same.
    assert median_ratio([2, 20, 4], [1, 10, 2]) == 2
    assert median([3, 1, 2]) == 2
    assert median_ratio([1, 2], [4]) == 0.25
    assert median_ratio([], []) is None
    assert median_ratio([1], [0]) is None

"""Percentiles and medians of `tcpconn compare`."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcpconn_bench.stats import LEAST_ROUNDS, Distribution, Ratio, median, median_ratio, ratio_of


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


def test_distributions_are_put_together_as_if_they_had_been_one() -> None:
    parts = [Distribution(range(1_000, 500_000, 1_000)), Distribution(range(500_000, 1_001_000, 1_000))]
    found = Distribution.pooled(part.encoded() for part in parts)
    assert found.summary() == Distribution(range(1_000, 1_001_000, 1_000)).summary()
    times, shares = zip(*found.curve(), strict=True)
    assert list(times) == sorted(times)
    assert (shares[0], shares[-1]) == (0, 1)
    assert Distribution.pooled([]).count == 0


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


def test_an_interval_holds_the_ratio_and_lies_within_the_rounds() -> None:
    base = [10.0, 12.0, 9.0, 11.0, 10.0, 30.0, 10.0]
    found = ratio_of([2.1 * base[0], 1.9 * base[1], *(2 * value for value in base[2:])], base)
    assert found is not None
    assert found.ratio == pytest.approx(2)
    assert found.low is not None
    assert found.high is not None
    assert 1.9 <= found.low <= found.ratio <= found.high <= 2.1
    assert ratio_of([2.0, 4.0], [1.0, 2.0]) == Ratio(2.0)
    assert ratio_of([], []) is None


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.1, 10), min_size=LEAST_ROUNDS, max_size=15))
def test_intervals_keep_their_order_and_come_out_the_same_again(ratios: list[float]) -> None:
    found = ratio_of(ratios, [1.0] * len(ratios))
    assert found == ratio_of(ratios, [1.0] * len(ratios))
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert min(ratios) <= found.low <= found.ratio <= found.high <= max(ratios)


def test_the_true_ratio_lies_within_the_interval_as_often_as_it_should() -> None:
    chance = random.Random(5)
    held = 0
    for _ in range(300):
        found = ratio_of([chance.lognormvariate(0, 0.3) for _ in range(11)], [1.0] * 11)
        assert found is not None
        held += (found.low or 0) <= 1 <= (found.high or 0)
    assert held >= 0.92 * 300

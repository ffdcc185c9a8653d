"""Distributions of times, and how rounds are put together. Knows nothing of what was measured."""

from __future__ import annotations

import random
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from hdrh.histogram import HdrHistogram

__all__ = ["LEAST_ROUNDS", "Distribution", "Ratio", "median", "median_ratio", "paired", "ratio_between", "ratio_of"]

LEAST_ROUNDS = 6
"""Rounds from which on an interval is told. All of n fall on one side of the true median once in 2^(n - 1) times, so that of
fewer not even the lowest and the highest are the ends of a 95 % interval."""

_DRAWS = 1000
_TAIL = 25
"""Draws beyond each end of the interval: 2.5 %."""

_LOWEST = 1
_HIGHEST = 3600 * 10**9
_DIGITS = 3


_CURVE = (*range(0, 100), 99.5, 99.9, 99.95, 99.99, 100)
"""Percentiles: where a curve has its points."""


class Distribution:
    """Times in a HdrHistogram: given in nanoseconds, told in seconds, true to three digits.

    Times beyond an hour count as an hour.
    """

    def __init__(self, nanoseconds: Iterable[int] = ()) -> None:
        self._histogram = HdrHistogram(_LOWEST, _HIGHEST, _DIGITS)
        for value in nanoseconds:
            self._histogram.record_value(min(max(value, _LOWEST), _HIGHEST))

    @classmethod
    def pooled(cls, encoded: Iterable[str]) -> Distribution:
        """Return the distribution of all times of several, each as `encoded` returns it."""
        found = cls()
        for one in encoded:
            found._histogram.decode_and_add(one.encode())
        return found

    def encoded(self) -> str:
        """Return it in HdrHistogram's own form (version 2, compressed, base64), some KB, which its other tools read, too."""
        return cast(bytes, self._histogram.encode()).decode()

    def curve(self) -> list[list[float]]:
        """Return points of the cumulative distribution, each a time in seconds and the share of all that are not above."""
        # All in one pass: one by one they take 2 ms each.
        times = self._histogram.get_percentile_to_value_dict(_CURVE)
        return [[times[percent] / 1e9, round(percent / 100, 6)] for percent in _CURVE]

    @property
    def count(self) -> int:
        """How many times there are."""
        return int(self._histogram.get_total_count())

    def percentile(self, percent: float) -> float:
        """Return the time in seconds that `percent` percent of all are not above."""
        return cast(int, self._histogram.get_value_at_percentile(percent)) / 1e9

    def summary(self) -> dict[str, float]:
        """Return the percentiles that a result holds, in seconds."""
        return {
            "p50": self.percentile(50),
            "p99": self.percentile(99),
            "p999": self.percentile(99.9),
            "max": self.percentile(100),
            "mean": float(self._histogram.get_mean_value()) / 1e9,
        }


def median(values: Sequence[float]) -> float:
    """Return the median.

    Raises:
        ValueError: there are no values.
    """
    return float(statistics.median(values))


@dataclass(frozen=True, slots=True)
class Ratio:
    """How one subject stands to another.

    Attributes:
        ratio: the median of the ratios round by round.
        low, high: the 95 % interval of that, by bootstrap over the rounds; None with fewer than `LEAST_ROUNDS`.
    """

    ratio: float
    low: float | None = None
    high: float | None = None


def ratio_of(values: Sequence[float], reference: Sequence[float]) -> Ratio | None:
    """Return the ratio of two subjects with its interval, or None where there is no round to compare."""
    ratios = paired(values, reference)
    if not ratios:
        return None
    if len(ratios) < LEAST_ROUNDS:
        return Ratio(median(ratios))
    drawn = sorted(median([ratios[index] for index in draw]) for draw in _draws(len(ratios)))
    return Ratio(median(ratios), drawn[_TAIL], drawn[-1 - _TAIL])


def ratio_between(values: Sequence[float], reference: Sequence[float]) -> Ratio | None:
    """Return the ratio of the medians of rounds that were measured at different times, or None if there are none."""
    if not values or not reference or not median(reference):
        return None
    ratio = median(values) / median(reference)
    if min(len(values), len(reference)) < LEAST_ROUNDS:
        return Ratio(ratio)
    drawn = sorted(
        median([values[index] for index in draw]) / median([reference[index] for index in other])
        for draw, other in zip(_draws(len(values)), _draws(len(reference), 1), strict=True)
    )
    return Ratio(ratio, drawn[_TAIL], drawn[-1 - _TAIL])


@lru_cache(maxsize=8)
def _draws(count: int, series: int = 0) -> list[list[int]]:
    """Return which rounds are drawn, with replacement; always the same, so that a result can be computed again."""
    chance = random.Random(f"{count} {series}")
    return [chance.choices(range(count), k=count) for _ in range(_DRAWS)]


def paired(values: Sequence[float], reference: Sequence[float]) -> list[float]:
    """Return the ratios of two subjects round by round."""
    return [value / other for value, other in zip(values, reference, strict=False) if other]


def median_ratio(values: Sequence[float], reference: Sequence[float]) -> float | None:
    """Return the median of the ratios of two subjects round by round, or None where there is no round to compare.

    Rounds are paired because whatever else the machine was doing in a round slowed both.
    """
    ratios = paired(values, reference)
    return median(ratios) if ratios else None

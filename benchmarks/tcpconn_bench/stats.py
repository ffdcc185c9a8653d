"""Distributions of times, and how rounds are put together. Knows nothing of what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from typing import cast

from hdrh.histogram import HdrHistogram

__all__ = ["Distribution", "median", "median_ratio"]

_LOWEST = 1
_HIGHEST = 3600 * 10**9
_DIGITS = 3


class Distribution:
    """Times in a HdrHistogram: given in nanoseconds, told in seconds, true to three digits.

    Times beyond an hour count as an hour.
    """

    def __init__(self, nanoseconds: Iterable[int] = ()) -> None:
        self._histogram = HdrHistogram(_LOWEST, _HIGHEST, _DIGITS)
        for value in nanoseconds:
            self._histogram.record_value(min(max(value, _LOWEST), _HIGHEST))

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


def median_ratio(values: Sequence[float], reference: Sequence[float]) -> float | None:
    """Return the median of the ratios of two subjects round by round, or None where there is no round to compare.

    Rounds are paired because whatever else the machine was doing in a round slowed both.
    """
    pairs = [(value, other) for value, other in zip(values, reference, strict=False) if other]
    return median([value / other for value, other in pairs]) if pairs else None

"""A result file as one reads it: case by case, and in each what every subject measured, whatever the workloads are.

A *case* is a workload with messages of one size, or with those of the user or the corpus. Knows the form that `results` gives a
file, and no workload in particular: a figure is whatever number the rounds have.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeGuard

from tcpconn_bench.sizes import label
from tcpconn_bench.stats import Distribution, Ratio, median, ratio_of
from tcpconn_bench.units import more_is_better, workload_name

__all__ = ["Case", "Measurement", "ResultError", "advantage", "cases", "load", "measurements", "planned_rounds", "ratio"]


class ResultError(ValueError):
    """A file is no result; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Case:
    """A workload with messages of one size in bytes; None stands for messages of the user's or the corpus."""

    workload: str
    size: int | None = None

    @property
    def title(self) -> str:
        """What it is called in a sentence."""
        return workload_name(self.workload) + ("" if self.size is None else f", {label(self.size)}")


@dataclass(frozen=True)
class Measurement:
    """What one subject measured in one case.

    Attributes:
        subject: its name.
        rounds: by the round's number, its figures; only rounds in which it was measured.
        summary: the medians over the rounds, and what is of all rounds together, as the result has them.
    """

    subject: str
    rounds: Mapping[int, Mapping[str, Any]]
    summary: Mapping[str, Any]

    @cached_property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that the result has of it, in its order."""
        return tuple(name for name, value in self.summary.items() if _is_number(value))

    def value(self, figure: str) -> float | None:
        """Return the median of a figure over the rounds, or None if it was not measured."""
        found = self.summary.get(figure)
        if _is_number(found):
            return float(found)
        values = [one[figure] for one in self.rounds.values() if _is_number(one.get(figure))]
        return median(values) if values else None

    def span(self, figure: str) -> tuple[float, float] | None:
        """Return the least and the greatest of a figure's values in the rounds, or None if there is none."""
        values = [one[figure] for one in self.rounds.values() if _is_number(one.get(figure))]
        return (min(values), max(values)) if values else None

    @cached_property
    def timed(self) -> int:
        """How many times its distribution has."""
        histograms = self._histograms()
        return Distribution.pooled(histograms).count if histograms else 0

    @cached_property
    def curve(self) -> list[tuple[float, float]]:
        """Points of the cumulative distribution of all rounds' times: seconds, and the share of all that took no longer."""
        told = self.summary.get("curve")
        if told is None:
            histograms = self._histograms()
            told = Distribution.pooled(histograms).curve() if histograms else []
        return [(float(time), float(share)) for time, share in told]

    def _histograms(self) -> list[str]:
        return [one["histogram"] for one in self.rounds.values() if "histogram" in one]


def load(path: Path) -> dict[str, Any]:
    """Return the result in a file that `tcpconn compare --json` wrote.

    Raises:
        ResultError: it cannot be read, or is no such file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ResultError(f"{path} is no JSON: {error}") from error
    try:
        complete = all(isinstance(found[key], dict) for key in ("environment", "messages", "subjects"))
        complete = complete and isinstance(found["messages"]["source"], str)
    except (KeyError, TypeError):
        complete = False
    if not complete:
        raise ResultError(f"{path} is no result of 'tcpconn compare --json'")
    result: dict[str, Any] = found
    return result


def cases(result: Mapping[str, Any]) -> list[Case]:
    """Return all cases that some subject measured, workload by workload, sizes ascending."""
    found: dict[Case, None] = {}
    for subject in result["subjects"].values():
        for size, item in _items(subject):
            for measured in item.get("rounds", ()):
                found.update(dict.fromkeys(Case(workload, size) for workload in measured))
    workloads = list(dict.fromkeys(case.workload for case in found))
    return sorted(found, key=lambda case: (workloads.index(case.workload), case.size or 0))


def measurements(result: Mapping[str, Any], case: Case) -> dict[str, Measurement]:
    """Return what each subject measured in a case, in the result's order; without those that did not."""
    found: dict[str, Measurement] = {}
    for name, subject in result["subjects"].items():
        item = dict(_items(subject)).get(case.size, {})
        rounds = {number: one[case.workload] for number, one in enumerate(item.get("rounds", ())) if case.workload in one}
        if rounds:
            found[name] = Measurement(name, rounds, item.get(case.workload, {}))
    return found


def ratio(one: Measurement, other: Measurement, figure: str) -> Ratio | None:
    """Return how a figure of one subject stands to the other's, round by round, or None if there is no round of both."""
    both = [
        (one.rounds[number][figure], other.rounds[number][figure])
        for number in one.rounds
        if number in other.rounds
        and _is_number(one.rounds[number].get(figure))
        and _is_number(other.rounds[number].get(figure))
    ]
    return ratio_of([value for value, _ in both], [value for _, value in both])


def advantage(one: Measurement, other: Measurement, figure: str) -> Ratio | None:
    """Return how many times as good one subject is as the other: above 1 is better, of times as of rates."""
    return ratio(one, other, figure) if more_is_better(figure) else ratio(other, one, figure)


def planned_rounds(result: Mapping[str, Any]) -> int | None:
    """Return how many rounds there were to be, if the result says so."""
    planned = result["environment"].get("options", {}).get("rounds")
    return planned if isinstance(planned, int) else None


def _items(subject: Mapping[str, Any]) -> Iterator[tuple[int | None, Mapping[str, Any]]]:
    """Yield a subject's figures for each size of messages."""
    by_size: Sequence[Mapping[str, Any]] = subject.get("by_size", ())
    if not by_size:
        yield None, subject
    for item in by_size:
        yield item["size"], item


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)

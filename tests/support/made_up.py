"""Results as `tcpconn compare --json` writes them, of figures that a test makes up, for any workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from tcpconn_bench.stats import Distribution

STEADY = (1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.01)
"""Factors of rounds that are much alike."""

Figures = Mapping[str, Mapping[str, Sequence[float]]]
"""Of each workload, by name, a value of each figure for each round."""


def steady(value: float, rounds: int = 7) -> list[float]:
    return [value * factor for factor in STEADY[:rounds]]


def wavering(value: float, rounds: int = 7) -> list[float]:
    """Return rounds of which some are half and some twice as long."""
    return [value * factor for factor in (0.5, 2.0, 0.6, 1.8, 1.0, 0.55, 1.9)[:rounds]]


def measured(figures: Figures) -> dict[str, Any]:
    """Return a subject's rounds and their medians; times have a distribution, too."""
    count = max((len(values) for one in figures.values() for values in one.values()), default=0)
    rounds: list[dict[str, Any]] = [
        {
            workload: {name: values[number] for name, values in one.items() if number < len(values)}
            for workload, one in figures.items()
            if any(number < len(values) for values in one.values())
        }
        for number in range(count)
    ]
    for one in rounds:
        for told in one.values():
            if "p50" in told:
                nanoseconds = int(told["p50"] * 1e9)
                times = [nanoseconds * share // 100 for share in range(50, 150)] * 20
                told["histogram"] = Distribution(times).encoded()
    summary = {workload: {name: median(values) for name, values in one.items() if values} for workload, one in figures.items()}
    return {"rounds": rounds, **summary}


def subject(
    figures: Figures | Mapping[int, Figures],
    role: str = "backend",
    *,
    floor: str | None = None,
    variant_of: str | None = None,
    error: str | None = None,
    failures: int = 0,
) -> dict[str, Any]:
    """Return what a result has of a subject; by size if its figures are."""
    found: dict[str, Any] = {"role": role, "floor": floor, "messages": 1000, "verified": 1000 - failures, "failures": failures}
    found["error"] = error
    if variant_of is not None:
        found.update(variant_of=variant_of, changes={"busy_poll": 0})
    if figures and all(isinstance(key, int) for key in figures):
        return {**found, "by_size": [{"size": size, **measured(one)} for size, one in figures.items()]}  # type: ignore[arg-type]
    return {**found, **measured(figures)}  # type: ignore[arg-type]


def result(subjects: Mapping[str, Any], *, skipped: Mapping[str, str] = {}, interrupted: bool = False) -> dict[str, Any]:
    return {
        "tcpconn": "0.1.0",
        "environment": {
            "time": "2026-01-01T00:00:00+00:00",
            "command_line": "tcpconn compare",
            "cpu": {"model": "a CPU", "cores": 2, "governor": None},
            "options": {"rounds": 7, "floors": True},
            "config": {name: {"backend": name} for name in subjects},
        },
        "messages": {"source": "made up", "count": 10, "total_bytes": 1000, "sizes": {"p50": 100}},
        "sizes": [],
        "skipped": dict(skipped),
        "interrupted": interrupted,
        "subjects": dict(subjects),
    }

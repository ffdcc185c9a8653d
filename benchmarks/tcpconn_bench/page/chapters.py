"""Which pictures a page has, and how they are grouped: by workload and kind, and those of each backend's variants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcpconn_bench.advice import deciding
from tcpconn_bench.measurements import Case, Measurement, advantage, ratio
from tcpconn_bench.page.charts import Panel, RatioRow, against_size, distribution, rates, ratios
from tcpconn_bench.page.svg import Look, looks
from tcpconn_bench.results import CPU
from tcpconn_bench.sizes import label
from tcpconn_bench.units import capital, figure_name, is_rate, more_is_better, workload_name

__all__ = ["Chapter", "Chapters", "Group"]

_GIVEN = ("intended_per_second",)
"""Rates that were asked for and not measured."""

_HOLLOW = "A hollow marker and a pale bar: no difference is shown, or there are too few rounds to tell."
_INTERVALS = f"with its 95 % interval. {_HOLLOW}"


Found = Mapping[Case, Mapping[str, Measurement]]
"""What each subject measured, for each size of messages of one workload."""

Pairs = Callable[[Mapping[str, Measurement]], Iterator[tuple[str, str, str]]]
"""Yields who is set in ratio to whom: what the bar is called, and the names of both."""


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures of one kind, in rows, with a heading and how to read them."""

    title: str
    how_to_read: str
    rows: tuple[tuple[Panel, ...], ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """All groups of a workload, or of the variants of a backend."""

    anchor: str
    title: str
    groups: tuple[Group, ...]


class Chapters:
    """The chapters of a page."""

    def __init__(
        self, subjects: Mapping[str, Any], measured: Mapping[Case, Mapping[str, Measurement]], chosen: str | None
    ) -> None:
        """Look at what there is.

        Args:
            subjects: as the result has them.
            measured: what each of them measured, case by case.
            chosen: the backend beside which the others are shown, or None for the first.
        """
        self._subjects = subjects
        self._measured = measured
        self._reference = chosen or next((name for name, one in subjects.items() if one["role"] != "variant"), None)
        self._looks = self._all_looks()

    def workloads(self) -> Iterator[Chapter]:
        """Yield a chapter for each workload."""
        for workload in dict.fromkeys(case.workload for case in self._measured):
            found = {case: self._without_variants(one) for case, one in self._measured.items() if case.workload == workload}
            compared = [*self._deciding(found), CPU]
            groups = (
                Group(
                    "Latency distributions",
                    "Each line says which share of the messages took no longer than a time; further left is better. The scale "
                    "of shares gives each further nine as much room. All rounds' times are in it.",
                    _rows([[distribution(_size_title(case), one, self._looks) for case, one in found.items()]]),
                ),
                Group("Against the size of messages", "Both scales are logarithmic.", _rows([self._curves(found)])),
                Group("Rates", "Medians of the rounds; longer is better.", _rows([self._rates(found)])),
                Group(
                    f"Everything beside {self._reference}",
                    f"The ratio of each subject to {self._reference}, round by round, {_INTERVALS}",
                    _rows(self._ratios(found, figure, self._beside_reference) for figure in compared),
                ),
                Group(
                    "Beside what each backend is built on",
                    f"The ratio of each backend to its own floor, round by round, {_INTERVALS}",
                    _rows(self._ratios(found, figure, self._beside_floors) for figure in compared),
                ),
            )
            yield Chapter(f"workload-{workload}", capital(workload_name(workload)), tuple(one for one in groups if one.rows))

    def variants(self) -> Iterator[Chapter]:
        """Yield a chapter for the variants of each backend."""
        bases = dict.fromkeys(one["variant_of"] for one in self._subjects.values() if one.get("variant_of"))
        for base in bases:
            names = [name for name, one in self._subjects.items() if one.get("variant_of") == base]
            off = not any(value for name in names for value in self._subjects[name].get("changes", {}).values())
            title = f"Ablation: what each technique is worth to {base}" if off else f"{base} with other settings"
            worse = f"right of 1 {base} is slower without it, so it pays" if off else "right of 1 the setting makes it slower"
            how = f"How many times as long it takes, or how much less it carries: {worse}. {_HOLLOW}"
            groups: list[Group] = []
            for workload in dict.fromkeys(case.workload for case in self._measured):
                found = {case: one for case, one in self._measured.items() if case.workload == workload and base in one}
                rows = _rows(self._without(found, figure, base, names) for figure in self._deciding(found))
                if rows:
                    groups.append(Group(capital(workload_name(workload)), how, rows))
            if groups:
                yield Chapter(f"variants-{base}", title, tuple(groups))

    def _all_looks(self) -> dict[str, Look]:
        """Return the looks of all subjects, so that variants take no colour from those that share pictures."""
        roles = [(name, one["role"]) for name, one in self._subjects.items()]
        variants = [pair for pair in roles if pair[1] == "variant"]
        return {**looks(variants), **looks([pair for pair in roles if pair[1] != "variant"])}

    def _without_variants(self, found: Mapping[str, Measurement]) -> dict[str, Measurement]:
        return {name: one for name, one in found.items() if self._subjects[name]["role"] != "variant"}

    @staticmethod
    def _deciding(found: Found) -> list[str]:
        workload = next((case.workload for case in found), "")
        return deciding(workload, _figures(found))

    def _curves(self, found: Found) -> Iterator[Panel | None]:
        by_size = {case.size: one for case, one in found.items() if case.size is not None}
        for figure in _figures(found):
            if figure in ("p50", "p99") or (is_rate(figure) and figure not in _GIVEN):
                yield against_size(figure_name(figure), figure, by_size, self._looks)

    def _rates(self, found: Found) -> Iterator[Panel | None]:
        """Yield rates as bars where there is no curve against size that shows them."""
        for case, one in found.items() if len(found) == 1 else ():
            for figure in _figures(found):
                if is_rate(figure) and figure not in _GIVEN:
                    yield rates(_title(case, figure), figure, one, self._looks)

    def _ratios(self, found: Found, figure: str, pairs: Pairs) -> Iterator[Panel | None]:
        """Yield ratios of a figure for each size, the best first."""
        for case, measured in found.items():
            rows = [
                RatioRow(shown, self._looks[name], one)
                for shown, name, other in pairs(measured)
                if (one := ratio(measured[name], measured[other], figure)) is not None
            ]
            rows.sort(key=lambda row: row.ratio.ratio, reverse=more_is_better(figure))
            yield ratios(_title(case, figure), rows, more_is_better=more_is_better(figure))

    def _beside_reference(self, measured: Mapping[str, Measurement]) -> Iterator[tuple[str, str, str]]:
        if self._reference is not None and self._reference in measured:
            yield from ((name, name, self._reference) for name in measured if name != self._reference)

    def _beside_floors(self, measured: Mapping[str, Measurement]) -> Iterator[tuple[str, str, str]]:
        floors = {name: self._subjects[name]["floor"] for name in measured}
        yield from ((f"{name} / {floor}", name, floor) for name, floor in floors.items() if floor in measured)

    def _without(self, found: Found, figure: str, base: str, names: Sequence[str]) -> Iterator[Panel | None]:
        """Yield how many times as good a backend is as each of its variants, so that times and rates are read alike."""
        for case, measured in found.items():
            rows = [
                RatioRow(name.removeprefix(base).strip(), self._looks[name], one)
                for name in names
                if name in measured and (one := advantage(measured[base], measured[name], figure)) is not None
            ]
            yield ratios(_title(case, figure), rows, more_is_better=False)


def _figures(found: Found) -> list[str]:
    """Return the figures of all subjects."""
    return list(dict.fromkeys(name for measured in found.values() for one in measured.values() for name in one.figures))


def _rows(rows: Iterable[Iterable[Panel | None]]) -> tuple[tuple[Panel, ...], ...]:
    """Return the pictures that there are, without rows that have none; rows of one picture each become one row."""
    drawn = [row for row in (tuple(panel for panel in row if panel is not None) for row in rows) if row]
    return (sum(drawn, ()),) if drawn and all(len(row) == 1 for row in drawn) else tuple(drawn)


def _size_title(case: Case) -> str:
    return "all messages" if case.size is None else label(case.size)


def _title(case: Case, figure: str) -> str:
    return figure_name(figure) if case.size is None else f"{label(case.size)}, {figure_name(figure)}"

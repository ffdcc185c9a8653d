"""Which pictures a page has, and how they are grouped: by workload and kind, and those of each backend's variants."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcpconn_bench.advice import deciding
from tcpconn_bench.measurements import Case, Measurement, advantage, ratio
from tcpconn_bench.page.charts import Panel, RatioRow, against_size, distribution, rates, ratios
from tcpconn_bench.page.svg import Look, looks
from tcpconn_bench.results import CPU
from tcpconn_bench.sizes import label
from tcpconn_bench.units import capital, figure_name, is_rate, workload_name

__all__ = ["Chapter", "Chapters", "Group"]

_HOLLOW = "A hollow marker and a pale bar: no difference is shown, or there are too few rounds to tell."
_INTERVALS = f"with its 95 % interval. {_HOLLOW}"


@dataclass(frozen=True, slots=True)
class Group:
    """Pictures of one kind, with a heading and how to read them."""

    title: str
    how_to_read: str
    panels: tuple[Panel, ...]


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
            groups = (
                Group(
                    "Latency distributions",
                    "Each line says which share of the messages took no longer than a time; further left is better. The scale "
                    "of shares gives each further nine as much room. All rounds' times are in it.",
                    _drawn(distribution(_size_title(case), one, self._looks) for case, one in found.items()),
                ),
                Group(
                    "Against the size of messages",
                    "Both scales are logarithmic.",
                    tuple(self._curves(found)),
                ),
                Group("Rates", "Medians of the rounds; longer is better.", tuple(self._rates(found))),
                *self._beside_reference(found),
                Group(
                    "Beside what each backend is built on",
                    f"The ratio of each backend to its own floor, round by round, {_INTERVALS}",
                    _drawn(self._beside_floors(found)),
                ),
            )
            yield Chapter(f"workload-{workload}", capital(workload_name(workload)), tuple(one for one in groups if one.panels))

    def variants(self) -> Iterator[Chapter]:
        """Yield a chapter for the variants of each backend."""
        bases = dict.fromkeys(one["variant_of"] for one in self._subjects.values() if one.get("variant_of"))
        for base in bases:
            names = [name for name, one in self._subjects.items() if one.get("variant_of") == base]
            off = not any(value for name in names for value in self._subjects[name].get("changes", {}).values())
            title = f"Ablation: what each technique is worth to {base}" if off else f"{base} with other settings"
            worse = f"right of 1 {base} is slower without it, so it pays" if off else "right of 1 the setting makes it slower"
            groups: list[Group] = []
            for workload in dict.fromkeys(case.workload for case in self._measured):
                panels = _drawn(self._variant_panels(workload, base, names))
                how = f"How many times as long it takes, or how much less it carries: {worse}. {_HOLLOW}"
                if panels:
                    groups.append(Group(capital(workload_name(workload)), how, panels))
            if groups:
                yield Chapter(f"variants-{base}", title, tuple(groups))

    def _variant_panels(self, workload: str, base: str, names: Sequence[str]) -> Iterator[Panel | None]:
        found = {case: one for case, one in self._measured.items() if case.workload == workload and base in one}
        for figure in _compared(found, also=()):
            for case, measured in found.items():
                # Turned round, so that times and rates are read alike.
                rows = [
                    RatioRow(name.removeprefix(base).strip(), self._looks[name], one)
                    for name in names
                    if name in measured and (one := advantage(measured[base], measured[name], figure)) is not None
                ]
                yield ratios(_title(case, figure), rows, more_is_better=False)

    def _all_looks(self) -> dict[str, Look]:
        """Return the looks of all subjects, so that variants take no colour from those that share pictures."""
        roles = [(name, one["role"]) for name, one in self._subjects.items()]
        variants = [pair for pair in roles if pair[1] == "variant"]
        return {**looks(variants), **looks([pair for pair in roles if pair[1] != "variant"])}

    def _without_variants(self, found: Mapping[str, Measurement]) -> dict[str, Measurement]:
        return {name: one for name, one in found.items() if self._subjects[name]["role"] != "variant"}

    def _curves(self, found: Mapping[Case, Mapping[str, Measurement]]) -> Iterator[Panel]:
        by_size = {case.size: one for case, one in found.items() if case.size is not None}
        names = dict.fromkeys(name for one in found.values() for each in one.values() for name in each.figures)
        for figure in names:
            if figure in ("p50", "p99") or is_rate(figure):
                panel = against_size(figure_name(figure), figure, by_size, self._looks)
                if panel is not None:
                    yield panel

    def _rates(self, found: Mapping[Case, Mapping[str, Measurement]]) -> Iterator[Panel]:
        """Yield rates as bars where there is no curve against size that shows them."""
        if len(found) > 1:
            return
        for case, one in found.items():
            for figure in dict.fromkeys(name for each in one.values() for name in each.figures):
                panel = rates(_title(case, figure), figure, one, self._looks) if is_rate(figure) else None
                if panel is not None:
                    yield panel

    def _beside_reference(self, found: Mapping[Case, Mapping[str, Measurement]]) -> Iterator[Group]:
        """Yield the ratios of all subjects to the backend that is chosen, or the first."""
        reference = self._reference
        panels: list[Panel | None] = []
        for figure in _compared(found):
            for case, measured in found.items():
                beside = measured.get(reference or "")
                rows = [
                    RatioRow(name, self._looks[name], one)
                    for name, each in measured.items()
                    if beside is not None and each is not beside and (one := ratio(each, beside, figure)) is not None
                ]
                rows.sort(key=lambda row: row.ratio.ratio, reverse=is_rate(figure))
                panels.append(ratios(_title(case, figure), rows, more_is_better=is_rate(figure)))
        how = f"The ratio of each subject to {reference}, round by round, {_INTERVALS}"
        yield Group(f"Everything beside {reference}", how, _drawn(panels))

    def _beside_floors(self, found: Mapping[Case, Mapping[str, Measurement]]) -> Iterator[Panel | None]:
        for figure in _compared(found):
            for case, measured in found.items():
                floors = {name: self._subjects[name]["floor"] for name in measured}
                rows = [
                    RatioRow(f"{name} / {floor}", self._looks[name], one)
                    for name, floor in floors.items()
                    if floor in measured and (one := ratio(measured[name], measured[floor], figure)) is not None
                ]
                yield ratios(_title(case, figure), rows, more_is_better=is_rate(figure))


def _compared(found: Mapping[Case, Mapping[str, Measurement]], also: Sequence[str] = (CPU,)) -> list[str]:
    """Return the figures by which a workload's subjects are set in ratio."""
    names = dict.fromkeys(name for measured in found.values() for one in measured.values() for name in one.figures)
    return [*deciding(names), *(name for name in also if name in names)]


def _drawn(panels: Iterable[Panel | None]) -> tuple[Panel, ...]:
    return tuple(panel for panel in panels if panel is not None)


def _size_title(case: Case) -> str:
    return "all messages" if case.size is None else label(case.size)


def _title(case: Case, figure: str) -> str:
    return figure_name(figure) if case.size is None else f"{label(case.size)}, {figure_name(figure)}"

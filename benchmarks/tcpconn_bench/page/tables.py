"""The figures of a result and what it was measured with, as tables of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcpconn_bench.advice import deciding
from tcpconn_bench.measurements import Case, Measurement, ratio
from tcpconn_bench.results import CPU
from tcpconn_bench.stats import Ratio
from tcpconn_bench.units import capital, figure_name, quantity, told
from tcpconn_bench.units import times as times_told

__all__ = ["Cell", "Setting", "Table", "facts", "figures", "settings"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, and below it how it stands to another subject's, if that is told, with what the interval says."""

    text: str
    ratio: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, each row with a name."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting with its value, and the subjects that have another one."""

    name: str
    value: str
    otherwise: tuple[str, ...]


def figures(case: Case, found: Mapping[str, Measurement], subjects: Mapping[str, Any]) -> Table:
    """Return all figures of a case; those that are compared with the ratio to the floor, or of a variant to the default."""
    names = sorted(dict.fromkeys(name for one in found.values() for name in one.figures), key=_place)
    rows: list[tuple[str, tuple[Cell, ...]]] = []
    for name, one in found.items():
        other = found.get(subjects[name].get("variant_of") or subjects[name].get("floor") or "")
        compared = [*deciding(case.workload, one.figures), CPU]
        cells: list[Cell] = []
        for figure in names:
            value = one.value(figure)
            beside = ratio(one, other, figure) if other is not None and figure in compared else None
            cells.append(Cell("-" if value is None else told(figure, value), *_told(beside)))
        rows.append((name, tuple(cells)))
    return Table(capital(case.title), tuple(capital(figure_name(name)) for name in names), tuple(rows))


def facts(described: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield names and values of whatever is told of an environment, one level of it after another."""
    for name, value in described.items():
        if isinstance(value, Mapping):
            for inner, said in facts(value):
                yield f"{_spaced(name)}: {inner}", said
        else:
            yield _spaced(name), _said(name, value)


def settings(config: Mapping[str, Mapping[str, Any]]) -> list[Setting]:
    """Return the settings of all subjects that have some: the commonest value of each, and who has another."""
    found: list[Setting] = []
    for name in dict.fromkeys(name for one in config.values() for name in one):
        values = {subject: _said(name, one[name]) for subject, one in config.items() if name in one}
        common = Counter(values.values()).most_common(1)[0][0]
        otherwise = tuple(f"{subject}: {value}" for subject, value in values.items() if value != common)
        found.append(Setting(name, common, otherwise))
    return found


def _place(figure: str) -> int:
    """Return where a figure stands: percentiles in their order, then what is not known here, then what it took."""
    first, last = ("p50", "p90", "p99", "p999", "p9999", "max", "mean"), (CPU, "peak_memory")
    if figure in first:
        return first.index(figure)
    return len(first) + (last.index(figure) + 1 if figure in last else 0)


def _told(found: Ratio | None) -> tuple[str, str]:
    """Return a ratio with its interval, and what that says."""
    if found is None:
        return "", ""
    if found.low is None or found.high is None:
        return f"× {times_told([found.ratio])}", ""
    interval = f"× {times_told([found.ratio])} ({times_told([found.low, found.high])})"
    return interval, "no difference shown" if found.low <= 1 <= found.high else ""


def _said(name: str, value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and name.endswith("bytes"):
        return f"{quantity(value)}B"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(str(one) for one in value) or "none"
    return str(value)


def _spaced(name: str) -> str:
    return name.replace("_", " ")

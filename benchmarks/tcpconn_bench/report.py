"""The result of a comparison as tables on the terminal. Knows what `results` puts into it, and measures nothing.

For each size of messages and each workload there is a table of the subjects, one of the variants if there are any, and one
of the ratios to all floors if some backend has several.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tcpconn_bench.sizes import label
from tcpconn_bench.workloads import ROUND_TRIP, STREAM

__all__ = ["print_tables"]

_CPU = "cpu_seconds_per_million_messages"
_CPU_HEADING = "CPU s/M"

_COLUMNS: dict[str, dict[str, tuple[str, float, str]]] = {
    ROUND_TRIP: {
        "p50 µs": ("p50", 1e6, ",.1f"),
        "p99 µs": ("p99", 1e6, ",.1f"),
        "p99.9 µs": ("p999", 1e6, ",.1f"),
        _CPU_HEADING: (_CPU, 1, ",.1f"),
    },
    STREAM: {
        "msg/s": ("messages_per_second", 1, ",.0f"),
        "MB/s": ("megabytes_per_second", 1, ",.0f"),
        _CPU_HEADING: (_CPU, 1, ",.2f"),
    },
}
"""The columns of each workload's table: heading, figure, factor, format."""

_COMPARED = {"p50", "messages_per_second", _CPU}
"""The figures whose columns are followed by their ratio to the floor."""

_TITLES = {ROUND_TRIP: "round trip, lower is better", STREAM: "one-way stream, more messages are better"}

Figures = Mapping[str, Any]
"""Of one subject with messages of one size: see `results`."""


def print_tables(result: Mapping[str, Any], console: Console) -> None:
    """Show the tables, then what went wrong."""
    subjects = result["subjects"]
    for size in [one["size"] for one in result["sizes"]] or [None]:
        for workload in _COLUMNS:
            for table in _tables(subjects, size, workload):
                console.print(table)
    console.print(_caption(result), style="dim", markup=False, highlight=False)
    for name, reason in result["skipped"].items():
        console.print(f"skipped {name}: {reason}", markup=False, highlight=False)
    for name, subject in subjects.items():
        if subject["error"]:
            console.print(f"FAILED {name}: {subject['error']}", markup=False, highlight=False)
        elif subject["failures"]:
            wrong = f"{subject['failures']:,} of {subject['messages']:,} messages did not arrive as they were sent"
            console.print(f"FAILED {name}: {wrong}", markup=False, highlight=False)


def _tables(subjects: Mapping[str, Any], size: int | None, workload: str) -> Iterator[Table]:
    title = _TITLES[workload] if size is None else f"{label(size)}: {_TITLES[workload]}"
    yield _table(title, subjects, size, workload)
    for base in dict.fromkeys(one["variant_of"] for one in subjects.values() if "variant_of" in one):
        yield _variants(f"{_kind(subjects, base)} of {base}, {title}", subjects, base, size, workload)
    if _further_floors(subjects):
        yield _floors(subjects, size, workload)


def _kind(subjects: Mapping[str, Any], base: str) -> str:
    """Return what it is called to measure the variants of a backend: an ablation if all that they do is turn things off."""
    changes = [subject["changes"] for subject in subjects.values() if subject.get("variant_of") == base]
    return "variants" if any(value for changed in changes for value in changed.values()) else "ablation"


def _further_floors(subjects: Mapping[str, Any]) -> set[str]:
    """Return the floors that are nobody's `floor`, so that the table of subjects has no ratio to them."""
    first = {subject["floor"] for subject in subjects.values()}
    return {name for name, subject in subjects.items() if subject["role"] == "floor" and name not in first}


def _figures_of(subject: Mapping[str, Any], size: int | None) -> Figures:
    """Return a subject's figures with messages of a size, or with the user's or the corpus's; empty if it has none."""
    if size is None:
        return subject if subject.get("rounds") else {}
    return next((one for one in subject.get("by_size", ()) if one["size"] == size and one["rounds"]), {})


def _new_table(title: str, first: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(first, no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _table(title: str, subjects: Mapping[str, Any], size: int | None, workload: str) -> Table:
    """Return the table of all subjects but variants, each followed by its floors."""
    headings: list[str] = []
    for heading, (figure, _, _) in _COLUMNS[workload].items():
        headings += [heading, "to floor"] if figure in _COMPARED else [heading]
    table = _new_table(title, "", *headings)
    for name, subject in subjects.items():
        if subject["role"] == "variant":
            continue
        figures = _figures_of(subject, size)
        cells: list[str] = []
        for heading, (figure, _, _) in _COLUMNS[workload].items():
            cells.append(_figure(figures, workload, heading))
            if figure in _COMPARED:
                cells.append(_ratio(figures.get("to_floor"), workload, figure))
        table.add_row(f"  {name}" if subject["role"] == "floor" else name, *cells, style=_style(subject))
    return table


def _variants(title: str, subjects: Mapping[str, Any], base: str, size: int | None, workload: str) -> Table:
    """Return the table of a backend and its variants, what is compared in ratio to the backend as it is."""
    (first, (figure, _, _)), *_ = _COLUMNS[workload].items()
    headings = (first, "to default", "to floor", _CPU_HEADING, "to default")
    table = _new_table(title, "setting", *headings)
    for name, subject in subjects.items():
        if name != base and subject.get("variant_of") != base:
            continue
        figures = _figures_of(subject, size)
        cells = [_figure(figures, workload, first)]
        cells += [_ratio(figures.get(to), workload, figure) for to in ("to_default", "to_floor")]
        cells += [_figure(figures, workload, _CPU_HEADING), _ratio(figures.get("to_default"), workload, _CPU)]
        table.add_row("default" if name == base else name.removeprefix(base).strip(), *cells, style=_style(subject))
    return table


def _floors(subjects: Mapping[str, Any], size: int | None, workload: str) -> Table:
    """Return the table of each backend's ratios to all floors, by the workload's first column."""
    floors = [name for name, subject in subjects.items() if subject["role"] == "floor"]
    heading, (figure, _, _) = next(iter(_COLUMNS[workload].items()))
    table = _new_table(f"ratio of {heading} to each floor", "", *floors)
    for name, subject in subjects.items():
        to = _figures_of(subject, size).get("to", {})
        if subject["role"] != "floor":
            table.add_row(name, *(_ratio(to.get(floor), workload, figure) for floor in floors), style=_style(subject))
    return table


def _figure(figures: Figures, workload: str, heading: str) -> str:
    name, factor, style = _COLUMNS[workload][heading]
    return format(figures[workload][name] * factor, style) if figures else "-"


def _ratio(ratios: Figures | None, workload: str, figure: str) -> str:
    ratio = None if ratios is None else ratios[workload][figure]
    return "" if ratio is None else f"{ratio:.2f}"


def _style(subject: Mapping[str, Any]) -> str:
    if subject["failures"] or subject["error"]:
        return "bold red"
    return "dim" if subject["role"] == "floor" else ""


def _caption(result: Mapping[str, Any]) -> str:
    messages, options = result["messages"], result["environment"]["options"]
    sizes, subjects = messages["sizes"], result["subjects"].values()
    lengths = f", {sizes['p0']:,} to {sizes['p100']:,} bytes, median {sizes['p50']:,}"
    verified, sent = (sum(one[key] for one in subjects) for key in ("verified", "messages"))
    return (
        f"{messages['count']:,} messages of {messages['source']}{'' if result['sizes'] else lengths}. Medians of "
        f"{options['rounds']} rounds, the subjects in turn, each round in new processes that have warmed up; ratios are "
        "medians of the ratios round by round. Every echo is compared byte for byte outside the measured time, every "
        f"streamed message by its receiver within it: {verified:,} of {sent:,} arrived as sent. CPU is that of both "
        "processes, in seconds per million messages."
    )

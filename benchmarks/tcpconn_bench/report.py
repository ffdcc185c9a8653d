"""The result of a comparison as tables on the terminal. Knows what `results` puts into it, and measures nothing.

For each size of messages and each workload there is a table of the subjects, in words how sure their ratios are, a table of
the variants if there are any, and one of the ratios to all floors if some backend has several; and for each size one of what
messages cost besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tcpconn_bench.advice import Advice, whereabouts
from tcpconn_bench.against import Change
from tcpconn_bench.results import COMPARED, CPU, SYSCALLS, WIRE
from tcpconn_bench.sizes import label
from tcpconn_bench.stats import LEAST_ROUNDS
from tcpconn_bench.workload_names import DEFAULT
from tcpconn_bench.workloads import WORKLOADS, Workload

__all__ = ["print_advice", "print_changes", "print_tables"]

_CPU_HEADING = "CPU s/M"

_LONG = 1_000
"""From here on a figure is shown without decimals."""

_FACTORS = {"µs": 1e6, "ms": 1e3}


def _columns(workload: Workload) -> dict[str, tuple[str, float, str]]:
    """Return the columns of a workload's table: heading, figure, factor, format."""
    columns: dict[str, tuple[str, float, str]] = {}
    if workload.latency:
        for name, figure in (("p50", "p50"), ("p99", "p99"), ("p99.9", "p999")):
            columns[f"{name} {workload.unit}"] = (figure, _FACTORS[workload.unit], ",.1f")
    for heading, figure in (("msg/s", "messages_per_second"), ("MB/s", "megabytes_per_second")):
        # Beside times there is room for one of the two.
        if workload.rate and (not workload.latency or figure in workload.compared):
            columns[heading] = (figure, 1, ",.0f")
    if not (workload.latency and workload.rate):
        columns[_CPU_HEADING] = (CPU, 1, ",.1f" if workload.latency else ",.2f")
    return {**columns, **workload.columns}


_COLUMNS = {name: _columns(workload) for name, workload in WORKLOADS.items()}

_COSTS = {"wire B": (WIRE, ",.0f"), "calls": (SYSCALLS, ",.2f")}
"""The columns of the table of costs, for each workload: figure, format."""

Figures = Mapping[str, Any]
"""Of one subject with messages of one size: see `results`."""


def print_tables(result: Mapping[str, Any], console: Console) -> None:
    """Show the tables, then what went wrong."""
    subjects = result["subjects"]
    for size in _sizes(result):
        for workload in _measured(subjects, size):
            for table in _tables(subjects, size, workload):
                console.print(table)
            intervals = list(_intervals(subjects, size, workload))
            if intervals:
                console.print("\n".join(intervals) + "\n", style="dim", markup=False, highlight=False)
        if costs := _costs(subjects, size):
            console.print(costs)
    console.print(_caption(result), style="dim", markup=False, highlight=False)
    for reason in result.get("uncounted", ()):
        console.print(f"not counted: {reason}", markup=False, highlight=False)
    for name, reason in result["skipped"].items():
        console.print(f"skipped {name}: {reason}", markup=False, highlight=False)
    for line in _left_out(result):
        console.print(line, markup=False, highlight=False)
    for name, subject in subjects.items():
        if subject["error"]:
            console.print(f"FAILED {name}: {subject['error']}", markup=False, highlight=False)
        elif subject["failures"]:
            wrong = f"{subject['failures']:,} of {subject['messages']:,} messages did not arrive as they were sent"
            console.print(f"FAILED {name}: {wrong}", markup=False, highlight=False)


def print_advice(advice: Sequence[Advice], console: Console) -> None:
    """Show which backend to choose, for each API; why, the page of the result tells."""
    for one in advice:
        by = f" ({one.api} API)" if len(advice) > 1 else ""
        console.print(f"{one.headline}{by}", style="bold", markup=False, highlight=False)
        for sentence in (one.summary, *one.cautions):
            console.print(f"  {sentence}", markup=False, highlight=False)


def print_changes(changes: Sequence[Change], old: Mapping[str, Any], fail_over: float, console: Console) -> None:
    """Show what has become faster or slower since an earlier result, and what of it is a regression."""
    environment = old["environment"]
    console.print(
        f"Since {environment['time']}, {environment['cpu']['model']}, Python {environment['python']['version']} (ratios to the "
        "floor, where it was measured both times):",
        markup=False,
        highlight=False,
    )
    for change in changes:
        name = change.subject if change.size is None else f"{change.subject}, {label(change.size)}"
        heading = next(heading for heading, (figure, _, _) in _COLUMNS[change.workload].items() if figure == change.figure)
        what = f"{name}: {WORKLOADS[change.workload].short}, {_name(heading)}"
        regressed = change.regressed(fail_over)
        line = f"{'REGRESSION ' if regressed else ''}{what}: {_changed(change)}"
        console.print(line, style="bold red" if regressed else "", markup=False, highlight=False)
    if not changes:
        console.print("no subject is in both results", markup=False, highlight=False)


def _changed(change: Change) -> str:
    slowdown = change.slowdown
    worse, better = ("more", "less") if change.figure == CPU else ("slower", "faster")
    if slowdown.low is None or slowdown.high is None:
        return f"{slowdown.ratio:.2f} times; fewer than {LEAST_ROUNDS} rounds show no difference"
    if slowdown.low > 1:
        return f"{worse}, {slowdown.low:.2f} to {slowdown.high:.2f} times"
    if slowdown.high < 1:
        return f"{better}, {1 / slowdown.high:.2f} to {1 / slowdown.low:.2f} times"
    return f"no difference shown ({slowdown.low:.2f} to {slowdown.high:.2f})"


def _measured(subjects: Mapping[str, Any], size: int | None) -> list[str]:
    """Return the workloads that have a table: those that some subject was measured with, or all of the default if none was."""
    figures = [_figures_of(subject, size) for subject in subjects.values()]
    return [name for name in WORKLOADS if any(name in one for one in figures)] or list(DEFAULT)


def _sizes(result: Mapping[str, Any]) -> list[int | None]:
    return [one["size"] for one in result["sizes"]] or [None]


def _tables(subjects: Mapping[str, Any], size: int | None, workload: str) -> Iterator[Table]:
    title = WORKLOADS[workload].title if size is None else f"{label(size)}: {WORKLOADS[workload].title}"
    yield _table(title, subjects, size, workload)
    for base in dict.fromkeys(one["variant_of"] for one in subjects.values() if "variant_of" in one):
        yield _variants(f"{_kind(subjects, base)} of {base}, {title}", subjects, base, size, workload)
    if _further_floors(subjects):
        yield _floors(subjects, size, workload)


def _costs(subjects: Mapping[str, Any], size: int | None) -> Table | None:
    """Return the table of what a message costs besides time: bytes on the wire, system calls, memory; or None."""
    told = [_figures_of(subject, size) for subject in subjects.values()]
    # Of the others nothing is counted.
    workloads = [name for name in DEFAULT if any(name in figures for figures in told)]
    known = {
        heading: (figure, style)
        for heading, (figure, style) in _COSTS.items()
        if any(figures.get(workload, {}).get(figure) is not None for figures in told for workload in workloads)
    }
    if not known:
        return None
    title = "what a message costs besides, lower is better"
    headings = [f"{WORKLOADS[workload].short.split()[-1]} {heading}" for heading in known for workload in workloads]
    table = _new_table(title if size is None else f"{label(size)}: {title}", "", *headings, "MB")
    for (name, subject), figures in zip(subjects.items(), told, strict=True):
        values = [
            (figures.get(workload, {}).get(figure), style)
            for figure, style in known.values()
            for workload in workloads
            if figures
        ]
        cells = ["-" if value is None else format(value, style) for value, style in values]
        if last := [figures[workload] for workload in workloads if workload in figures]:
            cells.append(f"{last[-1]['peak_memory'] / 1e6:,.0f}")
        table.add_row(f"  {name}" if subject["role"] == "floor" else name, *cells, style=_style(subject))
    return table


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
    series = _series_of(subject, size)
    return series if series.get("rounds") else {}


def _series_of(subject: Mapping[str, Any], size: int | None) -> Figures:
    if size is None:
        return subject
    return next((one for one in subject.get("by_size", ()) if one["size"] == size), {})


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
        headings += [heading, "to floor"] if figure in COMPARED[workload] else [heading]
    table = _new_table(title, "", *headings)
    for name, subject in subjects.items():
        if subject["role"] == "variant":
            continue
        figures = _figures_of(subject, size)
        cells: list[str] = []
        for heading, (figure, _, _) in _COLUMNS[workload].items():
            cells.append(_figure(figures, workload, heading))
            if figure in COMPARED[workload]:
                cells.append(_ratio(figures.get("to_floor"), workload, figure))
        table.add_row(f"  {name}" if subject["role"] == "floor" else name, *cells, style=_style(subject))
    return table


def _variants(title: str, subjects: Mapping[str, Any], base: str, size: int | None, workload: str) -> Table:
    """Return the table of a backend and its variants, what is compared in ratio to the backend as it is."""
    (first, (figure, _, _)), *_ = _COLUMNS[workload].items()
    with_cpu = CPU in COMPARED[workload]
    headings = (first, "to default", "to floor", *((_CPU_HEADING, "to default") if with_cpu else ()))
    table = _new_table(title, "setting", *headings)
    for name, subject in subjects.items():
        if name != base and subject.get("variant_of") != base:
            continue
        figures = _figures_of(subject, size)
        cells = [_figure(figures, workload, first)]
        cells += [_ratio(figures.get(to), workload, figure) for to in ("to_default", "to_floor")]
        if with_cpu:
            cells += [_figure(figures, workload, _CPU_HEADING), _ratio(figures.get("to_default"), workload, CPU)]
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


def _intervals(subjects: Mapping[str, Any], size: int | None, workload: str) -> Iterator[str]:
    """Yield how each subject stands to its floor, or a variant to its default, as an interval or in words."""
    compared = {figure: heading for heading, (figure, _, _) in _COLUMNS[workload].items() if figure in COMPARED[workload]}
    for name, subject in subjects.items():
        to, other = ("to_default", subject.get("variant_of")) if "variant_of" in subject else ("to_floor", subject["floor"])
        ratios = _figures_of(subject, size).get(to, {}).get(workload, {})
        told = [
            f"{_name(heading)} {_told(ratio['low'], ratio['high'])}"
            for figure, heading in compared.items()
            if (ratio := ratios.get(figure)) and ratio["low"] is not None
        ]
        if told:
            yield f"{name} to {other}: {', '.join(told)}"


def _name(heading: str) -> str:
    return heading.removesuffix(" µs").removesuffix(" ms").removesuffix(" s/M")


def _told(low: float, high: float) -> str:
    interval = f"{low:.2f} to {high:.2f}"
    return f"{interval} (no difference shown)" if low <= 1 <= high else interval


def _figure(figures: Figures, workload: str, heading: str) -> str:
    name, factor, style = _COLUMNS[workload][heading]
    if workload not in figures:
        return "-"
    value = figures[workload][name] * factor
    return format(value, style if value < _LONG else ",.0f")


def _ratio(ratios: Figures | None, workload: str, figure: str) -> str:
    ratio = None if ratios is None else ratios.get(workload, {}).get(figure)
    # Two digits that count, also of what is a hundredth of its floor.
    return "" if ratio is None else f"{ratio['ratio']:{'.2f' if ratio['ratio'] >= 0.1 else '.2g'}}"


def _style(subject: Mapping[str, Any]) -> str:
    if subject["failures"] or subject["error"]:
        return "bold red"
    return "dim" if subject["role"] == "floor" else ""


def _of_planned(rounds: int, planned: int) -> str:
    return "" if rounds == planned else f" (of {planned}, when it ended)"


def _left_out(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield which workloads were not measured and why, each reason once with what it is true of."""
    reasons: dict[tuple[int | None, str, str], list[str]] = {}
    for name, subject in result["subjects"].items():
        for size in _sizes(result):
            for workload, reason in _series_of(subject, size).get("left_out", {}).items():
                reasons.setdefault((size, workload, reason), []).append(name)
    lines: dict[tuple[int | None, str, tuple[str, ...]], list[str]] = {}
    for (size, workload, reason), names in reasons.items():
        lines.setdefault((size, reason, tuple(names)), []).append(WORKLOADS[workload].short)
    for (size, reason, subjects), workloads in lines.items():
        of_size = "" if size is None else f", {label(size)}"
        whose = "" if len(subjects) == len(result["subjects"]) else f" of {', '.join(subjects)}"
        yield f"left out {', '.join(workloads)}{whose}{of_size}: {reason}"


def _about_intervals(rounds: int) -> str:
    if rounds < LEAST_ROUNDS:
        return f"; {rounds} rounds are too few to tell how sure they are, {LEAST_ROUNDS} are enough"
    return ", with 95 % intervals (bootstrap over the rounds)"


def _caption(result: Mapping[str, Any]) -> str:
    messages, options = result["messages"], result["environment"]["options"]
    sizes, subjects = messages["sizes"], result["subjects"].values()
    lengths = f", {sizes['p0']:,} to {sizes['p100']:,} bytes, median {sizes['p50']:,}"
    verified, sent = (sum(one[key] for one in subjects) for key in ("verified", "messages"))
    rounds = max((len(_figures_of(one, size).get("rounds", ())) for one in subjects for size in _sizes(result)), default=0)
    source = f"{messages['source']}{'' if result['sizes'] else lengths}"
    return (
        f"{messages['count']:,} messages of {source}. Medians of "
        f"{rounds} rounds{_of_planned(rounds, options['rounds'])}, the subjects in turn, each round in new processes that "
        f"have warmed up; ratios are medians of the ratios round by round{_about_intervals(rounds)}. Every echo is compared "
        f"byte for byte outside the measured time, every streamed message by its receiver within it: {verified:,} of {sent:,} "
        "arrived as sent. CPU is that of both processes, in seconds per million messages; wire are the bytes that TCP sends "
        "for a message, headers included, there and back in a round trip; calls are system calls, MB is the most memory of "
        f"both processes. {whereabouts(result)}"
    )

"""From what each subject measured in each round to the result file and to the table on the terminal.

The result is a dictionary that JSON can hold; times are in seconds, a megabyte is 10⁶ bytes of payload:

- `tcpconn`: the version;
- `environment`: machine, software, command line, options, and each subject's settings (`config`);
- `messages`: their source, count, size distribution and hash;
- `skipped`: the subjects that could not be measured here, with the reason;
- `subjects`: for each its role, its floor, the messages exchanged (warm-up included), how many of them were found right
  (`verified`) and how many not (`failures`), why it was given up (`error`, or null), the medians over the rounds, its
  ratios to its floor (`to_floor`, each the median of the ratios round by round), and the rounds themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tcpconn_bench.stats import median, median_ratio
from tcpconn_bench.workloads import ROUND_TRIP, STREAM

__all__ = ["Record", "print_tables", "round_figures", "subjects_result"]

_FIGURES = {
    ROUND_TRIP: ("p50", "p99", "p999", "max", "mean", "cpu_seconds_per_million_messages"),
    STREAM: ("messages_per_second", "megabytes_per_second", "cpu_seconds_per_million_messages"),
}
"""What is measured in each workload, for the medians and the ratios."""

_COLUMNS: dict[str, dict[str, tuple[str, float, str]]] = {
    ROUND_TRIP: {
        "p50 µs": ("p50", 1e6, ",.1f"),
        "p99 µs": ("p99", 1e6, ",.1f"),
        "p99.9 µs": ("p999", 1e6, ",.1f"),
        "CPU s/M": ("cpu_seconds_per_million_messages", 1, ",.1f"),
    },
    STREAM: {
        "msg/s": ("messages_per_second", 1, ",.0f"),
        "MB/s": ("megabytes_per_second", 1, ",.0f"),
        "CPU s/M": ("cpu_seconds_per_million_messages", 1, ",.2f"),
    },
}
"""The columns of each workload's table: heading, figure, factor, format; the first one is set in ratio to the floor's."""

_TITLES = {ROUND_TRIP: "round trip, lower is better", STREAM: "one-way stream, more messages are better"}


@dataclass(slots=True)
class Record:
    """What is known of one subject so far.

    Attributes:
        rounds: of each measured round, workload by workload, the figures of `round_figures`.
        messages: how many messages it was given to carry, warm-up included.
        verified: how many of them arrived as they were sent.
        error: why it was given up, or None.
    """

    name: str
    role: str
    floor: str | None
    settings: dict[str, Any] = field(default_factory=dict)
    rounds: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    messages: int = 0
    verified: int = 0
    error: str | None = None

    @property
    def failed(self) -> bool:
        """Whether a message was wrong or the subject was given up."""
        return self.error is not None or self.verified != self.messages

    def series(self, workload: str, figure: str) -> list[float]:
        """Return one figure of every round."""
        return [measured[workload][figure] for measured in self.rounds]


def round_figures(workload: str, count: int, size: int, sides: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of one workload in one round.

    Args:
        workload: its name.
        count: how many messages were carried.
        size: how many bytes they have together.
        sides: what "client" and "server" measured.
    """
    client, server = sides["client"], sides["server"]
    figures: dict[str, Any] = {"messages": count, "bytes": size}
    if workload == STREAM:
        figures["seconds"] = client["seconds"]
        figures["messages_per_second"] = count / client["seconds"]
        figures["megabytes_per_second"] = size / client["seconds"] / 1e6
    else:
        figures.update((name, client[name]) for name in ("p50", "p99", "p999", "max", "mean"))
    figures["client_cpu_seconds"] = client["cpu_seconds"]
    figures["server_cpu_seconds"] = server["cpu_seconds"]
    figures["cpu_seconds_per_million_messages"] = (client["cpu_seconds"] + server["cpu_seconds"]) / count * 1e6
    return figures


def subjects_result(records: Sequence[Record]) -> dict[str, Any]:
    """Return the part `subjects` of the result."""
    by_name = {record.name: record for record in records}
    return {record.name: _subject(record, by_name.get(record.floor or "")) for record in records}


def _subject(record: Record, floor: Record | None) -> dict[str, Any]:
    result: dict[str, Any] = {
        "role": record.role,
        "floor": record.floor,
        "messages": record.messages,
        "verified": record.verified,
        "failures": record.messages - record.verified,
        "error": record.error,
        "rounds": record.rounds,
    }
    if record.rounds:
        for workload, names in _FIGURES.items():
            result[workload] = {name: median(record.series(workload, name)) for name in names}
        # Beside the workloads, where a reader looks for it first.
        result["cpu_seconds_per_million_messages"] = {
            workload: result[workload]["cpu_seconds_per_million_messages"] for workload in _FIGURES
        }
        if floor is not None and floor.rounds:
            result["to_floor"] = {
                workload: {name: median_ratio(record.series(workload, name), floor.series(workload, name)) for name in names}
                for workload, names in _FIGURES.items()
            }
    return result


def print_tables(result: Mapping[str, Any], console: Console) -> None:
    """Show a table for each workload, each subject followed by its floor, then what went wrong."""
    for workload, columns in _COLUMNS.items():
        console.print(_table(result["subjects"], workload, columns))
    console.print(_caption(result), style="dim", markup=False, highlight=False)
    for name, reason in result["skipped"].items():
        console.print(f"skipped {name}: {reason}", markup=False, highlight=False)
    for name, subject in result["subjects"].items():
        if subject["error"]:
            console.print(f"FAILED {name}: {subject['error']}", markup=False, highlight=False)
        elif subject["failures"]:
            wrong = f"{subject['failures']:,} messages did not arrive as they were sent"
            console.print(f"FAILED {name}: {wrong}", markup=False, highlight=False)


def _table(subjects: Mapping[str, Any], workload: str, columns: Mapping[str, tuple[str, float, str]]) -> Table:
    table = Table(title=_TITLES[workload], title_justify="left", box=SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in (*columns, "to floor", "verified"):
        table.add_column(heading, justify="right", no_wrap=True)
    first = next(iter(columns.values()))[0]
    for name, subject in subjects.items():
        cells = ["-"] * len(columns)
        if subject["rounds"]:
            cells = [format(subject[workload][figure] * factor, style) for figure, factor, style in columns.values()]
        ratio = subject["to_floor"][workload][first] if "to_floor" in subject else None
        verified = f"{subject['verified']:,}" + (f" of {subject['messages']:,}" if subject["failures"] else "")
        table.add_row(
            f"  {name}" if subject["role"] == "floor" else name,
            *cells,
            "" if ratio is None else f"{ratio:.2f}",
            verified,
            style=_style(subject),
        )
    return table


def _style(subject: Mapping[str, Any]) -> str:
    if subject["failures"] or subject["error"]:
        return "bold red"
    return "dim" if subject["role"] == "floor" else ""


def _caption(result: Mapping[str, Any]) -> str:
    messages, options = result["messages"], result["environment"]["options"]
    sizes = messages["sizes"]
    return (
        f"{messages['count']:,} messages of {messages['source']}, {sizes['p0']:,} to {sizes['p100']:,} bytes, median "
        f"{sizes['p50']:,}. Medians of {options['rounds']} rounds, the subjects in turn, after {options['warmup']} not "
        "counted; 'to floor' is the median of the first column's ratios round by round. Every echo is compared byte "
        "for byte outside the measured time, every streamed message by its receiver within it. CPU is that of both "
        "processes; 'verified' counts both workloads, warm-up included."
    )

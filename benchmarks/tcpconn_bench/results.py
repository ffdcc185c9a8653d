"""From what each subject measured in each round to the result file.

The result is a dictionary that JSON can hold; times are in seconds, a megabyte is 10⁶ bytes of payload:

- `tcpconn`: the version;
- `environment`: machine, software, command line, options, and each subject's settings (`config`);
- `messages`: their source, count, size distribution and hash; with `--sizes` those of all sizes together;
- `sizes`: with `--sizes` the same of each size, with `size` in bytes; otherwise empty;
- `skipped`: the subjects that could not be measured here, with the reason;
- `uncounted`: why bytes on the wire or system calls are not counted here, sentence by sentence;
- `interrupted`: whether the user stopped it; then some subjects may have a round more than others;
- `environment.server`: with `--server` what the machine of the servers says of itself, else null;
- `subjects`: for each its role, its floor, the messages exchanged (warm-up included), how many of them were found right
  (`verified`) and how many not (`failures`), why it was given up (`error`, or null); for a variant which subject it is one
  of (`variant_of`) and the settings that it changes (`changes`); and its figures.

The figures of a subject, or with `--sizes` each item of its list `by_size`, which has `size`, `messages` and `verified`
besides, so that a curve against size is drawn by going through the list:

- `left_out`: the workloads that it was not measured with, each with the reason;
- `rounds`: of each round, workload by workload, what was measured, for those of the round that were;
- `round_trip`, `stream` and any other workload: the medians over the rounds; `cpu_seconds_per_million_messages` repeats them
  for the CPU. A workload has times (`p50`, `p99`, `p999`, `max`, `mean`, and in the rounds `histogram`, an encoded
  HdrHistogram of nanoseconds), or a rate (`messages_per_second`, `megabytes_per_second`), or both, and may have figures of its
  own: `alone_p50` of beside_bulk (without the large ones), `kept` of slow_reader (the share of the fast ones' rate that is left
  beside the slow one), `intended_per_second` and `late_p99` of replay (how long after its time the client sent a message).
  Of all rounds' times together are `p9999` and `curve`, pairs of a time and the share of all that took no longer;
  `peak_memory` is what all processes together have taken at most until then, in bytes, interpreter and messages included;
  `wire_bytes_per_message` are the bytes that went over TCP for each, headers of TCP and IP included, in both directions (null
  without TCP or if they cannot be counted); `syscalls_per_message` are the system calls of both processes, counted in a round
  of its own that is in no other figure (null without `--costs`);
- `to_floor`, and for a variant `to_default`, `to` by name for all floors that were measured: for each figure how it stands to
  that subject's: `ratio`, the median of the ratios round by round, and `low` and `high`, its 95 % interval (null with too few
  rounds; if 1 lies within, no difference is shown). What was not measured is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tcpconn_bench.stats import Distribution, median, ratio_of
from tcpconn_bench.workloads import CPU, WORKLOADS
from tcpconn_bench.workloads.base import LATENCY

__all__ = [
    "COMPARED",
    "CPU",
    "FIGURES",
    "SYSCALLS",
    "WIRE",
    "Record",
    "Series",
    "join_clients",
    "round_figures",
    "subjects_result",
]

WIRE = "wire_bytes_per_message"
SYSCALLS = "syscalls_per_message"

FIGURES = {name: workload.figures for name, workload in WORKLOADS.items()}
"""What is measured in each workload, for the medians and the ratios."""

COMPARED = {name: workload.compared for name, workload in WORKLOADS.items()}
"""The figures of each workload by which subjects are compared."""


@dataclass(slots=True)
class Series:
    """What one subject measured with one set of messages.

    Attributes:
        rounds: of each measured round, workload by workload, the figures of `round_figures`.
        messages: how many messages it was given to carry, warm-up included.
        verified: how many of them arrived as they were sent.
        left_out: the workloads that it was not measured with, and why.
        syscalls: how many system calls a message took, by workload, if they were counted.
    """

    rounds: list[dict[str, dict[str, Any]]] = field(default_factory=list)
    messages: int = 0
    verified: int = 0
    left_out: dict[str, str] = field(default_factory=dict)
    syscalls: dict[str, float] = field(default_factory=dict)

    def add(self, number: int, workload: str, figures: dict[str, Any]) -> None:
        """Put the figures of a workload into a round, which is begun if they are its first."""
        while len(self.rounds) <= number:
            self.rounds.append({})
        self.rounds[number][workload] = figures

    def values(self, workload: str, figure: str, beside: Series | None = None) -> list[float]:
        """Return one figure of every round that has it, and in which another series has it, too."""
        others = self.rounds if beside is None else beside.rounds
        return [
            measured[workload][figure]
            for measured, other in zip(self.rounds, others, strict=False)
            if workload in measured and workload in other
        ]


@dataclass(slots=True)
class Record:
    """What is known of one subject so far.

    Attributes:
        variant_of: the name of the subject that it is with other settings, or None.
        changes: those settings.
        settings: what its process said of all of them.
        series: what it measured, by the size of the messages; None stands for messages of the user's or the corpus.
        error: why it was given up, or None.
    """

    name: str
    role: str
    floor: str | None
    variant_of: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    series: dict[int | None, Series] = field(default_factory=dict)
    error: str | None = None

    @property
    def messages(self) -> int:
        """How many messages it was given to carry, of all sizes."""
        return sum(one.messages for one in self.series.values())

    @property
    def verified(self) -> int:
        """How many of them arrived as they were sent."""
        return sum(one.verified for one in self.series.values())


def join_clients(clients: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what several clients' processes measured at once as if it were one's."""
    if len(clients) == 1:
        return dict(clients[0])
    joined: dict[str, Any] = {
        name: sum(one[name] for one in clients)
        for name in ("verified", "messages", "cpu_seconds", "peak_memory")
        if name in clients[0]
    }
    if "histogram" in clients[0]:
        pooled = Distribution.pooled(one["histogram"] for one in clients)
        joined.update(pooled.summary(), histogram=pooled.encoded())
    if "seconds" in clients[0]:
        # They begin at the same word, and the last of them ends it.
        joined["seconds"] = max(one["seconds"] for one in clients)
    return joined


def round_figures(
    workload: str, count: int, size: int, sides: Mapping[str, Mapping[str, Any]], wire: int | None = None
) -> dict[str, Any]:
    """Return the figures of one workload in one round.

    Args:
        workload: its name.
        count: how many messages were to be carried.
        size: how many bytes they have together.
        sides: what "client" and "server" measured.
        wire: how many bytes were sent over TCP, or None if that is not known.
    """
    client, server = sides["client"], sides["server"]
    count = client.get("messages", count)
    figures: dict[str, Any] = {"messages": count, "bytes": size}
    if WORKLOADS[workload].latency:
        timed = client if "histogram" in client else server
        figures.update((name, timed[name]) for name in (*LATENCY, "histogram"))
    if WORKLOADS[workload].rate:
        figures["seconds"] = client["seconds"]
        figures["messages_per_second"] = client.get("timed_messages", count) / client["seconds"]
        figures["megabytes_per_second"] = client.get("timed_bytes", size) / client["seconds"] / 1e6
    figures.update(client.get("figures", {}))
    figures["client_cpu_seconds"] = client["cpu_seconds"]
    figures["server_cpu_seconds"] = server["cpu_seconds"]
    figures["client_peak_memory"], figures["server_peak_memory"] = client["peak_memory"], server["peak_memory"]
    figures["peak_memory"] = client["peak_memory"] + server["peak_memory"]
    figures[CPU] = (client["cpu_seconds"] + server["cpu_seconds"]) / count * 1e6
    if wire is not None:
        figures[WIRE] = wire / count
    return figures


def subjects_result(records: Sequence[Record]) -> dict[str, Any]:
    """Return the part `subjects` of the result."""
    by_name = {record.name: record for record in records}
    return {record.name: _subject(record, by_name) for record in records}


def _subject(record: Record, by_name: Mapping[str, Record]) -> dict[str, Any]:
    result: dict[str, Any] = {
        "role": record.role,
        "floor": record.floor,
        "messages": record.messages,
        "verified": record.verified,
        "failures": record.messages - record.verified,
        "error": record.error,
    }
    if record.variant_of is not None:
        result.update(variant_of=record.variant_of, changes=record.changes)
    by_size = [
        {"size": size, "messages": one.messages, "verified": one.verified, **_figures(record, size, by_name)}
        for size, one in record.series.items()
        if size is not None
    ]
    return {**result, "by_size": by_size} if by_size else {**result, **_figures(record, None, by_name)}


def _figures(record: Record, size: int | None, by_name: Mapping[str, Record]) -> dict[str, Any]:
    series = record.series.get(size, Series())
    result: dict[str, Any] = {"left_out": series.left_out, "rounds": series.rounds}
    measured = [name for name in FIGURES if any(name in one for one in series.rounds)]
    if not measured:
        return result
    for workload in measured:
        result[workload] = {name: median(series.values(workload, name)) for name in FIGURES[workload]}
        sent = [one[workload][WIRE] for one in series.rounds if WIRE in one.get(workload, {})]
        result[workload][WIRE] = median(sent) if sent else None
        result[workload][SYSCALLS] = series.syscalls.get(workload)
        if WORKLOADS[workload].latency:
            pooled = Distribution.pooled(one[workload]["histogram"] for one in series.rounds if workload in one)
            result[workload].update(p9999=pooled.percentile(99.99), curve=pooled.curve())
    # Beside the workloads, where a reader looks for it first.
    result[CPU] = {workload: result[workload][CPU] for workload in measured}
    others = {name: other.series[size] for name, other in by_name.items() if size in other.series and other.series[size].rounds}
    for key, name in (("to_floor", record.floor), ("to_default", record.variant_of)):
        if name in others:
            result[key] = _ratios(series, others[name])
    if record.role != "floor":
        result["to"] = {name: _ratios(series, other) for name, other in others.items() if by_name[name].role == "floor"}
    return result


def _ratios(series: Series, other: Series) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for workload, names in FIGURES.items():
        if not series.values(workload, CPU, other):
            continue
        ratios = {name: ratio_of(series.values(workload, name, other), other.values(workload, name, series)) for name in names}
        found[workload] = {name: None if ratio is None else asdict(ratio) for name, ratio in ratios.items()}
    return found

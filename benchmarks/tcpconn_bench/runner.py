"""One comparison from start to end: the rounds with the subjects in turn, the processes of each, the result.

Knows subjects by name and what their processes answer; how a message is carried is the subjects' business, what is
shown is the report's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tcpconn_bench import environment, wire
from tcpconn_bench.entrants import Entrant, Names, choose
from tcpconn_bench.messages import MessageSet, describe_all
from tcpconn_bench.processes import Pair, SubjectFailed
from tcpconn_bench.results import Record, Series, round_figures, subjects_result
from tcpconn_bench.sizes import label
from tcpconn_bench.syscalls import CannotCount, SystemCalls, find_tool
from tcpconn_bench.workloads import ROUND_TRIP, STREAM, fit, take

__all__ = ["Options", "compare"]

_WARMUP_SHARE = 4
"""A warm-up is a round's part of so much: enough for the allocator, for what Python specialises, and for what tcpconn learns
of waiting, and short beside what a pair of processes takes to start."""


_COUNTED = {ROUND_TRIP: 1_000, STREAM: 10_000}
"""Messages whose system calls are counted: every one takes about the same, and to count them may make them slow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Names):
    """What to compare, and how much of it.

    Attributes:
        sizes: the sizes of the messages that were made for it; none if they come from elsewhere.
        rounds: how many rounds are measured.
        warmup: how often new processes do a quarter of each workload before the one that counts.
        round_trips: messages a round that are sent and returned.
        stream_messages: messages a round that are sent one way.
        round_bytes: fewer of either if they come to more bytes than this.
        timeout: seconds that a subject may take for one step.
        costs: whether system calls are counted, in a round of its own for each subject and size.
        command_line: for the result.
    """

    sizes: tuple[int, ...]
    rounds: int
    warmup: int
    round_trips: int
    stream_messages: int
    round_bytes: int
    timeout: float
    costs: bool
    command_line: str


def compare(sets: Sequence[MessageSet], options: Options) -> dict[str, Any]:
    """Run the comparison and return its result; `results` says what is in it. All processes are ended on return.

    A comparison that the user stops returns the rounds that were done.

    Args:
        sets: the messages; several sets if they are made to have sizes, one for each.
        options: what to measure with them.

    Raises:
        UsageError: a backend or subject that was asked for does not exist, or a setting is wrong.
        KeyboardInterrupt: the user stopped it before any round was done.
    """
    entrants, skipped = choose(options)
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with tempfile.TemporaryDirectory(prefix="tcpconn-compare-") as folder, progress:
        paths = [Path(folder) / f"messages-{index}" for index in range(len(sets))]
        for messages, path in zip(sets, paths, strict=True):
            messages.save(path)
        task = progress.add_task("measuring", total=options.rounds * len(sets) * len(entrants) * len(_wanted(options)))
        interrupted = False
        uncounted = [reason] if (reason := wire.why_not()) else []
        try:
            for number in range(options.rounds):
                for messages, path in zip(sets, paths, strict=True):
                    for entrant in _in_turn(entrants, number):
                        size = "" if messages.size is None else f", {label(messages.size)}"
                        progress.update(task, description=f"measuring {entrant.record.name}{size}")
                        if entrant.record.error is None:
                            _round(entrant, messages, path, number, options)
                        progress.advance(task, len(_wanted(options)))
            if options.costs:
                progress.update(task, description="counting system calls")
                try:
                    _count_system_calls(entrants, sets, paths, options)
                except CannotCount as error:
                    uncounted.append(str(error))
        except KeyboardInterrupt:
            if not any(series.rounds for entrant in entrants for series in entrant.record.series.values()):
                raise
            interrupted = True
    result = _result(sets, options, [entrant.record for entrant in entrants], skipped, interrupted)
    return {**result, "uncounted": uncounted}


def _in_turn(entrants: Sequence[Entrant], number: int) -> list[Entrant]:
    """Return the subjects in a round's order: each is first in turn, and by going backwards in every other round none always
    follows the same other.
    """
    step = 1 if number % 2 == 0 else -1
    return [entrants[(number + step * index) % len(entrants)] for index in range(len(entrants))]


def _wanted(options: Options) -> dict[str, int]:
    """Return how many messages a round of each workload has, if they are short."""
    return {ROUND_TRIP: options.round_trips, STREAM: options.stream_messages}


def _round(entrant: Entrant, messages: MessageSet, path: Path, number: int, options: Options) -> None:
    """Let one subject do all workloads once in two new processes, which have ended when this returns."""
    record = entrant.record
    series = record.series.setdefault(messages.size, Series())
    try:
        with Pair(entrant.key, path, options.timeout, one_process=entrant.within_one_process) as pair:
            pair.connect()
            record.settings = pair.settings
            series.rounds.append(_measure(pair, series, messages.messages, number, options))
            pair.close()
    except SubjectFailed as error:
        record.error = str(error)


def _measure(pair: Pair, series: Series, messages: Sequence[bytes], number: int, options: Options) -> dict[str, dict[str, Any]]:
    """Return a round's figures, workload by workload. Each round goes on in the messages where the one before it stopped.

    Raises:
        SubjectFailed: a side fails or takes too long.
    """
    measured: dict[str, dict[str, Any]] = {}
    for workload, wanted in _wanted(options).items():
        start = number * wanted % len(messages)
        count = fit(messages, start, wanted, options.round_bytes)
        for part in (*[max(1, count // _WARMUP_SHARE)] * options.warmup, count):
            before = wire.sent(pair.pids()) if part == count else {}
            sides = _carry(pair, series, workload, start, part)
        sent = wire.difference(before, wire.sent(pair.pids()))
        measured[workload] = round_figures(workload, count, sum(map(len, take(messages, start, count))), sides, sent)
    return measured


def _carry(
    pair: Pair, series: Series, workload: str, start: int, count: int, around: AbstractContextManager[object] | None = None
) -> dict[str, dict[str, Any]]:
    """Let a pair do a workload, and keep account of the messages; returns what each side measured.

    Raises:
        SubjectFailed: a side fails or takes too long.
    """
    try:
        series.messages += count
        sides = pair.measure(workload, start, count, around)
    except (KeyboardInterrupt, CannotCount):
        # What is under way when the user stops it is no failure.
        series.messages -= count
        raise
    series.verified += sides["client"].get("verified", 0) + sides["server"].get("verified", 0)
    return sides


def _count_system_calls(
    entrants: Sequence[Entrant], sets: Sequence[MessageSet], paths: Sequence[Path], options: Options
) -> None:
    """Let each subject do some of each workload once more, in new processes whose system calls are counted.

    Raises:
        CannotCount: that is not permitted here.
    """
    tool = find_tool()
    for messages, path in zip(sets, paths, strict=True):
        for entrant in entrants:
            if entrant.record.error is None:
                _count_for_one(entrant, messages, path, tool, options)


def _count_for_one(entrant: Entrant, messages: MessageSet, path: Path, tool: str, options: Options) -> None:
    record = entrant.record
    series = record.series.setdefault(messages.size, Series())
    try:
        with Pair(entrant.key, path, options.timeout, one_process=entrant.within_one_process) as pair:
            pair.connect()
            for workload, wanted in _wanted(options).items():
                count = fit(messages.messages, 0, min(wanted, _COUNTED[workload]), options.round_bytes)
                _carry(pair, series, workload, 0, max(1, count // _WARMUP_SHARE))
                calls = SystemCalls(tool, pair.pids())
                _carry(pair, series, workload, 0, count, calls)
                series.syscalls[workload] = calls.count / count
            pair.close()
    except SubjectFailed as error:
        record.error = f"while its system calls were counted: {error}"


def _result(
    sets: Sequence[MessageSet], options: Options, records: list[Record], skipped: dict[str, str], interrupted: bool
) -> dict[str, Any]:
    chosen = asdict(options)
    return {
        "tcpconn": environment.version("tcpconn"),
        "environment": {
            **environment.describe(chosen.pop("command_line")),
            "options": chosen,
            "config": {record.name: record.settings for record in records},
        },
        "messages": describe_all(sets),
        "sizes": [{"size": one.size, **one.describe()} for one in sets if one.size is not None],
        "skipped": skipped,
        "interrupted": interrupted,
        "subjects": subjects_result(records),
    }

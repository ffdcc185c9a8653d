"""One comparison from start to end: the subjects' processes, the rounds with the subjects in turn, the result.

Knows subjects by name and what their processes answer; how a message is carried is the subjects' business, what is
shown is the report's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tcpconn_bench import environment
from tcpconn_bench.messages import MessageSet
from tcpconn_bench.processes import Pair, SubjectFailed
from tcpconn_bench.report import Record, round_figures, subjects_result
from tcpconn_bench.subjects import ASYNCIO, FLOORS, find
from tcpconn_bench.subjects.base import Candidate
from tcpconn_bench.workloads import ROUND_TRIP, STREAM, fit, take

__all__ = ["Options", "UsageError", "compare"]


class UsageError(ValueError):
    """A name that was asked for does not exist, or a setting is wrong."""


@dataclass(frozen=True, slots=True)
class Options:
    """What to compare, and how much of it.

    Attributes:
        backends: names of backends of tcpconn.
        apis: which of its APIs each is used by: "blocking", "asyncio".
        subjects: further subjects, as `module:name`.
        floors: whether each backend's floor is measured with it.
        rounds: how many rounds are measured.
        warmup: how many are run before them and not counted.
        round_trips: messages a round that are sent and returned.
        stream_messages: messages a round that are sent one way.
        round_bytes: fewer of either if they come to more bytes than this.
        timeout: seconds that a subject may take for one step.
        command_line: for the result.
    """

    backends: tuple[str, ...]
    apis: tuple[str, ...]
    subjects: tuple[str, ...]
    floors: bool
    rounds: int
    warmup: int
    round_trips: int
    stream_messages: int
    round_bytes: int
    timeout: float
    command_line: str


@dataclass(slots=True)
class _Entrant:
    """A subject on its way through the comparison; `key` is the name by which its processes find it."""

    key: str
    record: Record
    pair: Pair | None = None


def compare(messages: MessageSet, options: Options) -> dict[str, Any]:
    """Run the comparison and return its result; `report` says what is in it. All processes are ended on return.

    Raises:
        UsageError: a backend or subject that was asked for does not exist, or a setting is wrong.
        KeyboardInterrupt: the user stopped it.
    """
    entrants, skipped = _choose(options)
    with tempfile.TemporaryDirectory(prefix="tcpconn-compare-") as folder, ExitStack() as stack:
        path = Path(folder) / "messages"
        messages.save(path)
        progress = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
        )
        total = (options.warmup + options.rounds) * len(entrants) * 2
        task = progress.add_task("starting processes", total=total)
        _start(entrants, path, options.timeout, stack)
        for number in range(options.warmup + options.rounds):
            # Every subject is first, second, … in turn, so that none always follows the same other.
            turn = number % max(1, len(entrants))
            for entrant in entrants[turn:] + entrants[:turn]:
                phase = "warm-up" if number < options.warmup else "measuring"
                progress.update(task, description=f"{phase} {entrant.record.name}")
                _round(entrant, messages.messages, number, options)
                progress.advance(task, 2)
        progress.update(task, description="closing")
        for entrant in entrants:
            _finish(entrant)
    return _result(messages, options, [entrant.record for entrant in entrants], skipped)


def _choose(options: Options) -> tuple[list[_Entrant], dict[str, str]]:
    """Return the subjects to measure, each backend before its floor, and why others are not."""
    keys: list[str] = []
    backends = [backend if api == "blocking" else backend + ASYNCIO for backend in options.backends for api in options.apis]
    for backend in (*backends, *options.subjects):
        keys.append(backend)
        if options.floors and backend in FLOORS:
            keys.append(FLOORS[backend])
    entrants: list[_Entrant] = []
    skipped: dict[str, str] = {}
    for key in dict.fromkeys(keys):
        subject, reason = _find(key, options)
        if reason is not None:
            skipped[subject.name] = reason
        elif any(entrant.record.name == subject.name for entrant in entrants):
            raise UsageError(f"two subjects are called {subject.name!r}")
        else:
            entrants.append(_Entrant(key, Record(subject.name, subject.role, subject.floor)))
    return entrants, skipped


def _find(key: str, options: Options) -> tuple[Candidate, str | None]:
    """Return a subject, and why it cannot be measured here, or None."""
    if key.removesuffix(ASYNCIO) in options.backends and (":" in key or key in FLOORS.values()):
        raise UsageError(f"{key!r} is no backend of tcpconn; name further subjects with --subject")
    try:
        subject = find(key)
        return subject, subject.unavailable()
    except ValueError as error:
        raise UsageError(str(error)) from error


def _start(entrants: Sequence[_Entrant], messages: Path, timeout: float, stack: ExitStack) -> None:
    """Start all processes, so that they load side by side, then connect each pair."""
    for entrant in entrants:
        entrant.pair = stack.enter_context(Pair(entrant.key, messages, timeout))
    for entrant in entrants:
        assert entrant.pair is not None
        try:
            entrant.pair.connect()
        except SubjectFailed as error:
            _give_up(entrant, error)
        else:
            entrant.record.settings = entrant.pair.settings


def _round(entrant: _Entrant, messages: Sequence[bytes], number: int, options: Options) -> None:
    """Let one subject do both workloads once. Each round goes on in the messages where the one before it stopped."""
    measured: dict[str, dict[str, Any]] = {}
    for workload, wanted in ((ROUND_TRIP, options.round_trips), (STREAM, options.stream_messages)):
        if entrant.pair is None:
            return
        start = number * wanted % len(messages)
        count = fit(messages, start, wanted, options.round_bytes)
        entrant.record.messages += count
        try:
            sides = entrant.pair.measure(workload, start, count)
        except SubjectFailed as error:
            _give_up(entrant, error)
            return
        entrant.record.verified += sides["client"].get("verified", 0) + sides["server"].get("verified", 0)
        measured[workload] = round_figures(workload, count, sum(map(len, take(messages, start, count))), sides)
    if number >= options.warmup:
        entrant.record.rounds.append(measured)


def _give_up(entrant: _Entrant, error: SubjectFailed) -> None:
    entrant.record.error = str(error)
    if entrant.pair is not None:
        entrant.pair.end()
        entrant.pair = None


def _finish(entrant: _Entrant) -> None:
    if entrant.pair is not None:
        try:
            entrant.pair.close()
        except SubjectFailed as error:
            _give_up(entrant, error)


def _result(messages: MessageSet, options: Options, records: list[Record], skipped: dict[str, str]) -> dict[str, Any]:
    chosen = asdict(options)
    return {
        "tcpconn": environment.version("tcpconn"),
        "environment": {
            **environment.describe(chosen.pop("command_line")),
            "options": chosen,
            "config": {record.name: record.settings for record in records},
        },
        "messages": messages.describe(),
        "skipped": skipped,
        "subjects": subjects_result(records),
    }

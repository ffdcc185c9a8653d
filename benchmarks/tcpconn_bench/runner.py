"""One comparison from start to end: the rounds with the subjects in turn, the processes of each, the result.

Knows subjects by name and what their processes answer; how a message is carried is the subjects' business, what is
shown is the report's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tcpconn_bench import environment, wire
from tcpconn_bench.entrants import Entrant, choose
from tcpconn_bench.messages import MessageSet, describe_all
from tcpconn_bench.planning import Clock, Options, affordable, groups, payload, plan, sample, shortened
from tcpconn_bench.processes import Pair, SubjectFailed
from tcpconn_bench.remote.client import RemoteMachine
from tcpconn_bench.results import Record, Series, join_clients, round_figures, subjects_result
from tcpconn_bench.sizes import label
from tcpconn_bench.syscalls import CannotCount, SystemCalls, find_tool
from tcpconn_bench.workload_names import RECONNECT
from tcpconn_bench.workloads import ROUND_TRIP, STREAM, WORKLOADS, Task, Workload

__all__ = ["compare"]

_COUNTED = {ROUND_TRIP: 1_000, STREAM: 10_000}
"""Messages whose system calls are counted: every one takes about the same, and to count them may make them slow."""

_LOOKS = 3
"""Samples of a subject that seems to be slow."""


def compare(sets: Sequence[MessageSet], options: Options) -> dict[str, Any]:
    """Run the comparison and return its result; `results` says what is in it. All processes are ended on return.

    A comparison that the user stops returns the rounds that were done.

    Args:
        sets: the messages; several sets if they are made to have sizes, one for each.
        options: what to measure with them.

    Raises:
        UsageError: a backend or subject that was asked for does not exist, or a setting is wrong.
        UnreachableError: the machine on which the servers are to run does not answer.
        KeyboardInterrupt: the user stopped it before any round was done.
    """
    clock = Clock(options.within)
    entrants, skipped = choose(options)
    machine = None if options.server is None else RemoteMachine(options.server)
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
        bar = progress.add_task("measuring", total=options.rounds * len(sets) * len(entrants) * len(options.workloads))
        interrupted = False
        uncounted = [reason] if (reason := wire.why_not()) else []
        try:
            for number in range(options.rounds):
                for messages, path in zip(sets, paths, strict=True):
                    for group in groups(options):
                        for entrant in _in_turn(entrants, number):
                            size = "" if messages.size is None else f", {label(messages.size)}"
                            progress.update(bar, description=f"measuring {entrant.record.name}{size}")
                            _Round(entrant, messages, path, number, options, machine).measure(group, clock)
                            progress.advance(bar, len(group))
            if options.costs:
                progress.update(bar, description="counting system calls")
                try:
                    tool = find_tool()
                    for messages, path in zip(sets, paths, strict=True):
                        for entrant in entrants:
                            _Round(entrant, messages, path, 0, options, machine).count_system_calls(tool)
                except CannotCount as error:
                    uncounted.append(str(error))
        except KeyboardInterrupt:
            if not any(series.rounds for entrant in entrants for series in entrant.record.series.values()):
                raise
            interrupted = True
    result = _result(sets, options, [entrant.record for entrant in entrants], skipped, interrupted)
    result = _result(sets, options, [entrant.record for entrant in entrants], skipped, interrupted)
    result["environment"]["server"] = None if machine is None else machine.environment
    return {**result, "uncounted": uncounted}


def _in_turn(entrants: Sequence[Entrant], number: int) -> list[Entrant]:
    """Return the subjects in a round's order: each is first in turn, and by going backwards in every other round none always
    follows the same other.
    """
    step = 1 if number % 2 == 0 else -1
    return [entrants[(number + step * index) % len(entrants)] for index in range(len(entrants))]


class NotPromised(Exception):
    """A subject did not get through a workload of which it had not said that it would."""

    def __init__(self, workload: str, error: SubjectFailed) -> None:
        super().__init__(str(error))
        self.workload = workload


class _Round:
    """One subject's part of one round with one set of messages."""

    def __init__(
        self,
        entrant: Entrant,
        messages: MessageSet,
        path: Path,
        number: int,
        options: Options,
        machine: RemoteMachine | None,
    ) -> None:
        self._entrant = entrant
        self._messages = messages
        self._path = path
        self._number = number
        self._options = options
        self._machine = machine
        self._series = entrant.record.series.setdefault(messages.size, Series())

    def measure(self, group: Sequence[Workload], clock: Clock) -> None:
        """Let the subject do the workloads once in new processes, which have ended when this returns."""
        record, series = self._entrant.record, self._series
        if record.error is not None:
            return
        tasks: dict[Workload, Task] = {}
        for workload in group:
            if workload.name in series.left_out:
                continue
            task = self._plan(workload)
            if isinstance(task, str):
                series.left_out[workload.name] = task
            elif clock.is_up():
                if not any(workload.name in one for one in series.rounds):
                    series.left_out[workload.name] = "the time was up (--quick takes a minute at most)"
            else:
                tasks[workload] = task
        if not tasks:
            return
        try:
            self._measure(tasks)
        except NotPromised as error:
            series.left_out[error.workload] = f"does not {WORKLOADS[error.workload].short}: {str(error).splitlines()[0]}"
        except SubjectFailed as error:
            record.error = str(error)

    def _plan(self, workload: Workload) -> Task | str:
        traits = self._entrant.traits
        if workload.name in traits.without:
            return traits.without[workload.name]
        if self._entrant.within_one_process and (workload.processes or workload.name == RECONNECT or self._machine is not None):
            return "both ends are in one process"
        if workload.separate and traits.one_endpoint:
            return "its server has one endpoint for all connections, and cannot wait with one of them alone"
        if workload.timed and traits.one_thread and self._machine is not None:
            return "between two machines a time ends with the echo, and no thread can send on it while another receives"
        return plan(workload, self._messages, self._number, self._options)

    def _measure(self, tasks: dict[Workload, Task]) -> None:
        """Raises:
        SubjectFailed: a side fails or takes too long.
        """
        (clients,) = {task.clients for task in tasks.values()}
        figures: dict[str, dict[str, Any]] = {}
        with self._pair(clients) as pair:
            pair.meet()
            self._entrant.record.settings = pair.settings
            if self._machine is not None and self._machine.host not in pair.address:
                self._series.left_out.update(
                    (workload.name, "it listens where no other machine reaches it") for workload in tasks
                )
                return
            if any(workload.connected for workload in tasks):
                pair.connect()
            for workload, task in tasks.items():
                figures[workload.name] = self._repeat(pair, workload, task)
            pair.close()
        for name, measured in figures.items():
            self._series.add(self._number, name, measured)

    def _repeat(self, pair: Pair, workload: Workload, task: Task) -> dict[str, Any]:
        """Warm up, measure, and return the figures of what was measured last; a subject that is slow gets less to do."""
        promised = workload.patience is None or self._entrant.traits.reconnects
        task = self._affordable(pair, workload, task)
        for part in (*[shortened(task)] * self._options.warmup, task):
            before = self._sent(pair, workload) if part is task else {}
            try:
                sides = self._carry(pair, workload, part, None if promised else workload.patience)
            except SubjectFailed as error:
                if promised:
                    raise
                # Nobody had promised it, so it is no failure.
                self._series.messages -= part.count
                raise NotPromised(workload.name, error) from error
        sent = wire.difference(before, self._sent(pair, workload))
        return round_figures(workload.name, task.count, payload(self._messages.messages, task), sides, sent)

    def _affordable(self, pair: Pair, workload: Workload, task: Task) -> Task:
        """Return as much of a task as the subject can do in the time that it has."""
        part, fitting, seconds = sample(workload, task), task, float("inf")
        if part is None:
            return task
        # The first messages of new processes take long; those of a subject that is slow go on doing so.
        for _ in range(_LOOKS):
            begun = monotonic()
            self._carry(pair, workload, part)
            seconds = min(seconds, monotonic() - begun)
            fitting = affordable(task, part, seconds, self._options.timeout)
            if fitting == task:
                break
        return fitting

    def _carry(
        self,
        pair: Pair,
        workload: Workload,
        part: Task,
        timeout: float | None = None,
        around: AbstractContextManager[object] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Let a pair do a workload, and keep account of the messages; returns what each side measured.

        Raises:
            SubjectFailed: a side fails or takes too long.
        """
        try:
            self._series.messages += part.count
            measured = pair.measure(workload.name, part.as_json(), timeout, around)
        except (KeyboardInterrupt, CannotCount):
            # What is under way when the user stops it is no failure.
            self._series.messages -= part.count
            raise
        sides = {"client": join_clients(measured.clients), "server": measured.server}
        self._series.messages += sides["client"].get("messages", part.count) - part.count
        self._series.verified += sum(side.get("verified", 0) for side in sides.values())
        return sides

    def _sent(self, pair: Pair, workload: Workload) -> dict[int, int]:
        """Return what each socket has sent so far; none if some are on another machine, or are closed when it is done."""
        return wire.sent(pair.pids()) if workload.connected and self._machine is None else {}

    def count_system_calls(self, tool: str) -> None:
        """Do some of each workload of which they are counted once more, in new processes whose system calls are counted.

        Raises:
            CannotCount: that is not permitted here.
        """
        record = self._entrant.record
        counted = [WORKLOADS[name] for name in self._options.workloads if name in _COUNTED]
        if record.error is not None or not counted:
            return
        if self._machine is not None:
            raise CannotCount("system calls are counted on one machine alone")
        try:
            with self._pair(1) as pair:
                pair.meet()
                pair.connect()
                for workload in counted:
                    task = self._plan(workload)
                    if isinstance(task, str):
                        continue
                    task = replace(task, start=0, count=min(task.count, _COUNTED[workload.name]))
                    self._carry(pair, workload, shortened(task))
                    calls = SystemCalls(tool, pair.pids())
                    self._carry(pair, workload, task, None, calls)
                    self._series.syscalls[workload.name] = calls.count / task.count
                pair.close()
        except SubjectFailed as error:
            record.error = f"while its system calls were counted: {error}"

    def _pair(self, clients: int) -> Pair:
        entrant, timeout = self._entrant, self._options.timeout
        server = None if self._machine is None else self._machine.worker(entrant.key, self._messages)
        return Pair(entrant.key, self._path, timeout, clients=clients, server=server, one_process=entrant.within_one_process)


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

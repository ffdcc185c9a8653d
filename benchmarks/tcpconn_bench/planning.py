"""What each round of a comparison asks of its subjects: how many messages, over how many connections, when.

Knows workloads by what they say of themselves, and no subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import monotonic

from tcpconn_bench.entrants import Names
from tcpconn_bench.messages import MessageSet
from tcpconn_bench.sizes import label
from tcpconn_bench.workloads import WORKLOADS, Amounts, Task, Workload
from tcpconn_bench.workloads.checking import fit, take

__all__ = ["Clock", "Options", "affordable", "groups", "payload", "plan", "sample", "shortened"]

_WARMUP_SHARE = 4
"""A warm-up is a round's part of so much: enough for the allocator, for what Python specialises, and for what tcpconn learns
of waiting, and short beside what a pair of processes takes to start."""


_SAMPLE_SHARE = 40
_LEAST_SAMPLE = 10
_PATIENCE_SHARE = 4
"""A part is made to fit into so much of the time that a step may take: what it took before is no promise."""

_BESIDES = 0.2
"""Seconds that the processes may take to be told what to do and to tell what it took, however little that was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options(Names):
    """What to compare, and how much of it.

    Attributes:
        workloads: what they have to do, by name.
        sizes: the sizes of the messages that were made for it; none if they come from elsewhere.
        rounds: how many rounds are measured.
        warmup: how often new processes do a quarter of each workload before the one that counts.
        round_trips: messages a round that are sent and returned.
        stream_messages: messages a round that are sent one way.
        round_bytes: fewer of either if they come to more bytes than this.
        in_flight: requests that wait for their answers at once, where there are several.
        connections: connections that send to one server at once.
        clients: client processes, where there are several.
        rate: messages a second in a replay; None for as they were recorded.
        speed: how many times as fast as they were recorded.
        replay_seconds: how much of them is replayed in a round.
        server: the address of another machine on which the servers run; None for this one.
        timeout: seconds that a subject may take for one step.
        costs: whether system calls are counted, in a round of its own for each subject and size.
        within: seconds after which no further round begins; None for as long as it takes.
        command_line: for the result.
    """

    workloads: tuple[str, ...]
    sizes: tuple[int, ...]
    rounds: int
    warmup: int
    round_trips: int
    stream_messages: int
    round_bytes: int
    in_flight: int
    connections: int
    clients: int
    rate: float | None
    speed: float
    replay_seconds: float
    server: str | None
    timeout: float
    within: float | None
    costs: bool
    command_line: str


class Clock:
    """Says when the time for a comparison is up."""

    def __init__(self, within: float | None) -> None:
        self._end = None if within is None else monotonic() + within

    def is_up(self) -> bool:
        """Whether it is."""
        return self._end is not None and monotonic() >= self._end


def groups(options: Options) -> list[tuple[Workload, ...]]:
    """Return the workloads of a round, those together that are measured on one connection of the same two processes."""
    chosen = [WORKLOADS[name] for name in options.workloads]
    together = tuple(workload for workload in chosen if workload.connected)
    return [*([together] if together else []), *((workload,) for workload in chosen if not workload.connected)]


def plan(workload: Workload, messages: MessageSet, number: int, options: Options) -> Task | str:
    """Return a round's task, or why there is none. Each round goes on in the messages where the one before it stopped."""
    set_of = messages.messages
    mean = messages.total_bytes / len(set_of)
    if workload.largest is not None and mean > workload.largest:
        return f"the messages are not small: more than {label(workload.largest)} on average"
    if workload.timed:
        return _replayed(messages, options)
    wanted = max(1, workload.amount(Amounts(round_trips=options.round_trips, stream_messages=options.stream_messages)))
    start = number * wanted % len(set_of)
    return Task(
        count=fit(set_of, start, wanted, options.round_bytes),
        start=start,
        in_flight=options.in_flight,
        connections=options.connections,
        clients=options.clients if workload.processes else 1,
    )


def _replayed(messages: MessageSet, options: Options) -> Task | str:
    """Return the task of sending messages at their times, in every round the same ones from the first on."""
    if options.rate is not None:
        wanted = max(1, round(options.rate * options.replay_seconds))
        offsets = tuple(round(index / options.rate * 1e9) for index in range(wanted))
    elif messages.times is not None:
        scaled = [time / options.speed for time in messages.times]
        offsets = tuple(round(time * 1e9) for time in scaled if time <= options.replay_seconds)
    else:
        return "the messages have no times: give --rate, or --messages with --timestamps"
    count = fit(messages.messages, 0, len(offsets), options.round_bytes)
    return Task(count=count, offsets=offsets[:count], echo=options.server is not None)


def shortened(task: Task) -> Task:
    """Return the part of a task by which processes warm up."""
    count = max(1, task.count // _WARMUP_SHARE)
    return replace(task, count=count, offsets=task.offsets[:count])


def sample(workload: Workload, task: Task) -> Task | None:
    """Return a part of a task that tells how long all of it will take; None if that is known, or not worth while."""
    if workload.timed or workload.patience is not None or task.count < _SAMPLE_SHARE * _LEAST_SAMPLE:
        return None
    return replace(task, count=task.count // _SAMPLE_SHARE)


def affordable(task: Task, part: Task, seconds: float, timeout: float) -> Task:
    """Return a task with as few messages as fit into a quarter of `timeout`, going by the seconds that a part of it took."""
    beyond = seconds - _BESIDES
    most = int(part.count * timeout / _PATIENCE_SHARE / beyond) if beyond > 0 else task.count
    return task if most >= task.count else replace(task, count=max(1, most))


def payload(messages: Sequence[bytes], task: Task) -> int:
    """Return how many bytes the messages of a task have."""
    return sum(map(len, take(messages, task.start, task.count)))

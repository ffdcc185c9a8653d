"""What a workload is: a part for each side's processes, how much a round has of it, and which figures it has.

A part is prepared from the messages outside the measured time and then run on `Ends`, by which it has the connections of one
subject. Parts know no particular subject, and none but those of `round_trip` and `stream` whether it is one for an event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tcpconn_bench.stats import Distribution
from tcpconn_bench.workloads.ends import Ends

__all__ = ["CLIENT", "CPU", "LATENCY", "SERVER", "Amounts", "Part", "Prepare", "Task", "Workload", "summarize"]

CLIENT = "client"
SERVER = "server"

CPU = "cpu_seconds_per_million_messages"
LATENCY = ("p50", "p99", "p999", "max", "mean")
RATE = ("messages_per_second", "megabytes_per_second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How much a round has, from which each workload takes what suits it.

    Attributes:
        round_trips: messages that are sent and returned one by one.
        stream_messages: messages that are sent one way.
    """

    round_trips: int
    stream_messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What both sides are told of a round, by JSON.

    Attributes:
        count: how many messages are carried, all connections together.
        start: the index of the first one in the set of messages.
        in_flight: how many requests may wait for their answers.
        connections: how many connections there are, where their number can be chosen.
        clients: how many client processes there are, where there are several.
        offsets: when each message is to be sent, in nanoseconds from the first.
        echo: whether times are taken from the echo, since the two sides have no clock in common.
    """

    count: int
    start: int = 0
    in_flight: int = 1
    connections: int = 1
    clients: int = 1
    offsets: tuple[int, ...] = ()
    echo: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return it as what `from_json` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, task: dict[str, Any]) -> Task:
        """Return the task that the other process was given."""
        return cls(**{**task, "offsets": tuple(task["offsets"])})


Part = Callable[[Ends], Coroutine[Any, Any, dict[str, Any]]]
"""Does one side's work and returns what it measured, by these names, all of which may be left out:

- `verified`: how many messages it found right;
- `messages`: how many were carried in all, if that is not the task's count;
- `times`: an array of nanoseconds; `seconds`: how long the rate was measured, in which `timed_messages` with `timed_bytes` went
  through, if those are not the task's;
- `figures`: further ones by their names.
"""

Prepare = Callable[[Sequence[bytes], Task], Part]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Workload:
    """A task for two sides.

    Attributes:
        name: by which results have it.
        title: what it is in a table's heading.
        short: the same in a word or two.
        client, server: prepare each side's part from the set of messages.
        amount: how many messages a round has, unless they come to too many bytes.
        latency: whether it has times; `rate`: whether it has messages and bytes in a second; `further`: other figures.
        unit: what its times are told in: "µs" or "ms".
        columns: further columns of its table: heading, and figure, factor and format.
        compared: the figures by which subjects are compared.
        connected: whether its parts are given one connection that stands.
        processes: whether its clients are processes of their own.
        separate: whether the server has to tell connections apart by their endpoints.
        timed: whether each message has a time at which it is to be sent.
        patience: seconds that a subject may take that does not promise to get through it, or None: then all have to.
        largest: the mean size of messages in bytes beyond which it makes no sense, or None.
    """

    name: str
    title: str
    short: str
    client: Prepare
    server: Prepare
    amount: Callable[[Amounts], int]
    latency: bool = False
    rate: bool = False
    further: tuple[str, ...] = ()
    unit: str = "µs"
    columns: Mapping[str, tuple[str, float, str]] = field(default_factory=dict)
    compared: tuple[str, ...] = ()
    connected: bool = False
    processes: bool = False
    separate: bool = False
    timed: bool = False
    patience: float | None = None
    largest: int | None = None

    @property
    def figures(self) -> tuple[str, ...]:
        """What is measured, for medians and ratios."""
        return (*(LATENCY if self.latency else ()), *(RATE if self.rate else ()), *self.further, CPU, "peak_memory")


def summarize(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a part measured in a form that JSON can hold: times become percentiles and a histogram."""
    times = result.pop("times", None)
    if times is None:
        return result
    distribution = Distribution(times)
    return {**result, **distribution.summary(), "histogram": distribution.encoded()}

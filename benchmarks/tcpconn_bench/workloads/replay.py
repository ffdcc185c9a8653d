"""Replay: messages are sent when their time has come, whether or not those before have arrived (an open loop).

A latency is counted from when its message was to be sent, so what a stall delays counts too (no coordinated omission). On one
machine it ends when the server has the message: both sides read CLOCK_MONOTONIC. Two machines have no clock in common; there
it ends when the echo is back, and one thread sends while another receives.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import cycle
from time import monotonic_ns
from typing import Any

from tcpconn_bench.stats import Distribution
from tcpconn_bench.subjects.base import AsyncEndpoint
from tcpconn_bench.workloads.base import Part, Task, Workload
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.numbered import ECHO, SINK, Checker, Rows, answer, begin, finish

__all__ = ["WORKLOAD"]

_BEGUN = struct.Struct("!Q")
_LEAD = 5_000_000
"""Nanoseconds from when the first message's time is told until it is there."""

_AWAKE = 300_000
"""Nanoseconds before a message's time from which on its sender does not sleep: it might oversleep by 100 µs."""


def _rows(messages: Sequence[bytes], task: Task) -> Rows:
    return Rows(ECHO if task.echo else SINK, messages, task.start, task.count)


def _client(messages: Sequence[bytes], task: Task) -> Part:
    rows = _rows(messages, task)

    async def run(ends: Ends) -> dict[str, Any]:
        endpoint = await ends.connect()
        await begin(endpoint)
        first = monotonic_ns() + _LEAD
        result: dict[str, Any] = {}
        late: array[int] = array("q")

        async def send() -> None:
            for message, offset in zip(cycle(rows.numbered), task.offsets, strict=False):
                due = first + offset
                while (rest := due - monotonic_ns()) > 0:
                    await ends.pause(0 if rest < _AWAKE else (rest - _AWAKE) / 1e9)
                late.append(monotonic_ns() - due)
                await endpoint.send(message)

        async def receive() -> None:
            result.update(await _note(endpoint, Checker(rows), first, task.offsets))

        if task.echo:
            await ends.together(send(), receive())
        else:
            await endpoint.send(_BEGUN.pack(first))
            await send()
        await finish(endpoint)
        seconds = (monotonic_ns() - first) / 1e9
        await endpoint.close()
        lasts = task.offsets[-1] / 1e9
        # There is a message less in that time than there are messages.
        following = task.count - 1
        return {
            **result,
            "seconds": seconds,
            "timed_messages": following,
            "figures": {
                "intended_per_second": following / lasts if lasts else 0.0,
                "late_p99": Distribution(late).percentile(99),
            },
        }

    return run


async def _note(endpoint: AsyncEndpoint, checker: Checker, first: int, offsets: Sequence[int]) -> dict[str, Any]:
    """Receive the messages, and return how many were right and how long after its time each was there."""
    receive = endpoint.receive
    times = array("q", bytes(8 * len(offsets)))
    right = 0
    for index, offset in enumerate(offsets):
        message = await receive()
        times[index] = monotonic_ns() - first - offset
        right += checker.check(message)
    return {"verified": max(0, right), "times": times}


def _server(messages: Sequence[bytes], task: Task) -> Part:
    rows = _rows(messages, task)

    async def note(endpoint: AsyncEndpoint, _connections: int) -> dict[str, Any]:
        await endpoint.send(await endpoint.receive())  # type: ignore[arg-type]
        (first,) = _BEGUN.unpack(await endpoint.receive())
        noted = await _note(endpoint, Checker(rows), first, task.offsets)
        await answer(endpoint, 1)
        return noted

    async def run(ends: Ends) -> dict[str, Any]:
        if task.echo:
            await ends.serve(1, answer)
            return {}
        (noted,) = await ends.serve(1, note)
        return noted

    return run


WORKLOAD = Workload(
    name="replay",
    title="replay, time from when a message was to be sent",
    short="replay",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.round_trips,
    latency=True,
    rate=True,
    further=("intended_per_second", "late_p99"),
    columns={
        "p99.99 µs": ("p9999", 1e6, ",.1f"),
        "msg/s": ("messages_per_second", 1, ",.0f"),
        "of": ("intended_per_second", 1, ",.0f"),
    },
    compared=("p50",),
    timed=True,
)

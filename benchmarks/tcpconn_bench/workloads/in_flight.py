"""Requests of which several are under way at once on one connection: how long each takes, and how many get through."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from tcpconn_bench.workloads.base import Part, Task, Workload
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.numbered import ECHO, Rows, answer, ask, begin, finish

__all__ = ["WORKLOAD", "ask_on_one_connection"]


def ask_on_one_connection(messages: Sequence[bytes], task: Task, count: int, in_flight: int) -> Part:
    """Return a client's part: so many requests on a connection of its own."""
    rows = Rows(ECHO, messages, task.start, count)

    async def run(ends: Ends) -> dict[str, Any]:
        endpoint = await ends.connect()
        await begin(endpoint)
        begun = perf_counter_ns()
        asked = await ask(endpoint, rows.row(0, 0, count), in_flight)
        seconds = (perf_counter_ns() - begun) / 1e9
        await finish(endpoint)
        await endpoint.close()
        return {"verified": asked.verified, "messages": count, "times": asked.times, "seconds": seconds}

    return run


def _client(messages: Sequence[bytes], task: Task) -> Part:
    return ask_on_one_connection(messages, task, task.count, task.in_flight)


def _server(_messages: Sequence[bytes], _task: Task) -> Part:
    async def run(ends: Ends) -> dict[str, Any]:
        await ends.serve(1, answer)
        return {}

    return run


WORKLOAD = Workload(
    name="in_flight",
    title="requests, several in flight on one connection",
    short="in flight",
    client=_client,
    server=_server,
    amount=lambda amounts: 2 * amounts.round_trips,
    latency=True,
    rate=True,
    compared=("p50", "messages_per_second"),
)

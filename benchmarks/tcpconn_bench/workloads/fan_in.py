"""Fan-in: one process sends a message over each of many connections in turn to a server, which compares what comes by each.

The client is one thread (or task), the server has one for each connection, as `serve` has, or one in all if it has one
endpoint for all connections. The client's clock runs until the server has confirmed the end of every connection.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from tcpconn_bench.workloads.base import CPU, Part, Task, Workload
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.numbered import SINK, Checker, Rows, answer, begin, finish

__all__ = ["WORKLOAD"]


def _rows(messages: Sequence[bytes], task: Task) -> Rows:
    return Rows(SINK, messages, task.start, task.count, task.connections)


def _client(messages: Sequence[bytes], task: Task) -> Part:
    rows = _rows(messages, task)

    async def run(ends: Ends) -> dict[str, Any]:
        endpoints = [await ends.connect() for _ in range(rows.count)]
        for endpoint in endpoints:
            await begin(endpoint)
        sends = [endpoint.send for endpoint in endpoints]
        begun = perf_counter_ns()
        for row, message in rows.in_turn(task.count):
            await sends[row](message)
        for row, endpoint in enumerate(endpoints):
            await finish(endpoint, row)
        seconds = (perf_counter_ns() - begun) / 1e9
        for endpoint in endpoints:
            await endpoint.close()
        return {"seconds": seconds}

    return run


def _server(messages: Sequence[bytes], task: Task) -> Part:
    rows = _rows(messages, task)

    async def run(ends: Ends) -> dict[str, Any]:
        checker = Checker(rows)
        right = await ends.serve(rows.count, lambda endpoint, connections: answer(endpoint, connections, checker))
        return {"verified": max(0, sum(right))}

    return run


WORKLOAD = Workload(
    name="fan_in",
    title="fan-in from many connections, more messages are better",
    short="fan-in",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.stream_messages // 4,
    rate=True,
    compared=("messages_per_second", CPU),
)

"""Many clients: processes, each with one connection and one request at a time, that ask one server at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tcpconn_bench.workloads.base import Part, Task, Workload
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.in_flight import ask_on_one_connection
from tcpconn_bench.workloads.numbered import answer

__all__ = ["WORKLOAD"]


def _client(messages: Sequence[bytes], task: Task) -> Part:
    return ask_on_one_connection(messages, task, max(1, task.count // task.clients), 1)


def _server(_messages: Sequence[bytes], task: Task) -> Part:
    async def run(ends: Ends) -> dict[str, Any]:
        await ends.serve(task.clients, answer)
        return {}

    return run


WORKLOAD = Workload(
    name="clients",
    title="many clients, each a process that asks one by one",
    short="clients",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.round_trips,
    latency=True,
    rate=True,
    compared=("p50", "messages_per_second"),
    processes=True,
)

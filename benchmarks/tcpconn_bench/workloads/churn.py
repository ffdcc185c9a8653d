"""Connect, ask once, close, and again: what a connection costs that is used only once.

A time is from before `connect` until `close` has returned. The request and the word that it was the last go out together, so
that an answer that comes twice is noticed. The server handles up to eight connections at a time, each in a thread or task.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from tcpconn_bench.workloads.base import CPU, Part, Task, Workload
from tcpconn_bench.workloads.checking import is_same
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.numbered import ECHO, Rows, answer, ending

__all__ = ["WORKLOAD"]

_AT_ONCE = 8


def _client(messages: Sequence[bytes], task: Task) -> Part:
    requests = Rows(ECHO, messages, task.start, task.count).row(0, 0, task.count)

    async def run(ends: Ends) -> dict[str, Any]:
        times = array("q")
        verified = 0
        for number, message in enumerate(requests):
            last = ending(number)
            begun = perf_counter_ns()
            endpoint = await ends.connect()
            await endpoint.send(message)
            await endpoint.send(last)
            returned = await endpoint.receive()
            confirmed = await endpoint.receive()
            await endpoint.close()
            times.append(perf_counter_ns() - begun)
            verified += is_same(returned, message) and is_same(confirmed, last)
        return {"verified": verified, "times": times}

    return run


def _server(_messages: Sequence[bytes], task: Task) -> Part:
    async def run(ends: Ends) -> dict[str, Any]:
        await ends.serve(task.count, answer, at_once=_AT_ONCE)
        return {}

    return run


WORKLOAD = Workload(
    name="churn",
    title="connect, ask once, close, lower is better",
    short="churn",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.round_trips // 10,
    latency=True,
    compared=("p50", CPU),
)

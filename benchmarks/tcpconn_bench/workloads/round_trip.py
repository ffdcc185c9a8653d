"""Round trip: the client sends a message, waits for it to come back, and compares it once the clock has stopped.

Both flavours are written out, here and in `stream`: a call in between would be seen in a time of some microseconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any, cast

from tcpconn_bench.subjects.base import AsyncEndpoint, Endpoint
from tcpconn_bench.workloads.base import CPU, Part, Task, Workload
from tcpconn_bench.workloads.checking import is_same, take
from tcpconn_bench.workloads.ends import Ends

__all__ = ["WORKLOAD"]


def _client(messages: Sequence[bytes], task: Task) -> Part:
    chosen = take(messages, task.start, task.count)
    times = array("q", bytes(8 * len(chosen)))

    async def run(ends: Ends) -> dict[str, Any]:
        if ends.on_loop:
            verified = await _ask_asyncio(cast(AsyncEndpoint, ends.standing), chosen, times)
        else:
            verified = _ask(cast(Endpoint, ends.standing), chosen, times)
        return {"verified": verified, "times": times}

    return run


def _ask(endpoint: Endpoint, messages: Sequence[bytes], times: array[int]) -> int:
    send = endpoint.send
    receive = endpoint.receive
    clock = perf_counter_ns
    verified = 0
    for index, message in enumerate(messages):
        begun = clock()
        send(message)
        answer = receive()
        times[index] = clock() - begun
        if is_same(answer, message):
            verified += 1
    return verified


async def _ask_asyncio(endpoint: AsyncEndpoint, messages: Sequence[bytes], times: array[int]) -> int:
    send = endpoint.send
    receive = endpoint.receive
    clock = perf_counter_ns
    verified = 0
    for index, message in enumerate(messages):
        begun = clock()
        await send(message)
        answer = await receive()
        times[index] = clock() - begun
        if is_same(answer, message):
            verified += 1
    return verified


def _server(_messages: Sequence[bytes], task: Task) -> Part:
    async def run(ends: Ends) -> dict[str, Any]:
        if ends.on_loop:
            await _echo_asyncio(cast(AsyncEndpoint, ends.standing), task.count)
        else:
            _echo(cast(Endpoint, ends.standing), task.count)
        return {}

    return run


def _echo(endpoint: Endpoint, count: int) -> None:
    send = endpoint.send
    receive = endpoint.receive
    for _ in range(count):
        # What some subjects receive is a view of their own; all of them send any kind of buffer.
        send(receive())  # type: ignore[arg-type]


async def _echo_asyncio(endpoint: AsyncEndpoint, count: int) -> None:
    send = endpoint.send
    receive = endpoint.receive
    for _ in range(count):
        await send(await receive())  # type: ignore[arg-type]


WORKLOAD = Workload(
    name="round_trip",
    title="round trip, lower is better",
    short="round trip",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.round_trips,
    latency=True,
    compared=("p50", CPU),
    connected=True,
)

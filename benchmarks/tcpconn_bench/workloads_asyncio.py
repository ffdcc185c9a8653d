"""The workloads of `workloads` for subjects on an asyncio event loop: the same steps, awaited."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from tcpconn_bench.subjects.base import AsyncEndpoint
from tcpconn_bench.workloads import ALL_RECEIVED, ROUND_TRIP, STREAM, batches_of, check_confirmation, count_right, is_same

__all__ = ["ASYNC_WORKLOADS", "AsyncPart", "AsyncWorkload"]

AsyncPart = Callable[[AsyncEndpoint], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class AsyncWorkload:
    """A task for two processes; see `Workload`."""

    client: Callable[[Sequence[bytes]], AsyncPart]
    server: Callable[[Sequence[bytes]], AsyncPart]


def _ask(messages: Sequence[bytes]) -> AsyncPart:
    times = array("q", bytes(8 * len(messages)))

    async def run(endpoint: AsyncEndpoint) -> dict[str, Any]:
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
        return {"verified": verified, "times": times}

    return run


def _echo(messages: Sequence[bytes]) -> AsyncPart:
    count = len(messages)

    async def run(endpoint: AsyncEndpoint) -> dict[str, Any]:
        send = endpoint.send
        receive = endpoint.receive
        for _ in range(count):
            await send(await receive())  # type: ignore[arg-type]
        return {}

    return run


def _pour(messages: Sequence[bytes]) -> AsyncPart:
    async def run(endpoint: AsyncEndpoint) -> dict[str, Any]:
        begun = perf_counter_ns()
        await endpoint.send_many(messages)
        answer = await endpoint.receive()
        seconds = (perf_counter_ns() - begun) / 1e9
        check_confirmation(answer)
        return {"seconds": seconds}

    return run


def _drain(messages: Sequence[bytes]) -> AsyncPart:
    batches = batches_of(messages)

    async def run(endpoint: AsyncEndpoint) -> dict[str, Any]:
        receive_many = endpoint.receive_many
        verified = 0
        for batch in batches:
            verified += count_right(batch, await receive_many(len(batch)))
        await endpoint.send(ALL_RECEIVED)
        return {"verified": verified}

    return run


ASYNC_WORKLOADS = {
    ROUND_TRIP: AsyncWorkload(client=_ask, server=_echo),
    STREAM: AsyncWorkload(client=_pour, server=_drain),
}

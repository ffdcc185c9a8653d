"""One-way stream: the client sends all messages of a round, the server compares each batch as it comes and confirms the end.

The comparing is within the measured time, as a user who looks at what comes would have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any, cast

from tcpconn_bench.subjects.base import AsyncEndpoint, Endpoint, Message
from tcpconn_bench.workloads.base import CPU, Part, Task, Workload
from tcpconn_bench.workloads.checking import batches_of, count_right, take
from tcpconn_bench.workloads.ends import Ends

__all__ = ["WORKLOAD"]

_ALL_RECEIVED = b"all received"


def _client(messages: Sequence[bytes], task: Task) -> Part:
    chosen = take(messages, task.start, task.count)

    async def run(ends: Ends) -> dict[str, Any]:
        begun = perf_counter_ns()
        if ends.on_loop:
            on_loop = cast(AsyncEndpoint, ends.standing)
            await on_loop.send_many(chosen)
            answer = await on_loop.receive()
        else:
            endpoint = cast(Endpoint, ends.standing)
            endpoint.send_many(chosen)
            answer = endpoint.receive()
        seconds = (perf_counter_ns() - begun) / 1e9
        _check_confirmation(answer)
        return {"seconds": seconds}

    return run


def _check_confirmation(answer: Message) -> None:
    if answer != _ALL_RECEIVED:
        raise ValueError(f"the receiver's confirmation came back as {bytes(answer[:40])!r}")


def _server(messages: Sequence[bytes], task: Task) -> Part:
    batches = batches_of(take(messages, task.start, task.count))

    async def run(ends: Ends) -> dict[str, Any]:
        if ends.on_loop:
            return {"verified": await _drain_asyncio(cast(AsyncEndpoint, ends.standing), batches)}
        return {"verified": _drain(cast(Endpoint, ends.standing), batches)}

    return run


def _drain(endpoint: Endpoint, batches: Sequence[list[bytes]]) -> int:
    receive_many = endpoint.receive_many
    verified = 0
    for batch in batches:
        verified += count_right(batch, receive_many(len(batch)))
    # One clock for the whole: the client's, which this message stops. It costs a stream half a round trip.
    endpoint.send(_ALL_RECEIVED)
    return verified


async def _drain_asyncio(endpoint: AsyncEndpoint, batches: Sequence[list[bytes]]) -> int:
    receive_many = endpoint.receive_many
    verified = 0
    for batch in batches:
        verified += count_right(batch, await receive_many(len(batch)))
    await endpoint.send(_ALL_RECEIVED)
    return verified


WORKLOAD = Workload(
    name="stream",
    title="one-way stream, more messages are better",
    short="stream",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.stream_messages,
    rate=True,
    compared=("messages_per_second", CPU),
    connected=True,
)

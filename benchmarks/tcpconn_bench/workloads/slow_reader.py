"""A slow reader beside fast ones: a server sends to several connections of one client, of which one hardly reads.

The fast ones read once by themselves and once beside the slow one; `kept` is how much of their rate is left then. Each
connection has a thread or task at either end. When the fast ones are done the slow one reads the rest: all of it is verified.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any

from tcpconn_bench.subjects.base import AsyncEndpoint
from tcpconn_bench.workloads.base import Part, Task, Workload
from tcpconn_bench.workloads.checking import batches_of, count_right
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.numbered import SOURCE, TAG_SIZE, Checker, Rows, answer, begin, finish, request

__all__ = ["WORKLOAD"]

_READERS = 4
_PAUSE = 0.01
"""Seconds that the slow reader lets pass between two messages."""


def _rows(messages: Sequence[bytes], task: Task) -> Rows:
    return Rows(SOURCE, messages, task.start, max(task.count, _READERS), _READERS)


def _client(messages: Sequence[bytes], task: Task) -> Part:
    rows = _rows(messages, task)
    fast = range(1, rows.count)
    each = max(1, task.count // (rows.count + len(fast)))

    async def run(ends: Ends) -> dict[str, Any]:
        endpoints = [await ends.connect() for _ in range(rows.count)]
        for endpoint in endpoints:
            await begin(endpoint)

        async def read(row: int, begin: int) -> int:
            await endpoints[row].send(request(row, begin, each))
            return await _receive(endpoints[row], rows.row(row, begin, each))

        begun = perf_counter_ns()
        verified = sum(await ends.together(*(read(row, 0) for row in fast)))
        undisturbed = (perf_counter_ns() - begun) / 1e9
        await endpoints[0].send(request(0, 0, each))
        still_reading = len(fast)
        seconds = 0.0

        async def read_beside(row: int) -> int:
            nonlocal still_reading, seconds
            right = await read(row, each)
            seconds = (perf_counter_ns() - begun) / 1e9
            still_reading -= 1
            return right

        async def read_slowly() -> int:
            wanted = rows.row(0, 0, each)
            right = done = 0
            while done < each and still_reading:
                right += await _receive(endpoints[0], wanted[done : done + 1])
                done += 1
                await ends.pause(_PAUSE)
            return right + await _receive(endpoints[0], wanted[done:])

        begun = perf_counter_ns()
        verified += sum(await ends.together(read_slowly(), *(read_beside(row) for row in fast)))
        for row, endpoint in enumerate(endpoints):
            await finish(endpoint, row)
        for endpoint in endpoints:
            await endpoint.close()
        return {
            "verified": verified,
            "messages": each * (rows.count + len(fast)),
            "seconds": seconds,
            "timed_messages": each * len(fast),
            "timed_bytes": sum(len(message) - TAG_SIZE for row in fast for message in rows.row(row, each, each)),
            "figures": {"kept": undisturbed / seconds},
        }

    return run


async def _receive(endpoint: AsyncEndpoint, wanted: Sequence[bytes]) -> int:
    right = 0
    for batch in batches_of(wanted):
        right += count_right(batch, await endpoint.receive_many(len(batch)))
    return right


def _server(messages: Sequence[bytes], task: Task) -> Part:
    rows = _rows(messages, task)

    async def run(ends: Ends) -> dict[str, Any]:
        await ends.serve(rows.count, lambda endpoint, connections: answer(endpoint, connections, Checker(rows)))
        return {}

    return run


WORKLOAD = Workload(
    name="slow_reader",
    title="fast readers beside a slow one, more messages are better",
    short="slow reader",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.stream_messages,
    rate=True,
    further=("kept",),
    columns={"kept": ("kept", 1, ".2f")},
    compared=("messages_per_second", "kept"),
    separate=True,
    largest=1024 * 1024,
)

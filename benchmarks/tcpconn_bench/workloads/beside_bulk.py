"""Small messages beside large ones: requests on one connection while another carries large messages without a pause.

Both connections are one client's to one server, each with a thread or task at either end. What a small message waits for behind
a large one (head-of-line blocking) is in its time; how long the same requests take alone is measured just before.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle
from time import perf_counter_ns
from typing import Any

from tcpconn_bench.stats import median
from tcpconn_bench.workloads.base import Part, Task, Workload
from tcpconn_bench.workloads.checking import take
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.numbered import ECHO, SINK, TAG_SIZE, Asked, Checker, Rows, answer, ask, begin, finish

__all__ = ["WORKLOAD"]

_LARGE = 1024 * 1024
_DIFFERENT = 4
_ALONE_SHARE = 4
_MOMENT = 0.0002
"""Seconds between two looks whether the large ones are on their way."""


def _large(messages: Sequence[bytes], task: Task) -> Rows:
    """Return large messages made of the small ones."""
    joined = b"".join(take(messages, task.start, min(len(messages), task.count))) or b"\0"
    joined *= -(-_LARGE // len(joined))
    return Rows(SINK, [bytes([number]) + joined[: _LARGE - 1] for number in range(_DIFFERENT)], 0, _DIFFERENT)


def _client(messages: Sequence[bytes], task: Task) -> Part:
    alone_count = max(1, task.count // _ALONE_SHARE)
    small = Rows(ECHO, messages, task.start, task.count)
    large = _large(messages, task)

    async def run(ends: Ends) -> dict[str, Any]:
        asking, pouring = await ends.connect(), await ends.connect()
        await begin(asking)
        await begin(pouring)
        alone = await ask(asking, small.row(0, 0, alone_count))
        ended = False
        poured = 0
        seconds = 0.0

        async def ask_beside() -> Asked | None:
            nonlocal ended
            try:
                while not poured:
                    await ends.pause(_MOMENT)
                return await ask(asking, small.row(0, 0, task.count))
            finally:
                ended = True

        async def pour() -> Asked | None:
            nonlocal poured, seconds
            begun = perf_counter_ns()
            for message in cycle(large.numbered):
                await pouring.send(message)
                poured += 1
                if ended:
                    break
            await finish(pouring)
            seconds = (perf_counter_ns() - begun) / 1e9
            return None

        asked, _ = await ends.together(ask_beside(), pour())
        assert asked is not None
        await finish(asking)
        await asking.close()
        await pouring.close()
        return {
            "verified": alone.verified + asked.verified,
            "messages": alone_count + task.count + poured,
            "times": asked.times,
            "seconds": seconds,
            "timed_messages": poured,
            "timed_bytes": poured * (len(large.numbered[0]) - TAG_SIZE),
            "figures": {"alone_p50": median(alone.times) / 1e9},
        }

    return run


def _server(messages: Sequence[bytes], task: Task) -> Part:
    large = _large(messages, task)

    async def run(ends: Ends) -> dict[str, Any]:
        checker = Checker(large)
        right = await ends.serve(2, lambda endpoint, connections: answer(endpoint, connections, checker))
        return {"verified": max(0, sum(right))}

    return run


WORKLOAD = Workload(
    name="beside_bulk",
    title="small requests beside a stream of 1 MiB messages (its MB/s)",
    short="beside bulk",
    client=_client,
    server=_server,
    amount=lambda amounts: amounts.round_trips // 5,
    latency=True,
    rate=True,
    further=("alone_p50",),
    columns={"alone p50": ("alone_p50", 1e6, ",.1f")},
    compared=("p50", "megabytes_per_second"),
    largest=64 * 1024,
)

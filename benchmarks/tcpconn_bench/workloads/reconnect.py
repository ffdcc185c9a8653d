"""Reconnecting: a relay between client and server cuts the link, and the client asks at once.

A time is from the cut until the answer is there. Nothing is under way when the link is cut, for many a subject comes back and
has lost that. What a subject does that does not come back is said by `runner`: it raises, or does not answer.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from itertools import count
from time import perf_counter_ns
from typing import Any

from tcpconn.testing import Relay
from tcpconn_bench.workloads.base import Part, Task, Workload
from tcpconn_bench.workloads.checking import is_same
from tcpconn_bench.workloads.ends import Ends
from tcpconn_bench.workloads.numbered import ECHO, Rows, answer, begin, finish

__all__ = ["WORKLOAD", "relayed"]

_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):(?P<port>\d+)")
_NUMBERS = count()
_PATH = re.compile(r"/.+")


def relayed(address: str) -> tuple[str, str, str]:
    """Return where a subject's address leads, where a relay to it listens, and what of the address is to be replaced.

    Raises:
        ValueError: it names neither host and port nor a path.
    """
    if found := _PORT.search(address):
        host = found["host"]
        return f"{host}:{found['port']}", "[::1]:0" if host.startswith("[") else "127.0.0.1:0", found[0]
    if found := _PATH.search(address):
        return f"unix:{found[0]}", f"unix:{found[0]}-{next(_NUMBERS)}", found[0]
    raise ValueError(f"no relay can stand before {address!r}: there is neither a host and port nor a path in it")


def _client(messages: Sequence[bytes], task: Task) -> Part:
    requests = Rows(ECHO, messages, task.start, task.count).row(0, 0, task.count)

    async def run(ends: Ends) -> dict[str, Any]:
        target, listen, replaced = relayed(ends.address)
        times = array("q")
        verified = 0
        # It stays until the process ends: when the client has all that it wants, the server may not yet.
        relay = Relay(target, listen=listen)
        endpoint = await ends.connect(ends.address.replace(replaced, relay.address.removeprefix("unix:")))
        await begin(endpoint)
        for message in requests:
            begun = perf_counter_ns()
            relay.cut()
            await endpoint.send(message)
            returned = await endpoint.receive()
            times.append(perf_counter_ns() - begun)
            verified += is_same(returned, message)
        if relay.links_made <= task.count:
            raise RuntimeError(f"of {task.count} cuts there came {relay.links_made - 1} new links by the relay")
        await finish(endpoint)
        await endpoint.close()
        return {"verified": verified, "times": times}

    return run


def _server(_messages: Sequence[bytes], _task: Task) -> Part:
    async def run(ends: Ends) -> dict[str, Any]:
        await ends.serve(1, answer)
        return {}

    return run


WORKLOAD = Workload(
    name="reconnect",
    title="first answer after the link was cut, lower is better",
    short="reconnect",
    client=_client,
    server=_server,
    amount=lambda amounts: max(4, amounts.round_trips // 250),
    latency=True,
    unit="ms",
    compared=("p50",),
    patience=5.0,
)

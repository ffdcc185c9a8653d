"""Processor time for a million messages, both processes together, of tcp that does not poll and of plain pyzmq."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from tcpconn_bench.reference.ends import Cost, Pair
from tcpconn_bench.reference.figures import Figure, at_most

__all__ = ["measure"]

_SIZES = {"100 B": 100, "1 KiB": 1 << 10, "8 KiB": 8 << 10, "64 KiB": 64 << 10, "256 KiB": 256 << 10, "1 MiB": 1 << 20}
_STREAMED_BYTES = 256 << 20
_STREAMED = 40_000
_RETURNED_BYTES = 64 << 20
_RETURNED = 2000
_WARM_UP = 10
"""A part of each workload that is done before."""


def measure(rounds: int) -> Sequence[Figure]:
    """Measure both, with fresh processes in each round: what large messages take depends on what malloc has seen before."""
    streams, trips = (
        {name: Figure(f"{kind} of {name}", "CPU s/M", at_most(1), "plain-pyzmq") for name in _SIZES}
        for kind in ("stream", "round trips")
    )
    for number in range(rounds):
        for name, size in _SIZES.items():
            order = ("tcp", "plain-pyzmq") if number % 2 else ("plain-pyzmq", "tcp")
            taken = {subject: _one(subject, size) for subject in order}
            streams[name].add(taken["tcp"][0], taken["plain-pyzmq"][0])
            trips[name].add(taken["tcp"][1], taken["plain-pyzmq"][1])
    return [*streams.values(), *trips.values()]


def _one(subject: str, size: int) -> tuple[float, float]:
    """Return the seconds for a million messages, one way and there and back."""
    streamed = min(_STREAMED, _STREAMED_BYTES // size)
    returned = min(_RETURNED, _RETURNED_BYTES // size)
    with ExitStack() as stack:
        pair = Pair(stack, subject, {"busy_poll": 0})
        pair.stream(size, max(1, streamed // _WARM_UP))
        stream = pair.stream(size, streamed)
        pair.round_trips(size, max(1, returned // _WARM_UP))
        trips = pair.round_trips(size, returned)
    return _for_a_million(stream, streamed), _for_a_million(trips, returned)


def _for_a_million(cost: Cost, count: int) -> float:
    return cost.cpu / count * 1e6

"""What subjects of a comparison might have measured, for the tests of its results and its report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tcpconn_bench.results import Record, Series, round_figures
from tcpconn_bench.stats import Distribution
from tcpconn_bench.workloads import ROUND_TRIP, STREAM

TIMES = {"p50": 20e-6, "p99": 50e-6, "p999": 90e-6, "max": 1e-3, "mean": 25e-6}


def measured(factor: float, wire: int | None = None) -> dict[str, dict[str, Any]]:
    """Return a round's figures, all times being `factor` times as long, with so many bytes on the wire for a message."""
    client, server = {"peak_memory": 30_000_000}, {"peak_memory": 20_000_000}
    trip: dict[str, dict[str, Any]] = {
        "client": {
            **client,
            "verified": 1000,
            "cpu_seconds": 0.02 * factor,
            **{name: time * factor for name, time in TIMES.items()},
            "histogram": Distribution([int(TIMES["p50"] * factor * 1e9)] * 1000).encoded(),
        },
        "server": {**server, "cpu_seconds": 0.01 * factor},
    }
    stream: dict[str, dict[str, Any]] = {
        "client": {**client, "seconds": 0.1 * factor, "cpu_seconds": 0.05 * factor},
        "server": {**server, "verified": 50_000, "cpu_seconds": 0.05 * factor},
    }
    return {
        ROUND_TRIP: round_figures(ROUND_TRIP, 1000, 100_000, trip, None if wire is None else 1000 * wire),
        STREAM: round_figures(STREAM, 50_000, 5_000_000, stream, None if wire is None else 50_000 * wire),
    }


def series(*factors: float) -> Series:
    """Return a round for each factor, all of whose messages arrived."""
    messages = 51_000 * len(factors)
    return Series([measured(factor) for factor in factors], messages=messages, verified=messages)


def backend_and_floor(*sizes: int | None) -> list[Record]:
    """Return a backend that takes twice as long as its floor, measured with messages of each size."""
    backend = Record("tcp", "backend", "plain-socket", series={size: series(1, 2, 8) for size in sizes})
    floor = Record("plain-socket", "floor", None, series={size: series(0.5, 1, 2) for size in sizes})
    return [backend, floor]


def with_variant_and_further_floor(records: Sequence[Record], *sizes: int | None) -> list[Record]:
    """Return the records with a variant of the backend that takes four times as long, and a floor that takes a tenth."""
    changes = {"leader_followers": False}
    variant = Record("tcp leader_followers=false", "variant", "plain-socket", variant_of="tcp", changes=changes)
    variant.series = {size: series(4, 8, 32) for size in sizes}
    further = Record("polling-socket", "floor", None, series={size: series(0.1, 0.2, 0.8) for size in sizes})
    return [records[0], variant, *records[1:], further]

"""What subjects have to do, by name; a module for each. `base` says what a workload is, `ends` how it comes by connections."""

from __future__ import annotations

from tcpconn_bench.workloads import (
    beside_bulk,
    churn,
    clients,
    fan_in,
    in_flight,
    reconnect,
    replay,
    round_trip,
    slow_reader,
    stream,
)
from tcpconn_bench.workloads.base import CLIENT, CPU, SERVER, Amounts, Part, Task, Workload, summarize

__all__ = [
    "CLIENT",
    "CPU",
    "ROUND_TRIP",
    "SERVER",
    "STREAM",
    "WORKLOADS",
    "Amounts",
    "Part",
    "Task",
    "Workload",
    "summarize",
]

ROUND_TRIP = round_trip.WORKLOAD.name
STREAM = stream.WORKLOAD.name

_MODULES = (round_trip, stream, in_flight, clients, fan_in, beside_bulk, slow_reader, churn, reconnect, replay)

WORKLOADS: dict[str, Workload] = {module.WORKLOAD.name: module.WORKLOAD for module in _MODULES}

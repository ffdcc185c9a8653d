"""Small messages there and back: 100 B on one connection, 1 KiB through the pool on one and on two."""

from __future__ import annotations

from itertools import cycle

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tcpconn_bench.serving import Connect

ROUNDS, ITERATIONS, WARMUP = 50, 100, 5


@pytest.mark.benchmark(group="round trip 100 B")
@pytest.mark.parametrize("subject", ["tcp", "zmq", "memory", "plain-socket", "plain-pyzmq"])
def test_round_trip_100_bytes(benchmark: BenchmarkFixture, connect: Connect, subject: str) -> None:
    endpoint = connect(subject, "echo")
    message = bytes(range(100))

    def round_trip() -> object:
        endpoint.send(message)
        return endpoint.receive()

    assert benchmark.pedantic(round_trip, rounds=ROUNDS, iterations=ITERATIONS, warmup_rounds=WARMUP) == message


@pytest.mark.benchmark(group="round trip 1 KiB through the pool")
@pytest.mark.parametrize("connections", [1, 2], ids=["one connection", "two connections in turn"])
def test_round_trip_1_kib_through_the_pool(
    benchmark: BenchmarkFixture, connect: Connect, backend: str, connections: int
) -> None:
    endpoints = [connect(backend, "echo") for _ in range(connections)]
    turn = cycle(endpoints)
    message = bytes(range(256)) * 4

    def round_trip() -> object:
        endpoint = next(turn)
        endpoint.send(message)
        return endpoint.receive()

    assert benchmark.pedantic(round_trip, rounds=ROUNDS, iterations=ITERATIONS, warmup_rounds=WARMUP) == message

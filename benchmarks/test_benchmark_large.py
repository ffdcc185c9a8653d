"""Large messages there and back, and messages around the size at which they are cut into chunks."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import tcpconn
from tcpconn_bench.serving import Connect

CHUNK = tcpconn.Config().chunk_size


def round_trips(benchmark: BenchmarkFixture, connect: Connect, subject: str, size: int, rounds: int) -> None:
    endpoint = connect(subject, "echo")
    message = (bytes(range(251)) * (size // 251 + 1))[:size]

    def round_trip() -> object:
        endpoint.send(message)
        return endpoint.receive()

    assert benchmark.pedantic(round_trip, rounds=rounds, iterations=5, warmup_rounds=3) == message


@pytest.mark.benchmark(group="round trip 200 KB")
@pytest.mark.parametrize("subject", ["tcp", "zmq", "memory", "plain-socket", "plain-pyzmq"])
def test_round_trip_200_kb(benchmark: BenchmarkFixture, connect: Connect, subject: str) -> None:
    round_trips(benchmark, connect, subject, 200_000, rounds=40)


@pytest.mark.benchmark(group="round trip 1 MB")
@pytest.mark.parametrize("subject", ["tcp", "zmq", "memory", "plain-socket", "plain-pyzmq"])
def test_round_trip_1_mb(benchmark: BenchmarkFixture, connect: Connect, subject: str) -> None:
    round_trips(benchmark, connect, subject, 1_000_000, rounds=30)


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(size, id=label, marks=pytest.mark.benchmark(group=f"chunking: round trip of {label}"))
        for label, size in {
            "a chunk less 1 B": CHUNK - 1,
            "a chunk": CHUNK,
            "a chunk and 1 B": CHUNK + 1,
            "four chunks and 1 B": 4 * CHUNK + 1,
        }.items()
    ],
)
def test_round_trip_around_the_chunk_size(benchmark: BenchmarkFixture, connect: Connect, backend: str, size: int) -> None:
    round_trips(benchmark, connect, backend, size, rounds=30)

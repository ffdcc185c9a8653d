"""What the pool saves: connecting and closing over a link that stands, a request in between, or over a new link."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

import tcpconn
from tcpconn_bench.serving import Connect, Serve

MESSAGE = bytes(100)


@pytest.mark.benchmark(group="connect and close, link stands")
def test_connect_and_close_over_a_warm_pool(benchmark: BenchmarkFixture, server: Serve, connect: Connect, backend: str) -> None:
    connect(backend, "echo")
    address = server(backend, "echo")

    def connect_and_close() -> None:
        tcpconn.connect(address, backend=backend).close()

    benchmark.pedantic(connect_and_close, rounds=200, warmup_rounds=20)


@pytest.mark.benchmark(group="connect, round trip of 100 B, close, link stands")
def test_one_request_over_a_warm_pool(benchmark: BenchmarkFixture, server: Serve, connect: Connect, backend: str) -> None:
    connect(backend, "echo")
    address = server(backend, "echo")

    def request() -> bytes:
        with tcpconn.connect(address, backend=backend) as connection:
            connection.send(MESSAGE)
            return connection.receive()

    assert benchmark.pedantic(request, rounds=200, warmup_rounds=20) == MESSAGE


@pytest.mark.benchmark(group="connect, round trip of 100 B, close, new link")
def test_one_request_over_a_new_link(benchmark: BenchmarkFixture, server: Serve, connect: Connect, backend: str) -> None:
    connect(backend, "echo")
    address = server(backend, "echo")

    def request() -> bytes:
        with tcpconn.Pool() as pool, tcpconn.connect(address, pool=pool, backend=backend) as connection:
            connection.send(MESSAGE)
            return connection.receive()

    assert benchmark.pedantic(request, rounds=50, warmup_rounds=5) == MESSAGE

"""The asyncio API beside a bare protocol, asyncio's streams and `zmq.asyncio`, and thousands of connections at once.

A round is a hundred operations, or as many as the group's name says: beginning to run the event loop costs as much as one.
"""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable, Iterator
from time import perf_counter, perf_counter_ns
from typing import TypeVar

import psutil
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tcpconn import aio
from tcpconn_bench.processes import WorkerProcess
from tcpconn_bench.serving import Serve
from tcpconn_bench.stats import Distribution
from tcpconn_bench.subjects import AsyncEndpoint, find, is_async

SUBJECTS = ["tcp-asyncio", "zmq-asyncio", "plain-protocol", "plain-streams", "plain-zmq.asyncio"]
MANY = 5000

T = TypeVar("T")

AsyncConnect = Callable[[str], AsyncEndpoint]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def connect_asyncio(runner: asyncio.Runner, server: Serve) -> Iterator[AsyncConnect]:
    """Return a function from the name of a subject to a connection to an echo server of it."""
    endpoints: list[AsyncEndpoint] = []

    def connect(name: str) -> AsyncEndpoint:
        subject = find(name)
        reason = subject.unavailable()
        if reason is not None:
            pytest.skip(reason)
        assert is_async(subject)
        endpoint = runner.run(_now(subject.connect(server(name, "echo"))))
        endpoints.append(endpoint)
        return endpoint

    yield connect
    for endpoint in endpoints:
        runner.run(_now(endpoint.close()))


async def _now(awaitable: Awaitable[T]) -> T:
    return await awaitable


@pytest.mark.benchmark(group="asyncio: 100 round trips of 100 B")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_round_trips_of_100_bytes(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, connect_asyncio: AsyncConnect, subject: str
) -> None:
    endpoint = connect_asyncio(subject)
    round_trips(benchmark, runner, endpoint, bytes(range(100)), 100)


@pytest.mark.benchmark(group="asyncio: 10 round trips of 1 MiB")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_round_trips_of_1_mib(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, connect_asyncio: AsyncConnect, subject: str
) -> None:
    endpoint = connect_asyncio(subject)
    round_trips(benchmark, runner, endpoint, bytes(range(256)) * 4096, 10)


def round_trips(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, endpoint: AsyncEndpoint, message: bytes, count: int
) -> None:
    async def several() -> object:
        for _ in range(count):
            await endpoint.send(message)
            answer = await endpoint.receive()
        return answer

    assert benchmark.pedantic(lambda: runner.run(several()), rounds=30, warmup_rounds=5) == message


@pytest.mark.benchmark(group="asyncio: 1,000 messages of 100 B there and back, all at once")
@pytest.mark.parametrize("subject", SUBJECTS)
def test_a_thousand_messages_in_flight(
    benchmark: BenchmarkFixture, runner: asyncio.Runner, connect_asyncio: AsyncConnect, subject: str
) -> None:
    endpoint = connect_asyncio(subject)
    messages = [b"%0100d" % number for number in range(1000)]

    async def there_and_back() -> object:
        _, received = await asyncio.gather(endpoint.send_many(messages), endpoint.receive_many(len(messages)))
        return received

    assert benchmark.pedantic(lambda: runner.run(there_and_back()), rounds=30, warmup_rounds=5) == messages


@pytest.mark.benchmark(group=f"asyncio: {MANY:,} connections over one link, each with a message in flight")
@pytest.mark.parametrize("backend", ["tcp", "zmq"])
def test_thousands_of_connections_at_once(
    benchmark: BenchmarkFixture,
    runner: asyncio.Runner,
    server: Serve,
    workers: dict[str, WorkerProcess],
    record_property: Callable[[str, object], None],
    backend: str,
) -> None:
    """A round is one message there and back on each; `p99` is that of all of them, not of rounds."""
    address = server(f"{backend}-asyncio", "echo")
    there = psutil.Process(workers[address].pid)
    times: list[int] = []
    message = bytes(100)

    async def ask(connection: aio.AsyncConnection) -> None:
        begun = perf_counter_ns()
        await connection.send(message)
        assert await connection.receive() == message
        times.append(perf_counter_ns() - begun)

    async def ask_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for connection in connections:
                tasks.create_task(ask(connection))

    async def connect_all() -> list[aio.AsyncConnection]:
        return [await aio.connect(address, f"{number}", pool=pool, backend=backend) for number in range(MANY)]

    async def close_all() -> None:
        async with asyncio.TaskGroup() as tasks:
            for connection in connections:
                tasks.create_task(connection.close())
        await pool.close()

    pool = aio.Pool()
    # Here by Python's own count, for this process has held and freed much before; there by what it has from the system.
    before = there.memory_info().rss
    tracemalloc.start()
    connections = runner.run(connect_all())
    here, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    runner.run(ask_all())
    after = there.memory_info().rss
    times.clear()
    begun = perf_counter()
    benchmark.pedantic(lambda: runner.run(ask_all()), rounds=10, warmup_rounds=0)
    rate = len(times) / (perf_counter() - begun)
    runner.run(close_all())
    summary = Distribution(times).summary()
    record_property(
        f"{MANY:,} connections over one {backend} link",
        f"{rate:,.0f} round trips/s, p50 {summary['p50'] * 1e3:.1f} ms, p99 {summary['p99'] * 1e3:.1f} ms; per connection "
        f"{here / MANY:,.0f} B of memory in the client, {(after - before) / MANY:,.0f} B in the server, its task included",
    )

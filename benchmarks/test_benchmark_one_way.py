"""One direction only: what a send costs its caller, alone and in a burst, and what receiving a burst costs."""

from __future__ import annotations

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from tcpconn_bench.serving import Connect

BURST = 1000
MESSAGE = bytes(range(250)) * 4
ROUNDS, WARMUP = 40, 4


@pytest.fixture(params=["tcp", "zmq", "memory", "plain-socket", "plain-pyzmq"])
def subject(request: pytest.FixtureRequest) -> str:
    """Each backend, and what the two of them that use a network are built on."""
    name: str = request.param
    return name


@pytest.mark.benchmark(group="send 1 KB alone")
def test_send_one_message(benchmark: BenchmarkFixture, connect: Connect, subject: str) -> None:
    endpoint = connect(subject, "echo")
    endpoint.send(MESSAGE)

    def wait_for_the_last_echo() -> None:
        """Untimed. A send that follows a receive is one that is written at once, and not the next of a burst."""
        assert endpoint.receive() == MESSAGE

    benchmark.pedantic(endpoint.send, args=(MESSAGE,), setup=wait_for_the_last_echo, rounds=1000, warmup_rounds=100)
    wait_for_the_last_echo()


@pytest.mark.benchmark(group="send 1 KB, 1,000 in a burst")
def test_send_a_burst(benchmark: BenchmarkFixture, connect: Connect, subject: str) -> None:
    endpoint = connect(subject, "sink")
    messages = [MESSAGE] * BURST
    pending = False

    def ask_the_sink_for_a_burst() -> None:
        nonlocal pending
        if pending:
            assert endpoint.receive() == b"received"
        endpoint.send(b"%d" % BURST)
        pending = True

    benchmark.pedantic(
        endpoint.send_many, args=(messages,), setup=ask_the_sink_for_a_burst, rounds=ROUNDS, warmup_rounds=WARMUP
    )
    assert endpoint.receive() == b"received"


@pytest.mark.benchmark(group="receive 1 KB, 1,000 in a burst")
def test_receive_a_burst(benchmark: BenchmarkFixture, connect: Connect, subject: str) -> None:
    endpoint = connect(subject, "source")

    def receive_a_burst() -> object:
        endpoint.send(b"%d %d" % (BURST, len(MESSAGE)))
        return endpoint.receive_many(BURST)

    assert benchmark.pedantic(receive_a_burst, rounds=ROUNDS, warmup_rounds=WARMUP) == [bytes(len(MESSAGE))] * BURST

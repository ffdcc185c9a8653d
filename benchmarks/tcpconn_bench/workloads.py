"""What subjects have to do: each workload is a part for the client's process and a part for the server's.

A part is prepared from its messages outside the measured time and then run on an endpoint. Workloads know endpoints and
no particular subject. All verification is here, so it is the same for all subjects:

- round trip: the client compares what returns with what it sent, after it has stopped the clock for that message;
- stream: the receiver compares each batch with what was to come, within the measured time, as a user who looks at what
  comes would.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

from tcpconn_bench.stats import Distribution
from tcpconn_bench.subjects.base import Endpoint, Message

__all__ = [
    "ALL_RECEIVED",
    "ROUND_TRIP",
    "STREAM",
    "WORKLOADS",
    "Part",
    "Workload",
    "batches_of",
    "check_confirmation",
    "count_right",
    "fit",
    "is_same",
    "summarize",
    "take",
]

_BATCH_MESSAGES = 64
_BATCH_BYTES = 256 * 1024
"""A stream is verified in batches of so much: small enough to stay in the processor's cache."""

ALL_RECEIVED = b"all received"

Part = Callable[[Endpoint], dict[str, Any]]
"""Does one side's work on an endpoint and returns what it measured; `verified` counts the messages it found right."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A task for two processes.

    Attributes:
        client: prepares the client's part from the messages.
        server: prepares the server's part from the same messages.
    """

    client: Callable[[Sequence[bytes]], Part]
    server: Callable[[Sequence[bytes]], Part]


def take(messages: Sequence[bytes], start: int, count: int) -> list[bytes]:
    """Return `count` messages from index `start` on, beginning anew at the end."""
    size = len(messages)
    return [messages[(start + index) % size] for index in range(count)]


def fit(messages: Sequence[bytes], start: int, count: int, limit: int) -> int:
    """Return how many of `count` messages from index `start` on come to no more than `limit` bytes; at least one."""
    size = len(messages)
    total = 0
    for index in range(count):
        total += len(messages[(start + index) % size])
        if total > limit:
            return max(1, index)
    return count


def _ask(messages: Sequence[bytes]) -> Part:
    times = array("q", bytes(8 * len(messages)))

    def run(endpoint: Endpoint) -> dict[str, Any]:
        send = endpoint.send
        receive = endpoint.receive
        clock = perf_counter_ns
        verified = 0
        for index, message in enumerate(messages):
            begun = clock()
            send(message)
            answer = receive()
            times[index] = clock() - begun
            if is_same(answer, message):
                verified += 1
        return {"verified": verified, "times": times}

    return run


def _echo(messages: Sequence[bytes]) -> Part:
    count = len(messages)

    def run(endpoint: Endpoint) -> dict[str, Any]:
        send = endpoint.send
        receive = endpoint.receive
        for _ in range(count):
            # What some subjects receive is a view of their own; all of them send any kind of buffer.
            send(receive())  # type: ignore[arg-type]
        return {}

    return run


def _pour(messages: Sequence[bytes]) -> Part:
    def run(endpoint: Endpoint) -> dict[str, Any]:
        begun = perf_counter_ns()
        endpoint.send_many(messages)
        answer = endpoint.receive()
        seconds = (perf_counter_ns() - begun) / 1e9
        check_confirmation(answer)
        return {"seconds": seconds}

    return run


def _drain(messages: Sequence[bytes]) -> Part:
    batches = batches_of(messages)

    def run(endpoint: Endpoint) -> dict[str, Any]:
        receive_many = endpoint.receive_many
        verified = 0
        for batch in batches:
            received = receive_many(len(batch))
            verified += count_right(batch, received)
        # One clock for the whole: the client's, which this message stops. It costs a stream half a round trip.
        endpoint.send(ALL_RECEIVED)
        return {"verified": verified}

    return run


def count_right(batch: list[bytes], received: Sequence[Message]) -> int:
    """Return how many of the received messages are what was to come."""
    # A subject returns views or it does not, so one look is enough.
    if not (received and type(received[0]) is memoryview) and received == batch:
        return len(batch)
    return sum(map(is_same, received, batch))


def is_same(received: Message, message: bytes) -> bool:
    """Whether a message arrived as it was sent."""
    if type(received) is memoryview:
        # Measured: `==` takes a view's bytes one by one, 100 times as long as this, which takes them as they lie in memory.
        return len(received) == len(message) and message.startswith(received)
    return received == message


def check_confirmation(answer: Message) -> None:
    """Check what the receiver of a stream says at its end.

    Raises:
        ValueError: it is something else.
    """
    if answer != ALL_RECEIVED:
        raise ValueError(f"the receiver's confirmation came back as {bytes(answer[:40])!r}")


def batches_of(messages: Sequence[bytes]) -> list[list[bytes]]:
    batches: list[list[bytes]] = []
    room = 0
    for message in messages:
        if room <= 0 or len(batches[-1]) == _BATCH_MESSAGES:
            batches.append([])
            room = _BATCH_BYTES
        batches[-1].append(message)
        room -= len(message)
    return batches


ROUND_TRIP = "round_trip"
STREAM = "stream"
WORKLOADS = {
    ROUND_TRIP: Workload(client=_ask, server=_echo),
    STREAM: Workload(client=_pour, server=_drain),
}


def summarize(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a part measured in a form that JSON can hold: times become percentiles and a histogram."""
    times = result.pop("times", None)
    if times is None:
        return result
    distribution = Distribution(times)
    return {**result, **distribution.summary(), "histogram": distribution.encoded()}

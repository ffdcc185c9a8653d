"""The workloads of `tcpconn compare` on endpoints joined in memory: what is verified, and what is found wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

import pytest

from tcpconn_bench.workloads import ROUND_TRIP, STREAM, WORKLOADS, count_right, fit, is_same, summarize, take

MESSAGES = [bytes([index % 256]) * (index * 7 % 5000) for index in range(1000)]


class QueueEndpoint:
    """One end of two queues; `alter` sees every message before it leaves."""

    def __init__(
        self,
        out: SimpleQueue[bytes],
        into: SimpleQueue[bytes],
        alter: Callable[[bytes], bytes] = lambda message: message,
    ) -> None:
        self._out = out
        self._into = into
        self._alter = alter

    def send(self, message: bytes) -> None:
        self._out.put(self._alter(message))

    def receive(self) -> bytes:
        return self._into.get(timeout=10)

    def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.send(message)

    def receive_many(self, count: int) -> list[bytes]:
        return [self.receive() for _ in range(count)]

    def close(self) -> None:
        pass


def carry_out(
    workload: str,
    messages: Sequence[bytes],
    *,
    from_client: Callable[[bytes], bytes] = lambda message: message,
    from_server: Callable[[bytes], bytes] = lambda message: message,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run both sides and return what the client and the server measured."""
    there: SimpleQueue[bytes] = SimpleQueue()
    back: SimpleQueue[bytes] = SimpleQueue()
    found: dict[str, Any] = {}
    server = WORKLOADS[workload].server(messages)
    thread = Thread(target=lambda: found.update(server(QueueEndpoint(back, there, from_server))), daemon=True)
    thread.start()
    try:
        client = WORKLOADS[workload].client(messages)(QueueEndpoint(there, back, from_client))
    finally:
        thread.join(10)
    assert not thread.is_alive()
    return client, found


def corrupt_third(seen: list[bytes]) -> Callable[[bytes], bytes]:
    def alter(message: bytes) -> bytes:
        seen.append(message)
        return message + b"!" if len(seen) == 3 else message

    return alter


def test_every_echo_is_verified_and_timed() -> None:
    client, _ = carry_out(ROUND_TRIP, MESSAGES)
    assert client["verified"] == len(MESSAGES)
    assert len(client["times"]) == len(MESSAGES)
    assert min(client["times"]) > 0
    assert set(summarize(client)) == {"verified", "p50", "p99", "p999", "max", "mean", "histogram"}


def test_a_changed_echo_is_found() -> None:
    client, _ = carry_out(ROUND_TRIP, MESSAGES, from_server=corrupt_third([]))
    assert client["verified"] == len(MESSAGES) - 1


def test_every_streamed_message_is_verified_by_the_receiver() -> None:
    client, server = carry_out(STREAM, MESSAGES)
    assert server == {"verified": len(MESSAGES)}
    assert client["seconds"] > 0
    assert summarize(client) == client


def test_a_changed_streamed_message_is_found() -> None:
    _, server = carry_out(STREAM, MESSAGES, from_client=corrupt_third([]))
    assert server == {"verified": len(MESSAGES) - 1}


def test_streamed_messages_that_change_places_are_found() -> None:
    queue = [MESSAGES[2], MESSAGES[1], MESSAGES[0], *MESSAGES[3:]]
    _, server = carry_out(STREAM, MESSAGES, from_client=lambda _: queue.pop(0))
    assert server == {"verified": len(MESSAGES) - 2}


def test_a_changed_confirmation_is_an_error() -> None:
    with pytest.raises(ValueError, match="confirmation"):
        carry_out(STREAM, MESSAGES[:10], from_server=lambda message: message[:-1])


def test_a_stream_of_large_messages_is_verified_in_small_batches() -> None:
    messages = [bytes([index]) * 200_000 for index in range(20)]
    _, server = carry_out(STREAM, messages)
    assert server == {"verified": 20}


def test_messages_are_taken_in_turn_beginning_anew_at_the_end() -> None:
    assert take([b"a", b"b", b"c"], 2, 5) == [b"c", b"a", b"b", b"c", b"a"]


def test_a_round_is_bounded_by_count_and_by_bytes_but_never_empty() -> None:
    messages = [b"x" * 10, b"y" * 20]
    assert fit(messages, 0, 5, 1000) == 5
    assert fit(messages, 0, 5, 40) == 3
    assert fit(messages, 1, 5, 40) == 2
    assert fit(messages, 0, 5, 1) == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_message_of_any_kind_is_the_same_if_all_its_bytes_are(kind: Callable[[bytes], bytes]) -> None:
    for message in (b"", b"a", b"abc" * 1000):
        assert is_same(kind(message), message)
        assert not is_same(kind(message + b"!"), message)
        assert not is_same(kind(b"!" + message[1:]), message)
    assert not is_same(kind(b"ab"), b"abc")
    batch = [b"one", b"two", b"three"]
    assert count_right(batch, [kind(message) for message in batch]) == 3
    assert count_right(batch, [kind(b"one"), kind(b"three"), kind(b"three")]) == 2
    assert count_right(batch, [kind(b"one"), kind(b"two")]) == 2

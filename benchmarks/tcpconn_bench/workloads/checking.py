"""What is sent in a round, and whether what came is what was sent: the same for all workloads and all subjects."""

from __future__ import annotations

from collections.abc import Sequence

from tcpconn_bench.subjects.base import Message

__all__ = ["batches_of", "count_right", "fit", "is_same", "take"]

_BATCH_MESSAGES = 64
_BATCH_BYTES = 256 * 1024
"""A stream is verified in batches of so much: small enough to stay in the processor's cache."""


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


def batches_of(messages: Sequence[bytes]) -> list[list[bytes]]:
    """Return the messages in the batches in which their receiver asks for them and compares them."""
    batches: list[list[bytes]] = []
    room = 0
    for message in messages:
        if room <= 0 or len(batches[-1]) == _BATCH_MESSAGES:
            batches.append([])
            room = _BATCH_BYTES
        batches[-1].append(message)
        room -= len(message)
    return batches


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

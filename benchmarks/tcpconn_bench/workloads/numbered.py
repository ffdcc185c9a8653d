"""Messages that say what they are for and which one they are: 8 bytes before each, so that one server answers all workloads.

The number tells two equal messages apart, so that one that is lost, repeated, out of turn or on another's connection is
noticed, and a server that has one endpoint for all connections knows whose message it has received.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from time import perf_counter_ns

from tcpconn_bench.subjects.base import AsyncEndpoint, Message
from tcpconn_bench.workloads.checking import batches_of, is_same, take

__all__ = [
    "ECHO",
    "END",
    "SINK",
    "SOURCE",
    "TAG_SIZE",
    "Asked",
    "Checker",
    "Rows",
    "answer",
    "ask",
    "begin",
    "ending",
    "finish",
    "request",
]

ECHO, SINK, SOURCE, END = range(1, 5)
"""What the server does with a message: return it; compare it with what was to come; send as many as it says; return it, and be
done with that connection."""

_TAG = struct.Struct("!B3xI")
TAG_SIZE = _TAG.size
_RANGE = struct.Struct("!II")
_BEGIN = _TAG.pack(ECHO, 0xFFFFFFFF)
_REPEATED_BYTES = 64 * 1024 * 1024
"""A set with fewer messages than there are connections is repeated, if it comes to no more than this."""

_IN_FLIGHT_BYTES = 256 * 1024
"""Requests under way come to no more than this: a blocking socket takes no more requests when the answers fill it, and with one
thread at each end both would wait."""


class Rows:
    """A round's messages, numbered, and dealt to several connections: each sends its own in turn, beginning anew at the end.

    Attributes:
        numbered: the messages, each once.
        count: how many rows there are: no more than messages.
    """

    def __init__(self, kind: int, messages: Sequence[bytes], start: int, count: int, rows: int = 1) -> None:
        chosen = take(messages, start, min(count, len(messages)))
        if len(chosen) < rows and sum(map(len, chosen)) / len(chosen) * rows <= _REPEATED_BYTES:
            chosen = take(chosen, 0, rows)
        self.numbered = [_TAG.pack(kind, number) + message for number, message in enumerate(chosen)]
        self.count = min(rows, len(self.numbered))

    def row(self, row: int, begin: int, count: int) -> list[bytes]:
        """Return `count` messages of a row, from its `begin`th on."""
        return take(self.numbered[row :: self.count], begin, count)

    def in_turn(self, count: int) -> Iterator[tuple[int, bytes]]:
        """Yield `count` messages, one of each row in turn, with the row."""
        cycles = [cycle(self.numbered[row :: self.count]) for row in range(self.count)]
        return islice(((row, next(messages)) for row, messages in cycle(enumerate(cycles))), count)


class Checker:
    """Compares messages with those that were to come, row by row; its rows may be used by a thread each.

    Attributes:
        rows: what was to come.
    """

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self._next = list(range(rows.count))

    def check(self, message: Message) -> int:
        """Return 1 if a message was the next of its row, else -1: it is one too many, or in another's place."""
        _, number = _TAG.unpack_from(message)
        numbered, count = self.rows.numbered, self.rows.count
        row = number % count
        expected = self._next[row]
        # After one that is lost or comes again, the row goes on from there.
        following = number + count
        self._next[row] = following if following < len(numbered) else row
        return 1 if number == expected and is_same(message, numbered[number]) else -1


async def answer(endpoint: AsyncEndpoint, connections: int, checker: Checker | None = None) -> int:
    """Serve the connections that come by an endpoint until their ends.

    Args:
        endpoint: the server's.
        connections: how many.
        checker: compares what is only received, and has what is asked for.

    Returns:
        How many messages of those that are only received were right, less those that were not.

    Raises:
        ValueError: a message is none of a workload's.
    """
    receive = endpoint.receive
    send = endpoint.send
    right = 0
    while connections:
        message = await receive()
        kind = message[0] if len(message) >= TAG_SIZE else None
        if kind == ECHO:
            await send(message)  # type: ignore[arg-type]
        elif kind == SINK and checker is not None:
            right += checker.check(message)
        elif kind == SOURCE and checker is not None:
            row = _TAG.unpack_from(message)[1]
            for batch in batches_of(checker.rows.row(row, *_RANGE.unpack_from(message, TAG_SIZE))):
                await endpoint.send_many(batch)
        elif kind == END:
            await send(message)  # type: ignore[arg-type]
            connections -= 1
        else:
            raise ValueError(f"the server received what nobody had sent: {bytes(message[:40])!r}")
    return right


async def begin(endpoint: AsyncEndpoint) -> None:
    """Wait until the server answers on a connection, before anything is measured.

    Raises:
        ValueError: the answer is another.
    """
    await _there_and_back(endpoint, _BEGIN)


async def finish(endpoint: AsyncEndpoint, connection: int = 0) -> None:
    """Tell the server that a connection is at its end, and wait for its word that everything before has been received.

    Raises:
        ValueError: something else was received.
    """
    await _there_and_back(endpoint, ending(connection))


def ending(connection: int) -> bytes:
    """Return the message after which a connection has no more."""
    return _TAG.pack(END, connection)


async def _there_and_back(endpoint: AsyncEndpoint, message: bytes) -> None:
    await endpoint.send(message)
    returned = await endpoint.receive()
    if not is_same(returned, message):
        raise ValueError(f"in place of an answer to {message!r} came {bytes(returned[:40])!r}")


def request(row: int, begin: int, count: int) -> bytes:
    """Return the message by which a client asks for messages of a row."""
    return _TAG.pack(SOURCE, row) + _RANGE.pack(begin, count)


@dataclass(slots=True)
class Asked:
    """What came of requests: the nanoseconds that each took, and how many answers were right."""

    times: list[int]
    verified: int = 0


async def ask(endpoint: AsyncEndpoint, messages: Iterable[bytes], in_flight: int = 1) -> Asked:
    """Send requests and compare the answers, which come in the same order.

    Args:
        endpoint: the client's.
        messages: numbered ones, to be returned.
        in_flight: how many may wait for their answers at once; fewer, if they are large.
    """
    send = endpoint.send
    receive = endpoint.receive
    clock = perf_counter_ns
    waiting: deque[tuple[int, bytes]] = deque()
    under_way = 0
    asked = Asked([])

    async def take_answer() -> None:
        nonlocal under_way
        returned = await receive()
        ended = clock()
        begun, message = waiting.popleft()
        under_way -= len(message)
        asked.times.append(ended - begun)
        asked.verified += is_same(returned, message)

    for message in messages:
        while waiting and (len(waiting) == in_flight or under_way + len(message) > _IN_FLIGHT_BYTES):
            await take_answer()
        under_way += len(message)
        waiting.append((clock(), message))
        await send(message)
    while waiting:
        await take_answer()
    return asked

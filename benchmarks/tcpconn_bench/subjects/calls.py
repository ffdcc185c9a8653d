"""Messages both ways over calls, which only a client can make: what the peers gRPC unary and HTTP are used through.

A call takes a message to the server, and its answer takes one back if the server has one to send before it asks for the next;
otherwise the answer is empty. So a round trip is one call, and a stream is a call for each message. A client that asks for a
message while no call of its own is unanswered makes one that brings none and is answered when there is something (a long poll).
Calls are numbered, as several may be under way at a time, and the server takes them in that order.

Knows nothing of what carries a call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from tcpconn_bench.subjects.base import Message

__all__ = ["AnsweringEnd", "Call", "CallingEnd"]

Call = Callable[[int, bytes | None], Awaitable[bytes | None]]
"""Makes the call of this number with a message, or with none, and returns its answer, if it has any."""

_MOST_WAITING = 64
"""Messages that the server has for a client that has not asked for them, before its sender waits."""


class CallingEnd:
    """The client's end.

    Args:
        call: how to make a call.
        window: how many calls with a message may be under way at a time.
        hang_up: how to tell the server that this is the end, and to take down what carries the calls.
    """

    def __init__(self, call: Call, window: int, hang_up: Callable[[], Awaitable[object]]) -> None:
        self._call = call
        self._window = window
        self._hang_up = hang_up
        self._number = 0
        self._under_way: deque[asyncio.Future[bytes | None]] = deque()
        self._asking: asyncio.Future[bytes | None] | None = None
        self._received: deque[bytes] = deque()

    async def send(self, message: bytes) -> None:
        # One that only asks is answered as soon as another follows it.
        while len(self._under_way) - (self._asking is not None) >= self._window:
            await self._collect()
        self._begin(message)

    async def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            await self.send(message)

    async def receive(self) -> Message:
        while not self._received:
            if not self._under_way:
                self._asking = self._begin(None)
            await self._collect()
        return self._received.popleft()

    async def receive_many(self, count: int) -> Sequence[Message]:
        return [await self.receive() for _ in range(count)]

    async def close(self) -> None:
        await self._hang_up()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _begin(self, message: bytes | None) -> asyncio.Future[bytes | None]:
        call = asyncio.ensure_future(self._call(self._number, message))
        self._number += 1
        self._under_way.append(call)
        return call

    async def _collect(self) -> None:
        """Wait for the oldest call's answer; another task may be waiting for it, too."""
        oldest = self._under_way[0]
        answer = await oldest
        if self._under_way and self._under_way[0] is oldest:
            self._under_way.popleft()
            if self._asking is oldest:
                self._asking = None
            if answer is not None:
                self._received.append(answer)


class AnsweringEnd:
    """The server's end."""

    def __init__(self) -> None:
        self._expected = 0
        self._early: dict[int, tuple[bytes | None, asyncio.Future[bytes | None]]] = {}
        self._calls: deque[tuple[bytes | None, asyncio.Future[bytes | None]]] = deque()
        self._unanswered: asyncio.Future[bytes | None] | None = None
        self._outgoing: deque[bytes] = deque()
        self._something = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    async def answer(self, number: int, message: bytes | None) -> bytes | None:
        """Take a call and return its answer."""
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        if self._ended:
            return None
        self._early[number] = (message, answer)
        while self._expected in self._early:
            self._calls.append(self._early.pop(self._expected))
            self._expected += 1
        self._answer_who_only_asks()
        self._something.set()
        return await answer

    def hung_up(self) -> None:
        """Take note that the client will not call again; what it has sent can still be received."""
        self._ended = True
        self._give(None)
        for _, answer in (*self._calls, *self._early.values()):
            _give(answer, None)
        self._something.set()
        self._room.set()

    async def send(self, message: bytes) -> None:
        self._outgoing.append(message)
        if self._calls and self._calls[0][0] is None:
            _give(self._calls.popleft()[1], self._next_outgoing())
        elif self._unanswered is not None:
            self._give(self._next_outgoing())
        while len(self._outgoing) > _MOST_WAITING and not self._ended:
            self._room.clear()
            await self._room.wait()

    async def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            await self.send(message)

    async def receive(self) -> Message:
        if self._unanswered is not None:
            # The next message is asked for: there is nothing more to send for this one.
            self._give(self._next_outgoing())
        while not (self._calls and self._calls[0][0] is not None):
            if self._ended:
                raise ConnectionError("the client has hung up")
            self._something.clear()
            await self._something.wait()
        message, self._unanswered = self._calls.popleft()
        assert message is not None
        self._answer_who_only_asks()
        return message

    async def receive_many(self, count: int) -> Sequence[Message]:
        return [await self.receive() for _ in range(count)]

    async def close(self) -> None:
        self.hung_up()

    def _answer_who_only_asks(self) -> None:
        """Answer a call without a message if there is something for it, or if the client has made another since."""
        while self._calls and self._calls[0][0] is None and (self._outgoing or len(self._calls) > 1):
            _give(self._calls.popleft()[1], self._next_outgoing())

    def _give(self, message: bytes | None) -> None:
        """Answer the call whose message was taken last, if it is not answered."""
        answer, self._unanswered = self._unanswered, None
        if answer is not None:
            _give(answer, message)

    def _next_outgoing(self) -> bytes | None:
        if not self._outgoing:
            return None
        self._room.set()
        return self._outgoing.popleft()


def _give(answer: asyncio.Future[bytes | None], message: bytes | None) -> None:
    """Answer a call, unless who made it has given it up."""
    if not answer.done():
        answer.set_result(message)

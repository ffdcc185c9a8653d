"""How a part of a workload comes by connections, and does several things at once, with threads or on an event loop.

Parts are coroutines and exist once. On a blocking subject whatever they await has happened when it returns, so each is run to
its end without a loop, and those that go on at once have a thread each. Measured, an `await` of that kind takes 0.2 µs.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from tcpconn_bench.subjects.base import (
    AsyncEndpoint,
    AsyncListener,
    AsyncSubject,
    Endpoint,
    Listener,
    Message,
    Subject,
    traits_of,
)

__all__ = ["AsyncEnds", "BlockingEnds", "Ends", "Handler", "drive"]

R = TypeVar("R")

Handler = Callable[[AsyncEndpoint, int], Coroutine[Any, Any, R]]
"""Serves the connections that come by an endpoint, so many of them: one, unless the server has one endpoint for all."""


class Ends(Protocol):
    """What a part has of its subject on its side.

    Attributes:
        address: where the server listens.
        standing: the connection that was made beforehand, as the subject has it; None if there is none.
        on_loop: whether the subject is one for an event loop.
    """

    address: str
    standing: Endpoint | AsyncEndpoint | None
    on_loop: bool

    async def connect(self, address: str | None = None) -> AsyncEndpoint:
        """Make a connection, to the server if nothing else is said."""
        ...

    async def serve(self, count: int, handler: Handler[R], *, at_once: int | None = None) -> list[R]:
        """Accept so many connections and have each handled and closed; return what the handler returned of each.

        Args:
            count: how many.
            handler: serves one connection, or if there is one endpoint for all of them is called with that alone.
            at_once: how many are handled at a time at most; all, if nothing is said.
        """
        ...

    async def together(self, *parts: Coroutine[Any, Any, R]) -> list[R]:
        """Carry out all at once, each in a thread or task of its own, and return their results in order.

        Raises:
            Exception: the first that one of them raises; the others then go on until the process ends.
        """
        ...

    async def pause(self, seconds: float) -> None:
        """Sleep; for no time if `seconds` are 0, so that others get their turn."""
        ...


class _Ends:
    """What both kinds have."""

    def __init__(self, *, one_endpoint: bool, address: str, on_loop: bool) -> None:
        self._one_endpoint = one_endpoint
        self.address = address
        self.on_loop = on_loop
        self.standing: Endpoint | AsyncEndpoint | None = None
        self._unaccepted = 0

    async def _accept(self) -> AsyncEndpoint:
        raise NotImplementedError

    async def _accept_next(self) -> AsyncEndpoint | None:
        """Accept a connection if there is one left to be accepted, one caller at a time."""
        raise NotImplementedError

    async def together(self, *parts: Coroutine[Any, Any, R]) -> list[R]:
        raise NotImplementedError

    async def serve(self, count: int, handler: Handler[R], *, at_once: int | None = None) -> list[R]:
        if self._one_endpoint:
            return [await handler(await self._accept(), count)]
        self._unaccepted = count

        async def serve_some() -> list[R]:
            results: list[R] = []
            while (endpoint := await self._accept_next()) is not None:
                results.append(await handler(endpoint, 1))
                await endpoint.close()
            return results

        some = await self.together(*(serve_some() for _ in range(min(count, at_once or count))))
        return [result for results in some for result in results]


class _Awaited:
    """A blocking endpoint as one whose methods are awaited."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._send = endpoint.send
        self._receive = endpoint.receive
        self._send_many = endpoint.send_many
        self._receive_many = endpoint.receive_many
        self._close = endpoint.close

    async def send(self, message: bytes) -> object:
        return self._send(message)

    async def receive(self) -> Message:
        return self._receive()

    async def send_many(self, messages: Sequence[bytes]) -> object:
        return self._send_many(messages)

    async def receive_many(self, count: int) -> Sequence[Message]:
        return self._receive_many(count)

    async def close(self) -> None:
        self._close()


def drive(part: Coroutine[Any, Any, R]) -> R:
    """Carry a coroutine out that never waits for an event loop, and return its result."""
    try:
        part.send(None)
    except StopIteration as done:
        result: R = done.value
        return result
    part.close()
    raise RuntimeError("this waits for an event loop, and there is none")


class BlockingEnds(_Ends):
    """Of a blocking subject.

    Args:
        subject: the one that connects.
        listener: where the server accepts; None at the client.
        address: the listener's.
    """

    def __init__(self, subject: Subject, listener: Listener | None, address: str) -> None:
        super().__init__(one_endpoint=traits_of(subject).one_endpoint, address=address, on_loop=False)
        self._subject = subject
        self._listener = listener
        self._accepting = threading.Lock()

    async def connect(self, address: str | None = None) -> AsyncEndpoint:
        return _Awaited(self._subject.connect(self.address if address is None else address))

    async def _accept(self) -> AsyncEndpoint:
        assert self._listener is not None
        return _Awaited(self._listener.accept())

    async def _accept_next(self) -> AsyncEndpoint | None:
        with self._accepting:
            if not self._unaccepted:
                return None
            self._unaccepted -= 1
            return await self._accept()

    async def together(self, *parts: Coroutine[Any, Any, R]) -> list[R]:
        ended: SimpleQueue[tuple[int, R | None, BaseException | None]] = SimpleQueue()

        def carry_out(index: int, part: Coroutine[Any, Any, R]) -> None:
            try:
                ended.put((index, drive(part), None))
            except BaseException as error:
                ended.put((index, None, error))

        for index, part in enumerate(parts):
            threading.Thread(target=carry_out, args=(index, part), daemon=True).start()
        results: dict[int, Any] = {}
        while len(results) < len(parts):
            index, result, error = ended.get()
            if error is not None:
                raise error
            results[index] = result
        return [results[index] for index in range(len(parts))]

    async def pause(self, seconds: float) -> None:
        time.sleep(seconds)


class AsyncEnds(_Ends):
    """Of a subject for an event loop, which is running; see `BlockingEnds`."""

    def __init__(self, subject: AsyncSubject, listener: AsyncListener | None, address: str) -> None:
        super().__init__(one_endpoint=traits_of(subject).one_endpoint, address=address, on_loop=True)
        self._subject = subject
        self._listener = listener
        self._accepting = asyncio.Lock()

    async def connect(self, address: str | None = None) -> AsyncEndpoint:
        return await self._subject.connect(self.address if address is None else address)

    async def _accept(self) -> AsyncEndpoint:
        assert self._listener is not None
        return await self._listener.accept()

    async def _accept_next(self) -> AsyncEndpoint | None:
        async with self._accepting:
            if not self._unaccepted:
                return None
            self._unaccepted -= 1
            return await self._accept()

    async def together(self, *parts: Awaitable[R]) -> list[R]:
        return list(await asyncio.gather(*parts))

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

"""The listening side of the asyncio API: `listen`, `serve` and `wrap`."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from tcpconn.address import Address
from tcpconn.aio.connection import AsyncConnection
from tcpconn.aio.keeper import keeper
from tcpconn.aio.links import links_of
from tcpconn.aio.waiting import Opening, TaskWaiter, carry_out
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.delivering import finish
from tcpconn.errors import ConfigError, ConnectError, ConnectionClosed, ConnectionLost, TimedOut
from tcpconn.logs import logger
from tcpconn.reception import Reception
from tcpconn.sharing import NO_HANDLER, NO_ROOM, Shares, Verdict
from tcpconn.stream import Stream
from tcpconn.transport import LoopListener, load_transport

__all__ = ["AsyncListener", "listen", "serve", "wrap"]

log = logger()


class AsyncListener:
    """Accepts the logical connections that peers open; an asynchronous iterator over them, and a context manager.

    Sessions whose link is lost are kept for `resume_timeout`, so that their peers can come back. Made by `listen` and `wrap`.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._keeper = keeper()
        self._reception = Reception(config, self._keeper, self._admit, self._empty)
        self._listener: LoopListener | None = None
        self._queue: deque[AsyncConnection] = deque()
        self._waiters: list[TaskWaiter] = []
        self._closed = False

    async def _listen(self, where: Address) -> None:
        transport = load_transport(self.config.backend)
        self.config.check_transport(transport, listens=True)
        links = links_of(transport, self._keeper)
        try:
            self._listener = await links.listen(where, self.config.link_options(), self._reception.greet)
        except OSError as error:
            raise ConnectError(f"cannot listen at {where} by backend {self.config.backend!r}: {error}") from error

    async def _wrap(self, accepted: socket.socket) -> None:
        backend = self.config.backend
        transport = load_transport(backend)
        self.config.check_transport(transport, listens=True)
        try:
            link, seat = await links_of(transport, self._keeper).adopt(accepted, self.config.link_options())
        except NotImplementedError as error:
            raise ConfigError(f"backend={backend!r} cannot wrap a socket: {error}; use backend='tcp'") from error
        self._reception.greet(link, seat)

    @property
    def address(self) -> str:
        """The bound address, ready for `connect`; with the real port if 0 was asked for."""
        return str(self._listener.address) if self._listener is not None else "(none: wraps an accepted socket)"

    @property
    def sessions(self) -> int:
        """How many peers are connected or may still come back."""
        return len(self._reception.sessions)

    # -- connections

    async def accept(self, timeout: float | None = None) -> AsyncConnection:
        """Return the next logical connection that a peer has opened. If it is cancelled none is lost.

        Args:
            timeout: seconds to wait; None is for ever.

        Raises:
            TimedOut: nobody opened one in time.
            ConnectionClosed: the listener is closed.
        """
        if not self._queue and not self._closed:
            await self._wait(timeout)
        if self._queue:
            return self._queue.popleft()
        if self._closed:
            raise ConnectionClosed(f"the listener at {self.address} is closed")
        raise TimedOut(f"nobody opened a connection to {self.address} within {timeout} s")

    async def _wait(self, timeout: float | None) -> None:
        deadline = None if timeout is None else self._keeper.loop.time() + timeout
        while not self._queue and not self._closed:
            waiter = TaskWaiter(self._keeper.loop)
            timer = None if deadline is None else self._keeper.loop.call_at(deadline, waiter.expire)
            self._waiters.append(waiter)
            try:
                await waiter.future
            finally:
                self._waiters.remove(waiter)
                if timer is not None:
                    timer.cancel()
            if waiter.late:
                return

    def __aiter__(self) -> AsyncIterator[AsyncConnection]:
        """Yield connections as peers open them, until the listener is closed."""
        return self

    async def __anext__(self) -> AsyncConnection:
        try:
            return await self.accept()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    def _admit(self, carrier: Carrier, stream: Stream) -> str | None:
        """Queue a stream that a peer has opened, or say why not."""
        if self._closed:
            return "the listener is closed"
        if len(self._queue) >= self.config.backlog:
            return f"{self.config.backlog} connections wait to be accepted (backlog)"
        self._queue.append(AsyncConnection(carrier, stream))
        self._wake()
        return None

    def _empty(self) -> None:
        """End the iteration over the connections of a wrapped socket: there can be no more of them."""
        if self._listener is None:
            self._closed = True
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiters:
            waiter.wake()

    # -- the end

    async def close(self) -> None:
        """Stop listening and close every connection in good order, waiting up to `linger` for acknowledgements. Idempotent."""
        if not self._closed or self._listener is None:
            self._closed = True
            self._wake()
            try:
                await self._end_sessions()
            finally:
                self._reception.turn_all_away()
                if self._listener is not None:
                    # Only now: until they are finished, sessions that lose their link may come back.
                    self._listener.close()
        await self._keeper.settle()

    async def _end_sessions(self) -> None:
        self._reception.stop()
        carriers = self._reception.sessions
        limit = self.config.linger
        deadline = None if limit is None else time.monotonic() + limit
        for carrier in carriers:
            carrier.announce_end("the listener was closed")
        for carrier in carriers:
            rest = None if deadline is None else max(deadline - time.monotonic(), 0)
            await carry_out(finish(carrier, rest, "the listener was closed"))

    async def __aenter__(self) -> AsyncListener:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncListener {'closed' if self._closed else 'open'} {self.address} sessions={self.sessions}>"


def listen(address: str | Address, *, config: Config | None = None, **overrides: Any) -> Opening[AsyncListener]:
    """Listen for logical connections; enter it by `async with`, or await it and close it.

    Args:
        address: `host:port` (port 0: a free one, see `AsyncListener.address`), `[v6]:port` or `unix:/path`.
        config: all settings; from keywords, environment and file if left out (see `Config.load`).
        **overrides: single settings by name.

    Raises:
        ConfigError, BackendUnavailable: a setting, the address or the backend cannot be used.
        ConnectError: the address cannot be bound.
    """

    async def begin() -> AsyncListener:
        where = Address.parse(address)
        listener = AsyncListener(Config.resolve(config, overrides))
        await listener._listen(where)
        return listener

    return Opening(begin)


def wrap(accepted: socket.socket, *, config: Config | None = None, **overrides: Any) -> Opening[AsyncListener]:
    """Return a listener over a connected stream socket that was accepted elsewhere; it owns the socket from now on.

    The object that was given is spent, as after its `detach`; closing it does nothing.

    Raises:
        ConfigError: a setting makes no sense, or the backend does not work on a socket of its user's.
    """

    async def begin() -> AsyncListener:
        listener = AsyncListener(Config.resolve(config, overrides))
        await listener._wrap(accepted)
        return listener

    return Opening(begin)


async def serve(
    handler: Callable[[AsyncConnection], Awaitable[object]],
    address: str | Address | AsyncListener,
    *,
    config: Config | None = None,
    **overrides: Any,
) -> None:
    """Call `handler` with every logical connection, each in a task of its own, until cancelled or closed.

    With `max_handlers`, which by default sets no bound here, connections wait for their turn as they do for `tcpconn.serve`.

    The connection is closed when its handler returns. An exception of a handler is logged and ends only its connection.
    Cancelling it, or closing the listener, ends it: no new connections are taken, the open ones are closed, and the
    handlers, whose next call raises `ConnectionClosed`, have up to `linger` seconds before they are cancelled.

    Args:
        handler: what to do with a connection, for one a coroutine function.
        address: where to listen, or a listener to use.
        config: as for `listen`.
        **overrides: as for `listen`.
    """
    listener = address if isinstance(address, AsyncListener) else await listen(address, config=config, **overrides)
    workers = _Workers(handler, listener.config)
    try:
        async for connection in listener:
            workers.take(connection)
    finally:
        try:
            await listener.close()
            await workers.join(listener.config.linger)
        finally:
            await workers.cancel()


class _Workers:
    """The tasks of a `serve`."""

    def __init__(self, handler: Callable[[AsyncConnection], Awaitable[object]], config: Config) -> None:
        self._handler = handler
        self._shares = Shares[Carrier, AsyncConnection](config.max_handlers or sys.maxsize, config.backlog)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, connection: AsyncConnection) -> None:
        """Begin a task for a connection, or let it wait for one."""
        match self._shares.come(connection.carrier, connection):
            case Verdict.BEGIN:
                self._begin(connection.carrier, connection)
            case Verdict.REFUSE:
                connection.refuse(NO_ROOM)
            case Verdict.WAIT:
                if self._shares.waiting == 1:
                    log.warning(NO_HANDLER, connection.id, connection.peer)

    def _begin(self, peer: Carrier, connection: AsyncConnection) -> None:
        task = asyncio.create_task(self._work(connection), name=f"tcpconn-{connection.id!r}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(partial(self._ended, peer))

    def _ended(self, peer: Carrier, _: asyncio.Task[None]) -> None:
        self._shares.leave(peer)
        following = self._shares.next()
        if following is not None:
            self._begin(*following)

    async def _work(self, connection: AsyncConnection) -> None:
        if not connection.spent:
            await _handle(self._handler, connection)

    async def join(self, limit: float | None) -> None:
        """Wait up to `limit` seconds for the handlers, also of what waits."""
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self._tasks:
                    await asyncio.wait(list(self._tasks))

    async def cancel(self) -> None:
        """End the handlers that still run; what still waits is dropped."""
        self._shares.clear()
        for task in self._tasks:
            task.cancel()
        while self._tasks:
            await asyncio.wait(list(self._tasks))


async def _handle(handler: Callable[[AsyncConnection], Awaitable[object]], connection: AsyncConnection) -> None:
    try:
        async with connection:
            await handler(connection)
    except ConnectionClosed as error:
        log.debug("a handler met the end of its connection: %s", error)
    except ConnectionLost as error:
        log.warning("a handler lost its connection: %s", error)
    except Exception:
        log.exception("the handler of id %r from %s failed", connection.id, connection.peer)

"""Both flavours of the API in the form of the blocking one, so that one set of test cases serves both.

`Blocking` is the blocking API itself. `Asyncio` runs an event loop in a thread of its own and carries out there, one by one,
what a test asks for; the test's threads wait for the outcome.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from inspect import isasyncgen, iscoroutine, isgenerator
from threading import Thread
from types import TracebackType
from typing import Any, Protocol, TypeVar, cast

import uvloop

import tcpconn
from tcpconn import aio
from tcpconn.aio.waiting import Opening

__all__ = ["FLAVOURS", "Api", "Asyncio", "Blocking", "Mixed"]

T = TypeVar("T")

_LIMIT = 50.0
"""Seconds for one call; less than the time that a test has, so that the call is seen in the traceback."""


class Api(Protocol):
    """The public names, whichever flavour is beneath."""

    @property
    def connect(self) -> Callable[..., tcpconn.Connection]: ...

    @property
    def listen(self) -> Callable[..., tcpconn.Listener]: ...

    @property
    def serve(self) -> Callable[..., None]: ...

    @property
    def wrap(self) -> Callable[..., tcpconn.Listener]: ...

    @property
    def Pool(self) -> Callable[..., tcpconn.Pool]: ...

    def close(self) -> None: ...


class Blocking:
    connect = staticmethod(tcpconn.connect)
    listen = staticmethod(tcpconn.listen)
    serve = staticmethod(tcpconn.serve)
    wrap = staticmethod(tcpconn.wrap)
    Pool = tcpconn.Pool

    def close(self) -> None:
        """There is nothing to end."""


class Asyncio:
    """An event loop in a thread, and the asyncio API as seen from other threads."""

    def __init__(self, loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None) -> None:
        self._runner = asyncio.Runner(loop_factory=loop_factory)
        self.loop = self._runner.get_loop()
        self._threads = ThreadPoolExecutor(200, "handler")
        self._over = asyncio.Event()
        self._under_way: set[Future[Any]] = set()
        self._thread = Thread(target=self._run, name="event-loop", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._runner:
            self._runner.run(self._over.wait())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Carry a coroutine out in the loop's thread and return what it returns."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        self._under_way.add(future)
        try:
            return future.result(_LIMIT)
        except BaseException:
            future.cancel()
            raise
        finally:
            self._under_way.discard(future)

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something in the loop's thread; await what it returns if that can be, and wrap it if it has methods to await."""

        async def call() -> Any:
            result = function(*args, **kwargs)
            return await result if iscoroutine(result) or isinstance(result, Opening) else result

        return self._wrapped(self.run(call()))

    def _wrapped(self, result: Any) -> Any:
        if isinstance(result, aio.AsyncConnection | aio.AsyncListener | aio.Pool):
            return _Awaited(self, result)
        return self._iterate(result) if isasyncgen(result) else result

    def _iterate(self, iterator: AsyncIterator[T]) -> Iterator[T]:
        async def step() -> T:
            return await anext(iterator)

        while True:
            try:
                item = self.run(step())
            except StopAsyncIteration:
                return
            yield self._wrapped(item)

    def source(self, items: Any) -> Any:
        """Return what gives `items`, a generator's from a thread of its own: it may take its time."""
        return self._drain(items) if isgenerator(items) else items

    async def _drain(self, items: Iterator[T]) -> AsyncIterator[T]:
        over = object()
        while (item := await self.loop.run_in_executor(self._threads, next, items, over)) is not over:
            yield cast(T, item)

    # the API

    def connect(self, *args: Any, pool: Any = None, **kwargs: Any) -> Any:
        return self.call(aio.connect, *args, pool=None if pool is None else pool.inner, **kwargs)

    def listen(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(aio.listen, *args, **kwargs)

    def wrap(self, *args: Any, **kwargs: Any) -> Any:
        return self.call(aio.wrap, *args, **kwargs)

    def Pool(self, *args: Any) -> Any:
        return self.call(aio.Pool, *args)

    def serve(self, handler: Callable[[Any], object], address: Any, **kwargs: Any) -> None:
        async def handle(connection: aio.AsyncConnection) -> None:
            await self.loop.run_in_executor(self._threads, handler, _Awaited(self, connection))

        self.call(aio.serve, handle, address.inner if isinstance(address, _Awaited) else address, **kwargs)

    def close(self) -> None:
        """End the loop; it closes what is still open. What other threads have asked for is waited for first: servers' ends."""
        wait(self._under_way.copy(), _LIMIT)
        self.loop.call_soon_threadsafe(self._over.set)
        self._thread.join(_LIMIT)
        assert not self._thread.is_alive(), "the event loop does not end"
        self._threads.shutdown()


class _Awaited:
    """A connection, a listener or a pool whose methods are carried out by the loop."""

    def __init__(self, api: Asyncio, inner: Any) -> None:
        self._api = api
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.inner, name)
        if not callable(value):
            return value
        if name in ("send_many", "send_stream"):
            return lambda source, *args, **kwargs: self._api.call(value, self._api.source(source), *args, **kwargs)
        return lambda *args, **kwargs: self._api.call(value, *args, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        return self._api._iterate(self.inner)

    def __enter__(self) -> _Awaited:
        self._api.run(self.inner.__aenter__())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._api.run(self.inner.__aexit__(kind, error, trace))

    def __repr__(self) -> str:
        return repr(self.inner)


class Mixed:
    """One flavour connects, the other listens."""

    def __init__(self, client: Api, server: Api) -> None:
        self._both = client, server
        self.connect, self.Pool = client.connect, client.Pool
        self.listen, self.serve, self.wrap = server.listen, server.serve, server.wrap

    def close(self) -> None:
        for api in self._both:
            api.close()


FLAVOURS: dict[str, Callable[[], Api]] = {
    "blocking": Blocking,
    "asyncio": lambda: cast(Api, Asyncio()),
    "uvloop": lambda: cast(Api, Asyncio(uvloop.new_event_loop)),
    "blocking to asyncio": lambda: cast(Api, Mixed(Blocking(), cast(Api, Asyncio()))),
    "asyncio to blocking": lambda: cast(Api, Mixed(cast(Api, Asyncio()), Blocking())),
}

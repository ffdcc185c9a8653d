"""The peers of the library websockets: its blocking API, and its asyncio API, one WebSocket for each connection.

A message is a binary message of the WebSocket. Compression is off, as its documents advise where bandwidth is not short;
there is no bound on a message's size (1 MiB otherwise), and no keep-alive pings, which end a connection whose reader takes its
time. The library turns Nagle's algorithm off by itself, and masks what clients send by an extension in C.
See https://websockets.readthedocs.io/en/stable/topics/compression.html and topics/keepalive.html there.

With the blocking API a thread of the library's reads the socket and hands each message on to the one that asks for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tcpconn_bench.subjects.base import AsyncEndpoint, Endpoint, Message
from tcpconn_bench.subjects.peers import Peer

if TYPE_CHECKING:
    from websockets.asyncio.connection import Connection as AsyncConnection
    from websockets.asyncio.server import Server as AsyncServer
    from websockets.asyncio.server import ServerConnection as AsyncServerConnection
    from websockets.sync.connection import Connection
    from websockets.sync.server import ServerConnection

__all__ = ["Websockets", "WebsocketsAsyncio"]

_OPTIONS: dict[str, Any] = {"compression": None, "max_size": None, "ping_interval": None}


class _Endpoint:
    """A WebSocket; its own methods are what the comparison calls."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.send = connection.send
        self.receive = cast("Any", connection.recv)

    def send_many(self, messages: Sequence[bytes]) -> None:
        send = self._connection.send
        for message in messages:
            send(message)

    def receive_many(self, count: int) -> Sequence[Message]:
        receive = self.receive
        return [receive() for _ in range(count)]

    def close(self) -> None:
        self._connection.close()


class _Listener:
    """A server of the library's, which has a thread for each connection; it sleeps until all is over."""

    def __init__(self) -> None:
        from websockets.sync.server import serve

        self._accepted: SimpleQueue[_Endpoint] = SimpleQueue()
        self._over = threading.Event()
        self._server = serve(self._handle, "127.0.0.1", 0, **_OPTIONS)
        self._thread = threading.Thread(target=self._server.serve_forever, name="websockets server", daemon=True)
        self._thread.start()

    def _handle(self, connection: ServerConnection) -> None:
        # The library closes a connection when this returns, and a server that is shut down waits for that.
        self._accepted.put(_Endpoint(connection))
        self._over.wait()

    @property
    def address(self) -> str:
        host, port = self._server.socket.getsockname()[:2]
        return f"{host}:{port}"

    def accept(self) -> Endpoint:
        return self._accepted.get()

    def close(self) -> None:
        self._over.set()
        self._server.shutdown()
        self._thread.join()


class Websockets(Peer):
    """The subject; see the module's text."""

    name = "websockets"
    needs: ClassVar[Mapping[str, str]] = {"websockets": "websockets"}
    options: ClassVar[Mapping[str, Any]] = _OPTIONS

    def listen(self) -> _Listener:
        return _Listener()

    def connect(self, address: str) -> Endpoint:
        from websockets.sync.client import connect

        # Entered as the context manager that it is, which one without a `with` is asked to be, and left by `close`.
        return _Endpoint(connect(f"ws://{address}", proxy=None, **_OPTIONS).__enter__())


class _AsyncEndpoint:
    """A WebSocket on an event loop; its own methods are what the comparison calls."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self.send = connection.send
        self.receive = cast("Any", connection.recv)

    async def send_many(self, messages: Sequence[bytes]) -> None:
        send = self._connection.send
        for message in messages:
            await send(message)

    async def receive_many(self, count: int) -> Sequence[Message]:
        receive = self.receive
        return [await receive() for _ in range(count)]

    async def close(self) -> None:
        await self._connection.close()


class _AsyncListener:
    """A server of the library's, which has a task for each connection."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[_AsyncEndpoint] = asyncio.Queue()
        self._over = asyncio.Event()
        self._server: AsyncServer

    async def start(self) -> None:
        from websockets.asyncio.server import serve

        self._server = await serve(self._handle, "127.0.0.1", 0, **_OPTIONS)

    async def _handle(self, connection: AsyncServerConnection) -> None:
        self._accepted.put_nowait(_AsyncEndpoint(connection))
        await self._over.wait()

    @property
    def address(self) -> str:
        host, port = next(iter(self._server.sockets)).getsockname()[:2]
        return f"{host}:{port}"

    async def accept(self) -> AsyncEndpoint:
        return await self._accepted.get()

    async def close(self) -> None:
        self._over.set()
        self._server.close()


class WebsocketsAsyncio(Peer):
    """The asyncio API; see the module's text."""

    name = "websockets-asyncio"
    needs: ClassVar[Mapping[str, str]] = {"websockets": "websockets"}
    options: ClassVar[Mapping[str, Any]] = _OPTIONS

    async def listen(self) -> _AsyncListener:
        listener = _AsyncListener()
        await listener.start()
        return listener

    async def connect(self, address: str) -> AsyncEndpoint:
        from websockets.asyncio.client import connect

        return _AsyncEndpoint(await connect(f"ws://{address}", proxy=None, **_OPTIONS))

"""The asyncio API of tcpconn on each of its backends, with the configuration in force here; see `ours`."""

from __future__ import annotations

from collections.abc import Sequence

from tcpconn import aio
from tcpconn_bench.subjects.base import Message
from tcpconn_bench.subjects.ours import Backend, where
from tcpconn_bench.subjects.places import SocketPath

__all__ = ["TcpconnAsyncio"]


class _Endpoint:
    """A logical connection; its own methods are what the comparison calls, with nothing in between."""

    def __init__(self, connection: aio.AsyncConnection) -> None:
        self._connection = connection
        self.send = connection.send
        self.receive = connection.receive
        self.send_many = connection.send_many
        self.close = connection.close

    async def receive_many(self, count: int) -> Sequence[Message]:
        receive_many = self._connection.receive_many
        found = await receive_many(count)
        while len(found) < count:
            found += await receive_many(count - len(found))
        return found


class _Listener:
    """A listener, and the place of its socket if that is one of its own."""

    def __init__(self, listener: aio.AsyncListener, place: SocketPath | None) -> None:
        self._listener = listener
        self._place = place
        self.address = listener.address

    async def accept(self) -> _Endpoint:
        return _Endpoint(await self._listener.accept())

    async def close(self) -> None:
        await self._listener.close()
        if self._place is not None:
            self._place.remove()


class TcpconnAsyncio(Backend):
    """The subject; see the module's text."""

    async def listen(self) -> _Listener:
        place = SocketPath() if self.unix else None
        return _Listener(await aio.listen(where(place), **self.overrides), place)

    async def connect(self, address: str) -> _Endpoint:
        return _Endpoint(await aio.connect(address, **self.overrides))

"""The floor of the zmq backend under asyncio: `zmq.asyncio` as its manual shows it, a DEALER to a ROUTER; see `plain_pyzmq`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tcpconn_bench.subjects.base import Message, Traits
from tcpconn_bench.subjects.places import host
from tcpconn_bench.subjects.plain_pyzmq import NO_COPY, OfPyzmq

if TYPE_CHECKING:
    import zmq.asyncio

__all__ = ["PlainZmqAsyncio"]


class _Dealer:
    """The client's end."""

    def __init__(self, address: str) -> None:
        import zmq
        import zmq.asyncio

        # One for the process, as the manual has it, however many sockets it has.
        self._socket: zmq.asyncio.Socket = zmq.asyncio.Context.instance().socket(zmq.DEALER)
        self._socket.connect(address)

    async def send(self, message: bytes) -> None:
        await self._socket.send(message)

    async def receive(self) -> Message:
        message: bytes = await self._socket.recv()
        return message

    async def send_many(self, messages: Sequence[bytes]) -> None:
        send = self._socket.send
        for message in messages:
            await send(message, copy=len(message) < NO_COPY)

    async def receive_many(self, count: int) -> Sequence[Message]:
        return [await self.receive() for _ in range(count)]

    async def close(self) -> None:
        self._socket.close()


class _Router:
    """The server's end: listener and endpoint in one, since a ROUTER has one socket for all peers."""

    def __init__(self) -> None:
        import zmq
        import zmq.asyncio

        self._context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._identity = b""
        self._socket.bind(f"tcp://{host()}:*")
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    async def accept(self) -> _Router:
        return self

    async def send(self, message: bytes) -> None:
        await self._socket.send_multipart((self._identity, message))

    async def receive(self) -> Message:
        self._identity, message = await self._socket.recv_multipart()
        return message

    async def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            await self.send(message)

    async def receive_many(self, count: int) -> Sequence[Message]:
        return [await self.receive() for _ in range(count)]

    async def close(self) -> None:
        self._socket.close()
        self._context.term()


class PlainZmqAsyncio(OfPyzmq):
    """The subject; see the module's text."""

    name = "plain-zmq.asyncio"
    traits = Traits(one_endpoint=True)

    async def listen(self) -> _Router:
        return _Router()

    async def connect(self, address: str) -> _Dealer:
        return _Dealer(address)

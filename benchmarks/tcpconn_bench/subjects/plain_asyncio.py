"""The floors of asyncio: a bare `asyncio.Protocol`, and asyncio's streams, with a length of four bytes before each message.

Written as a careful user would write them who needs no more: small messages joined before they are written, large ones not,
many small ones cut out of one read, flow control obeyed.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from tcpconn_bench.subjects.base import AsyncEndpoint, Message
from tcpconn_bench.subjects.places import host

__all__ = ["PlainProtocol", "PlainStreams"]

_LENGTH = struct.Struct("!I")
_BATCH = 64 * 1024
_LARGE = 32 * 1024


def _framed(messages: Sequence[bytes]) -> list[list[bytes]]:
    """Return messages with their lengths in lists of pieces to be written together."""
    pack = _LENGTH.pack
    batches: list[list[bytes]] = []
    waiting = _BATCH
    for message in messages:
        if waiting >= _BATCH:
            batches.append([])
            waiting = 0
        # An empty piece at the end is one that `writelines` of Python 3.12.1 and 3.13.0 is never done with.
        batches[-1] += (pack(len(message)), message) if message else (pack(0),)
        waiting += len(message)
    return batches


class _ProtocolEnd(asyncio.Protocol):
    """One end: a protocol whose received messages a task awaits."""

    def __init__(self, on_made: Callable[[_ProtocolEnd], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_made = on_made
        self._messages: deque[bytes] = deque()
        self._rest = b""
        self._pieces: list[bytes] = []
        self._missing = 0
        self._waiting: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._ended = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._on_made is not None:
            self._on_made(self)

    def data_received(self, data: bytes) -> None:
        if self._missing > len(data):
            # In the middle of a large message: its pieces are joined once.
            self._pieces.append(data)
            self._missing -= len(data)
            return
        if self._pieces:
            data = b"".join([*self._pieces, data])
            self._pieces = []
            self._missing = 0
        offset, end = 0, len(data)
        while end - offset >= 4:
            stop = offset + 4 + _LENGTH.unpack_from(data, offset)[0]
            if stop > end:
                self._missing = stop - end
                break
            self._messages.append(data[offset + 4 : stop])
            offset = stop
        if offset < end:
            self._pieces = [data[offset:] if offset else data]
            self._missing = self._missing or 4 - (end - offset)
        if self._messages:
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._wake()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def send(self, message: bytes) -> None:
        if len(message) < _LARGE:
            self._transport.write(_LENGTH.pack(len(message)) + message)
        else:
            self._transport.writelines((_LENGTH.pack(len(message)), message))
        if self._room is not None:
            await self._room

    async def send_many(self, messages: Sequence[bytes]) -> None:
        for pieces in _framed(messages):
            self._transport.writelines(pieces)
            if self._room is not None:
                await self._room

    async def receive(self) -> Message:
        while not self._messages:
            if self._ended:
                raise ConnectionError("the peer closed the connection")
            self._waiting = self._loop.create_future()
            await self._waiting
        return self._messages.popleft()

    async def receive_many(self, count: int) -> Sequence[Message]:
        found: list[Message] = []
        messages = self._messages
        while len(found) < count:
            found.append(await self.receive())
            while messages and len(found) < count:
                found.append(messages.popleft())
        return found

    async def close(self) -> None:
        self._transport.close()


class _StreamsEnd:
    """One end: a `StreamReader` and a `StreamWriter`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: bytes) -> None:
        if len(message) < _LARGE:
            self._writer.write(_LENGTH.pack(len(message)) + message)
        else:
            self._writer.writelines((_LENGTH.pack(len(message)), message))
        await self._writer.drain()

    async def send_many(self, messages: Sequence[bytes]) -> None:
        for pieces in _framed(messages):
            self._writer.writelines(pieces)
            await self._writer.drain()

    async def receive(self) -> Message:
        read = self._reader.readexactly
        return await read(_LENGTH.unpack(await read(4))[0])

    async def receive_many(self, count: int) -> Sequence[Message]:
        return [await self.receive() for _ in range(count)]

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


class _Listener:
    """A listening socket."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[AsyncEndpoint] = asyncio.Queue()
        self._server: asyncio.Server

    async def listen_with_protocols(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _ProtocolEnd(self._accepted.put_nowait), host(), 0)

    async def listen_with_streams(self) -> None:
        async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._accepted.put_nowait(_StreamsEnd(reader, writer))

        self._server = await asyncio.start_server(accepted, host(), 0)

    @property
    def address(self) -> str:
        name, port = self._server.sockets[0].getsockname()[:2]
        return f"{name}:{port}"

    async def accept(self) -> AsyncEndpoint:
        return await self._accepted.get()

    async def close(self) -> None:
        self._server.close()


class PlainProtocol:
    """The subject; see the module's text."""

    name = "plain-protocol"
    role = "floor"
    floor: str | None = None

    def unavailable(self) -> str | None:
        return None

    def settings(self) -> Mapping[str, Any]:
        return {"framing": "4-byte length", "write_batch": _BATCH}

    async def listen(self) -> _Listener:
        listener = _Listener()
        await listener.listen_with_protocols()
        return listener

    async def connect(self, address: str) -> AsyncEndpoint:
        name, _, port = address.rpartition(":")
        _, end = await asyncio.get_running_loop().create_connection(_ProtocolEnd, name, int(port))
        return end


class PlainStreams(PlainProtocol):
    """asyncio's streams; see the module's text."""

    name = "plain-streams"

    async def listen(self) -> _Listener:
        listener = _Listener()
        await listener.listen_with_streams()
        return listener

    async def connect(self, address: str) -> AsyncEndpoint:
        name, _, port = address.rpartition(":")
        return _StreamsEnd(*await asyncio.open_connection(name, int(port)))

"""The peer NATS: a subject for each direction of a connection, core NATS by nats-py, and a server of its own.

Whoever listens starts a `nats-server` on a free port of the loopback interface and ends it with itself; its processor time and
memory are those of the server's side. Core NATS delivers at most once: the server cuts a receiver off for which it has to keep
too much, and nats-py discards what is beyond its own bounds. So that no message is lost here these bounds are off or large,
messages may have 64 MiB (1 MiB otherwise), and whoever streams waits for the server, every 4 MiB, by `flush`. JetStream, which
stores messages, is not used. See https://docs.nats.io/nats-concepts/core-nats and
https://docs.nats.io/running-a-nats-service/configuration#connections.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from tcpconn_bench.subjects.base import AsyncEndpoint, Message
from tcpconn_bench.subjects.brokers import Broker, find_program
from tcpconn_bench.subjects.peers import Peer

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["NatsCore"]

_PROGRAM = "nats-server"
_MIB = 1024 * 1024
_CONFIGURATION = {"max_payload": 64 * _MIB, "max_pending": 1024 * _MIB, "write_deadline": "60s"}
"""The largest message that is allowed, and how much and how long the server keeps what a client has not taken."""

_READY = "Server is ready"
_ADDRESS = "Listening for client connections on "
_CLIENTS = "clients"
_FLUSHED = 4 * _MIB


async def _connected(address: str) -> Client:
    import nats

    return await nats.connect(f"nats://{address}", allow_reconnect=False, flush_timeout=60)


class _Endpoint:
    """One end: publishes on one subject, and is subscribed to another. A message with headers says that the other has gone."""

    def __init__(self, client: Client, out: str) -> None:
        self._client = client
        self._out = out
        self._messages: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._ended = False

    async def subscribe(self, subject: str) -> None:
        # By a callback: `next_msg` makes a task for each message.
        await self._client.subscribe(subject, cb=self._arrived, pending_msgs_limit=0, pending_bytes_limit=0)
        await self._client.flush()

    async def _arrived(self, message: Msg) -> None:
        if message.headers is None:
            self._messages.append(message.data)
        else:
            self._ended = True
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def send(self, message: bytes) -> None:
        await self._client.publish(self._out, message)

    async def send_many(self, messages: Sequence[bytes]) -> None:
        publish = self._client.publish
        size = 0
        for message in messages:
            await publish(self._out, message)
            size += len(message)
            if size >= _FLUSHED:
                await self._client.flush(60)
                size = 0

    async def receive(self) -> Message:
        while not self._messages:
            if self._ended:
                raise ConnectionError("the peer has gone")
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._messages.popleft()

    async def receive_many(self, count: int) -> Sequence[Message]:
        return [await self.receive() for _ in range(count)]

    async def close(self) -> None:
        from nats.errors import Error

        # The side that has the server may have closed first.
        with suppress(Error, OSError):
            await self._client.publish(self._out, headers={"end": "end"})
            await self._client.flush()
        await self._client.close()


class _Listener:
    """A NATS server, and the subject on which clients ask to be accepted."""

    def __init__(self) -> None:
        self._asking: asyncio.Queue[Msg] = asyncio.Queue()
        self._broker: Broker
        self._client: Client
        self.address = ""

    async def start(self) -> None:
        program = find_program(_PROGRAM)
        assert program is not None
        with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
            file.write(json.dumps(_CONFIGURATION))
            file.flush()
            command = [program, "--addr", "127.0.0.1", "--port", "-1", "--config", file.name]
            self._broker = await asyncio.to_thread(Broker, command, _READY)
        (line,) = (line for line in self._broker.said if _ADDRESS in line)
        self.address = line.partition(_ADDRESS)[2]
        self._client = await _connected(self.address)
        await self._client.subscribe(_CLIENTS, cb=self._asking.put)
        await self._client.flush()

    async def accept(self) -> AsyncEndpoint:
        asking = await self._asking.get()
        identity = asking.data.decode()
        end = _Endpoint(await _connected(self.address), f"{identity}.client")
        await end.subscribe(f"{identity}.server")
        await asking.respond(b"")
        return end

    async def close(self) -> None:
        await self._client.close()
        await asyncio.to_thread(self._broker.close)


class NatsCore(Peer):
    """The subject; see the module's text."""

    name = "nats"
    needs: ClassVar[Mapping[str, str]] = {"nats": "nats-py"}
    options: ClassVar[Mapping[str, Any]] = {"server": _CONFIGURATION, "flush": f"every {_FLUSHED} bytes"}

    def unavailable(self) -> str | None:
        missing = None if find_program(_PROGRAM) else f"there is no {_PROGRAM} on the path"
        return super().unavailable() or missing

    async def listen(self) -> _Listener:
        listener = _Listener()
        await listener.start()
        return listener

    async def connect(self, address: str) -> AsyncEndpoint:
        client = await _connected(address)
        identity = uuid.uuid4().hex
        end = _Endpoint(client, f"{identity}.server")
        await end.subscribe(f"{identity}.client")
        await client.request(_CLIENTS, identity.encode(), timeout=60)
        return end

"""The peers of gRPC: unary calls, and one bidirectional stream, both of grpcio's asyncio API, messages as they are.

No protobuf is involved: the serializers are left out, so what is measured is gRPC itself. The asyncio API is what gRPC's guide
to performance advises in Python, and in a server of threads each message would change threads twice more to reach the one that
asks for it. The bounds on a message's size are off (4 MiB otherwise); all else is the default, which has no Nagle's algorithm.
See https://grpc.io/docs/guides/performance/ and https://grpc.github.io/grpc/python/grpc_asyncio.html.

- `grpc-unary`: see `calls`. A round trip is one call. A stream is a call for each message, up to 64 of them under way; gRPC
  does not keep calls in order, so each message goes with a number of four bytes before it.
- `grpc-stream`: one call for the connection; a message is a message of the stream in its direction, in order.
"""

from __future__ import annotations

import asyncio
import struct
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tcpconn_bench.subjects.base import AsyncEndpoint, Message
from tcpconn_bench.subjects.calls import AnsweringEnd, CallingEnd
from tcpconn_bench.subjects.peers import Peer

if TYPE_CHECKING:
    import grpc

__all__ = ["GrpcStream", "GrpcUnary"]

_OPTIONS = {"grpc.max_receive_message_length": -1, "grpc.max_send_message_length": -1}

_WINDOW = 64
"""Measured: 100 B streamed took 250 µs a message with so many calls under way, 531 one after another; more gained nothing."""

_SERVICE = "tcpconn.Messages"
_NUMBER = struct.Struct("!IB")
_BRINGS_NONE, _BRINGS_ONE = 0, 1
_ID = "connection"


def _client_of(context: grpc.aio.ServicerContext[Any, Any]) -> str:
    """Return which connection a call belongs to."""
    return str(dict(context.invocation_metadata() or ())[_ID])


class _Server:
    """A gRPC server with the methods of one of the subjects, on a free port."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[AsyncEndpoint] = asyncio.Queue()
        self.address = ""
        self._server: grpc.aio.Server

    async def start(self, **methods: Any) -> None:
        import grpc

        self._server = grpc.aio.server(options=list(_OPTIONS.items()))
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        await self._server.start()

    async def accept(self) -> AsyncEndpoint:
        return await self.accepted.get()

    async def close(self) -> None:
        await self._server.stop(None)


class _OfGrpc(Peer):
    needs: ClassVar[Mapping[str, str]] = {"grpc": "grpcio"}


class GrpcUnary(_OfGrpc):
    """Unary calls; see the module's text."""

    name = "grpc-unary"
    options: ClassVar[Mapping[str, Any]] = {**_OPTIONS, "calls under way": _WINDOW}

    async def listen(self) -> _Server:
        import grpc

        server = _Server()
        ends: dict[str, AnsweringEnd] = {}

        async def send(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            number, brings = _NUMBER.unpack_from(request)
            message = request[_NUMBER.size :] if brings == _BRINGS_ONE else None
            answer = await ends[_client_of(context)].answer(number, message)
            return b"" if answer is None else b"\1" + answer

        async def begin(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            end = ends[_client_of(context)] = AnsweringEnd()
            server.accepted.put_nowait(end)
            return b""

        async def hang_up(_: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
            ends.pop(_client_of(context)).hung_up()
            return b""

        methods = {"Begin": begin, "Send": send, "HangUp": hang_up}
        await server.start(**{name: grpc.unary_unary_rpc_method_handler(one) for name, one in methods.items()})
        return server

    async def connect(self, address: str) -> AsyncEndpoint:
        import grpc

        channel = grpc.aio.insecure_channel(address, options=list(_OPTIONS.items()))
        metadata = ((_ID, uuid.uuid4().hex),)
        begin: Any = channel.unary_unary(f"/{_SERVICE}/Begin")
        send: Any = channel.unary_unary(f"/{_SERVICE}/Send")
        hang_up: Any = channel.unary_unary(f"/{_SERVICE}/HangUp")

        async def call(number: int, message: bytes | None) -> bytes | None:
            brings = _BRINGS_NONE if message is None else _BRINGS_ONE
            answer: bytes = await send(_NUMBER.pack(number, brings) + (message or b""), metadata=metadata)
            return answer[1:] if answer else None

        async def end() -> None:
            # The server may have stopped first.
            with suppress(grpc.RpcError):
                await hang_up(b"", metadata=metadata)

        await begin(b"", metadata=metadata)
        return _Calling(channel, CallingEnd(call, _WINDOW, end))


class _Calling:
    """The client's end of a connection of unary calls, and its channel."""

    def __init__(self, channel: grpc.aio.Channel, end: CallingEnd) -> None:
        self._channel = channel
        self._end = end
        self.send = end.send
        self.receive = end.receive
        self.send_many = end.send_many
        self.receive_many = end.receive_many

    async def close(self) -> None:
        await self._end.close()
        await self._channel.close()


class _Streaming:
    """One end of a bidirectional stream: a call at the client, its context at the server."""

    def __init__(self, call: Any, channel: grpc.aio.Channel | None = None) -> None:
        import grpc

        self._call = call
        self._channel = channel
        self._end_of_stream = grpc.aio.EOF
        self.send = call.write
        self.closed = asyncio.Event()

    async def receive(self) -> Message:
        message = await self._call.read()
        if message is self._end_of_stream:
            raise ConnectionError("the peer has ended the stream")
        return cast("bytes", message)

    async def send_many(self, messages: Sequence[bytes]) -> None:
        send = self.send
        for message in messages:
            await send(message)

    async def receive_many(self, count: int) -> Sequence[Message]:
        receive = self.receive
        return [await receive() for _ in range(count)]

    async def close(self) -> None:
        self.closed.set()
        if self._channel is not None:
            await self._call.done_writing()
            await self._channel.close(None)


class GrpcStream(_OfGrpc):
    """One bidirectional stream; see the module's text."""

    name = "grpc-stream"
    options: ClassVar[Mapping[str, Any]] = dict(_OPTIONS)

    async def listen(self) -> _Server:
        import grpc

        server = _Server()

        async def carry(_: object, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
            end = _Streaming(context)
            server.accepted.put_nowait(end)
            # The client need not send anything first to know that it is connected.
            await context.send_initial_metadata(())
            await end.closed.wait()

        await server.start(Carry=grpc.stream_stream_rpc_method_handler(carry))
        return server

    async def connect(self, address: str) -> AsyncEndpoint:
        import grpc

        channel = grpc.aio.insecure_channel(address, options=list(_OPTIONS.items()))
        call: Any = channel.stream_stream(f"/{_SERVICE}/Carry")()
        await call.initial_metadata()
        return _Streaming(call, channel)

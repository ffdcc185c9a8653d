"""The asyncio API of one logical connection: sending, receiving, closing."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from tcpconn.aio.waiting import carry_out, wait
from tcpconn.carrier import Carrier
from tcpconn.connection import LogicalConnection, after
from tcpconn.errors import ConnectionClosed, TcpconnError
from tcpconn.payloads import ReadableFile, chunks, to_bytes
from tcpconn.stream import Stream
from tcpconn.transport import Buffer

if TYPE_CHECKING:
    from tcpconn.aio.pool import AsyncPool

__all__ = ["AsyncConnection"]

T = TypeVar("T")


class AsyncConnection(LogicalConnection):
    """One logical connection: whole messages, each once and in order. Any number of tasks may use it at a time.

    Made by `aio.connect()` or by a listener; an asynchronous context manager that closes it, and an asynchronous iterator
    over received messages that ends when the peer closes. It belongs to the event loop that it was made on.
    """

    __slots__ = ("_thread",)

    _pool: AsyncPool | None

    def __init__(self, carrier: Carrier, stream: Stream, pool: AsyncPool | None = None) -> None:
        super().__init__(carrier, stream, pool)
        self._thread = get_ident()

    # -- sending

    async def send(self, message: Buffer, timeout: float | None = None) -> None:
        """Send a message; waits only while the peer's credit is used up, or the link is full.

        With credit to spare this does not give way to other tasks: a burst of messages is gathered and written together,
        and a turn of the loop for each would cost more than sending it. `await asyncio.sleep(0)` gives way.

        `bytes` are kept by reference until the peer's library has acknowledged them; any other buffer is copied, so the
        caller may reuse it at once. To know that the peer's library has the message, use `flush`. If it is cancelled the
        message was sent whole or not at all.

        Args:
            message: any bytes-like object, an empty one too.
            timeout: seconds to wait for credit; None is for ever.

        Raises:
            TimedOut: no credit in time; nothing was sent.
            MessageTooLarge: longer than the peer's `max_message`; nothing was sent.
            ConnectionClosed, ConnectionLost: the connection has ended.
            TypeError: not a bytes-like object.
            RuntimeError: called in another thread than the event loop's.
        """
        payload = message if type(message) is bytes else to_bytes(message)
        self._check_thread()
        stream = self._stream
        with self._lock:
            if not self._outbox.send(stream, payload):
                await carry_out(self._sending(payload, timeout))
            if self._carrier.write_or_defer(stream):
                await carry_out(self._unblocking(timeout))

    async def send_many(self, messages: Iterable[Buffer] | AsyncIterable[Buffer], timeout: float | None = None) -> int:
        """Send messages one after another and write them out; return how many.

        Raises:
            Whatever `send` raises; the messages before the one that failed were sent.
        """
        if isinstance(messages, list | tuple):
            with self._lock:
                await carry_out(self._sending_all(messages, timeout))
            return len(messages)
        count = 0
        if isinstance(messages, AsyncIterable):
            async for message in messages:
                await self.send(message, timeout)
                count += 1
        else:
            for message in messages:
                await self.send(message, timeout)
                count += 1
        with self._lock:
            self._carrier.pump()
        return count

    async def send_stream(
        self, source: Iterable[Buffer] | AsyncIterable[Buffer] | ReadableFile, timeout: float | None = None
    ) -> int:
        """Send one message that need not fit into memory: chunks of an iterable or asynchronous iterable, or an open file.

        Other messages of this connection wait until it is sent; other connections go on. A file is read by the loop's
        thread, without giving way.

        Args:
            source: where the chunks come from.
            timeout: seconds to wait for credit at any one chunk; None is for ever.

        Returns:
            How many bytes were sent.

        Raises:
            TimedOut, CancelledError, or whatever `source` raises: the message is incomplete, so the connection was ended
                on both sides.
            ConnectionClosed, ConnectionLost: the connection has ended.
        """
        size = 0
        limit = self._outbox.frame_limit
        pieces = _cut(source, limit) if isinstance(source, AsyncIterable) else chunks(source, limit)
        with self._lock:
            await carry_out(self._beginning_message(timeout))
        try:
            if isinstance(pieces, AsyncIterable):
                async for chunk in pieces:
                    size += await self._send_chunk(chunk, timeout)
            else:
                for chunk in pieces:
                    size += await self._send_chunk(chunk, timeout)
            with self._lock:
                await carry_out(self._ending_message(timeout))
        except BaseException as error:
            with self._lock:
                self._give_up_message(error)
            raise
        return size

    async def _send_chunk(self, chunk: bytes, timeout: float | None) -> int:
        with self._lock:
            await carry_out(self._sending_chunk(chunk, timeout))
        return len(chunk)

    # -- receiving

    async def receive(self, timeout: float | None = None) -> bytes:
        """Return the next message.

        If it has arrived already this does not give way to other tasks: a turn of the loop for each message would cost more
        than receiving it. If it is cancelled no message is lost: the next call returns it.

        Args:
            timeout: seconds to wait; None is for ever, 0 takes only what has arrived.

        Raises:
            TimedOut: no message came in time.
            ConnectionClosed: the peer has closed the connection and everything was received.
            ConnectionLost: the connection broke and could not be resumed.
            MessageTooLarge: the next message was a stream longer than `max_message`; it was skipped.
        """
        with self._lock:
            return await self._receive(self._mux.take, timeout)

    def _check_thread(self) -> None:
        # A future would notice, but a transport does not, and what does not wait has no future.
        if get_ident() != self._thread:
            raise RuntimeError(f"{self._label()} belongs to the event loop of another thread")

    async def _receive(self, take: Callable[[Stream], T | None], timeout: float | None) -> T:
        self._check_thread()
        stream = self._stream
        try:
            item = take(stream)
            if item is None:
                carrier, deadline = self._carrier, after(timeout)
                stream.turned = True
                while item is None:
                    if not await wait(carrier, stream.waiting_list(), stream.readable, deadline):
                        raise self._no_message(timeout)
                    item = take(stream)
        except TcpconnError:
            self._write_urgent()
            raise
        if self._outbox.urgent:
            self._carrier.pump()
        return item

    async def receive_many(self, max_messages: int, timeout: float | None = None) -> list[bytes]:
        """Return at least one message and up to `max_messages`: those that have arrived.

        Raises:
            ValueError: `max_messages` is less than 1.
            Whatever `receive` raises.
        """
        if max_messages < 1:
            raise ValueError(f"max_messages={max_messages}: at least 1 is allowed")
        with self._lock:
            messages = [await self._receive(self._mux.take, timeout)]
            self._take_along(messages, max_messages)
            if self._outbox.urgent:
                self._carrier.pump()
        return messages

    async def receive_view(self, timeout: float | None = None) -> memoryview:
        """Return the next message as a read-only view of the memory that it was received into.

        Raises:
            Whatever `receive` raises.
        """
        return memoryview(await self.receive(timeout))

    async def receive_into(self, buffer: bytearray | memoryview, timeout: float | None = None) -> int:
        """Receive the next message into a buffer and return its length in bytes.

        Raises:
            MessageTooLarge: the message is longer than the buffer; it is still there for a call with a larger one.
            Whatever `receive` raises.
        """
        with memoryview(buffer).cast("B") as view, self._lock:
            return self._put_into(view, await self._receive(self._mux.take, timeout))

    async def receive_stream(self, timeout: float | None = None) -> AsyncIterator[bytes]:
        """Yield the chunks of the next message as they arrive; one sent by `send` comes as one chunk.

        Use the iterator up before the next message is received.

        Args:
            timeout: seconds to wait for each chunk; None is for ever.

        Raises:
            TimedOut: no chunk came in time; iterating over a new `receive_stream()` goes on with the next.
            Whatever else `receive` raises, but `MessageTooLarge`.
        """
        while True:
            with self._lock:
                chunk, last = await self._receive(self._mux.take_piece, timeout)
            if chunk:
                yield chunk
            if last:
                return

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield messages until the peer closes the connection.

        Raises:
            ConnectionLost: the connection broke; it does not end the loop in silence.
        """
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.receive()
        except ConnectionClosed:
            raise StopAsyncIteration from None

    # -- the end

    async def flush(self, timeout: float | None = None) -> None:
        """Return when the peer's library has acknowledged everything sent so far.

        That says nothing about the peer's application having received it.

        Raises:
            TimedOut: not everything was acknowledged in time; it is still being sent.
            ConnectionLost: the connection broke; `undelivered` says how many messages are not there.
        """
        with self._lock:
            await carry_out(self._flushing(timeout))

    async def close(self) -> None:
        """Close the connection: what was sent before still arrives, what the peer sends from now on is dropped.

        Waits up to `linger` seconds for the peer to acknowledge what was sent. Idempotent.

        Raises:
            ConnectionLost: messages are undelivered, `undelivered` of them.
            TimedOut: not everything was acknowledged within `linger`; it is still being sent while there is a link.
        """
        with self._lock:
            if not self._begin_close():
                return
        try:
            with self._lock:
                await carry_out(self._closing())
        finally:
            self._let_go()
            if self._pool is not None and self._carrier.link is None:
                await self._pool.settle()

    async def __aenter__(self) -> AsyncConnection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except TcpconnError:
            if error is None:
                raise


async def _cut(source: AsyncIterable[Buffer], limit: int) -> AsyncIterator[bytes]:
    """Yield what an asynchronous iterable gives in pieces of up to `limit` bytes."""
    async for buffer in source:
        for piece in chunks([buffer], limit):
            yield piece

"""The blocking API of one logical connection: sending, receiving, closing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from tcpconn.connection import LogicalConnection, after
from tcpconn.errors import ConnectionClosed, TcpconnError
from tcpconn.leading import carry_out, wait
from tcpconn.payloads import ReadableFile, chunks, to_bytes
from tcpconn.stream import Stream
from tcpconn.transport import Buffer
from tcpconn.yielding import acquire

__all__ = ["Connection"]

T = TypeVar("T")


class Connection(LogicalConnection):
    """One logical connection: whole messages, each once and in order. Any number of threads may use it at a time.

    Made by `connect()` or by a listener; a context manager that closes it, and an iterator over received messages that ends
    when the peer closes.
    """

    __slots__ = ()

    # -- sending

    def send(self, message: Buffer, timeout: float | None = None) -> None:
        """Send a message; waits only while the peer's credit is used up.

        `bytes` are kept by reference until the peer's library has acknowledged them; any other buffer is copied, so the
        caller may reuse it at once. To know that the peer's library has the message, use `flush`.

        Args:
            message: any bytes-like object, an empty one too.
            timeout: seconds to wait for credit; None is for ever.

        Raises:
            TimedOut: no credit in time; nothing was sent.
            MessageTooLarge: longer than the peer's `max_message`; nothing was sent.
            ConnectionClosed, ConnectionLost: the connection has ended.
            TypeError: not a bytes-like object.
        """
        payload = message if type(message) is bytes else to_bytes(message)
        stream = self._stream
        lock = self._lock
        try:
            if not lock.acquire(False):
                acquire(lock)
            if not self._outbox.send(stream, payload):
                carry_out(self._sending(payload, timeout))
            if self._carrier.write_or_defer(stream):
                carry_out(self._unblocking(timeout))
        finally:
            try:  # noqa: SIM105, a third of the time that `suppress` takes
                lock.release()
            except RuntimeError:
                pass  # an interrupt came before it was acquired

    def send_many(self, messages: Iterable[Buffer], timeout: float | None = None) -> int:
        """Send messages one after another and write them out; return how many.

        Raises:
            Whatever `send` raises; the messages before the one that failed were sent.
        """
        if isinstance(messages, list | tuple):
            with self._lock:
                carry_out(self._sending_all(messages, timeout))
            return len(messages)
        # Whatever else gives messages may take its time between two of them, so each goes out as it comes.
        count = 0
        for message in messages:
            self.send(message, timeout)
            count += 1
        with self._lock:
            self._carrier.pump()
        return count

    def send_stream(self, source: Iterable[Buffer] | ReadableFile, timeout: float | None = None) -> int:
        """Send one message that need not fit into memory: an iterable of bytes-like chunks, or a file opened for bytes.

        Other messages of this connection wait until it is sent; other connections go on.

        Args:
            source: where the chunks come from.
            timeout: seconds to wait for credit at any one chunk; None is for ever.

        Returns:
            How many bytes were sent.

        Raises:
            TimedOut, or whatever `source` raises: the message is incomplete, so the connection was ended on both sides.
            ConnectionClosed, ConnectionLost: the connection has ended.
        """
        size = 0
        pieces = chunks(source, self._outbox.frame_limit)
        with self._lock:
            carry_out(self._beginning_message(timeout))
        try:
            for chunk in pieces:
                with self._lock:
                    carry_out(self._sending_chunk(chunk, timeout))
                size += len(chunk)
            with self._lock:
                carry_out(self._ending_message(timeout))
        except BaseException as error:
            with self._lock:
                self._give_up_message(error)
            raise
        return size

    # -- receiving

    def receive(self, timeout: float | None = None) -> bytes:
        """Return the next message.

        Args:
            timeout: seconds to wait; None is for ever, 0 takes only what has arrived.

        Raises:
            TimedOut: no message came in time.
            ConnectionClosed: the peer has closed the connection and everything was received.
            ConnectionLost: the connection broke and could not be resumed.
            MessageTooLarge: the next message was a stream longer than `max_message`; it was skipped.
        """
        lock = self._lock
        try:
            if not lock.acquire(False):
                acquire(lock)
            message = self._mux.take(self._stream)
            if message is None:
                return self._await(self._mux.take, timeout)
            if self._outbox.urgent:
                self._carrier.pump()
            return message
        except TcpconnError:
            self._write_urgent()
            raise
        finally:
            try:  # noqa: SIM105, a third of the time that `suppress` takes
                lock.release()
            except RuntimeError:
                pass  # an interrupt came before it was acquired

    def _receive(self, take: Callable[[Stream], T | None], timeout: float | None) -> T:
        try:
            item = take(self._stream)
            if item is None:
                return self._await(take, timeout)
        except TcpconnError:
            self._write_urgent()
            raise
        if self._outbox.urgent:
            self._carrier.pump()
        return item

    def _await(self, take: Callable[[Stream], T | None], timeout: float | None) -> T:
        stream = self._stream
        carrier, deadline = self._carrier, None if timeout is None else after(timeout)
        stream.turned = True
        item = None
        while item is None:
            if not wait(carrier, stream.waiting_list(), stream.readable, deadline):
                raise self._no_message(timeout)
            item = take(stream)
        if self._outbox.urgent:
            carrier.pump()
        return item

    def receive_many(self, max_messages: int, timeout: float | None = None) -> list[bytes]:
        """Return at least one message and up to `max_messages`: those that have arrived.

        Raises:
            ValueError: `max_messages` is less than 1.
            Whatever `receive` raises.
        """
        if max_messages < 1:
            raise ValueError(f"max_messages={max_messages}: at least 1 is allowed")
        with self._lock:
            messages = [self._receive(self._mux.take, timeout)]
            self._take_along(messages, max_messages)
            if self._outbox.urgent:
                self._carrier.pump()
        return messages

    def receive_view(self, timeout: float | None = None) -> memoryview:
        """Return the next message as a read-only view of the memory that it was received into.

        Raises:
            Whatever `receive` raises.
        """
        return memoryview(self.receive(timeout))

    def receive_into(self, buffer: bytearray | memoryview, timeout: float | None = None) -> int:
        """Receive the next message into a buffer and return its length in bytes.

        Raises:
            MessageTooLarge: the message is longer than the buffer; it is still there for a call with a larger one.
            Whatever `receive` raises.
        """
        with memoryview(buffer).cast("B") as view, self._lock:
            return self._put_into(view, self._receive(self._mux.take, timeout))

    def receive_stream(self, timeout: float | None = None) -> Iterator[bytes]:
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
                chunk, last = self._receive(self._mux.take_piece, timeout)
            if chunk:
                yield chunk
            if last:
                return

    def __iter__(self) -> Iterator[bytes]:
        """Yield messages until the peer closes the connection.

        Raises:
            ConnectionLost: the connection broke; it does not end the loop in silence.
        """
        while True:
            try:
                message = self.receive()
            except ConnectionClosed:
                return
            yield message

    # -- the end

    def flush(self, timeout: float | None = None) -> None:
        """Return when the peer's library has acknowledged everything sent so far.

        That says nothing about the peer's application having received it.

        Raises:
            TimedOut: not everything was acknowledged in time; it is still being sent.
            ConnectionLost: the connection broke; `undelivered` says how many messages are not there.
        """
        with self._lock:
            carry_out(self._flushing(timeout))

    def close(self) -> None:
        """Close the connection: what was sent before still arrives, what the peer sends from now on is dropped.

        Waits up to `linger` seconds for the peer to acknowledge what was sent. Idempotent.

        Raises:
            ConnectionLost: messages are undelivered, `undelivered` of them.
            TimedOut: not everything was acknowledged within `linger`; it is still being sent while the process runs.
        """
        with self._lock:
            if not self._begin_close():
                return
        try:
            with self._lock:
                carry_out(self._closing())
        finally:
            self._carrier.leave_to_keeper()
            self._let_go()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except TcpconnError:
            if error is None:
                raise

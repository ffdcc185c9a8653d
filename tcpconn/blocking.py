"""The blocking API of one logical connection: sending, receiving, closing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from tcpconn.carrier import Carrier
from tcpconn.delivering import flush
from tcpconn.errors import ConnectionClosed, MessageTooLarge, TcpconnError, TimedOut
from tcpconn.frames import Code
from tcpconn.leading import wait
from tcpconn.lifecycle import State
from tcpconn.outbox import BATCH_BYTES
from tcpconn.payloads import ReadableFile, chunks, to_bytes
from tcpconn.stats import Stats
from tcpconn.stream import Incoming, Stream
from tcpconn.transport import Buffer

__all__ = ["Connection"]

T = TypeVar("T")

_TOTAL_SIZE = 8


class Connection:
    """One logical connection: whole messages, each once and in order. Any number of threads may use it at a time.

    Made by `connect()` or by a listener; a context manager that closes it, and an iterator over received messages that ends
    when the peer closes.
    """

    def __init__(self, carrier: Carrier, stream: Stream, release: Callable[[Carrier], None] | None = None) -> None:
        session = carrier.session
        assert session is not None
        self._carrier = carrier
        self._lock = carrier.lock
        self._session = session
        self._mux = session.mux
        self._outbox = session.outbox
        self._stream = stream
        self._release = release
        self._flush_interval = carrier.config.flush_interval if carrier.config.coalesce else 0.0
        self._closed = False

    # -- what it is

    @property
    def id(self) -> str | bytes:
        """The logical id, as the end that opened the connection chose it."""
        return self._stream.name

    @property
    def metadata(self) -> Mapping[str, Any]:
        """What the end that opened the connection said about it."""
        return self._stream.metadata

    @property
    def peer(self) -> str:
        """The peer's address, for people."""
        return self._carrier.address

    @property
    def state(self) -> State:
        """What the connection is doing: connected, reconnecting, draining or closed."""
        if self._closed or (self._stream.receive_failure is not None and self._stream.send_failure is not None):
            return State.CLOSED
        return self._carrier.lifecycle.state

    def on_state_change(self, callback: Callable[[State], None]) -> None:
        """Call `callback` with each new state of the link beneath this connection, from a thread of the library.

        The callback should return soon; it may use any connection but should not wait in it.
        """
        self._carrier.on_state_change(callback)

    def stats(self) -> Stats:
        """Return the figures of this connection."""
        stream = self._stream
        with self._lock:
            return Stats.of(stream, self._carrier.reconnects)

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
        with self._lock:
            if not self._outbox.send(self._stream, payload):
                self._send_later(payload, timeout)
            self._after_send(timeout)

    def send_many(self, messages: Iterable[Buffer], timeout: float | None = None) -> int:
        """Send messages one after another and write them out; return how many.

        Raises:
            Whatever `send` raises; the messages before the one that failed were sent.
        """
        if isinstance(messages, list | tuple):
            with self._lock:
                self._send_all(messages, timeout)
                self._carrier.pump()
            return len(messages)
        # Whatever else gives messages may take its time between two of them, so each goes out as it comes.
        count = 0
        for message in messages:
            self.send(message, timeout)
            count += 1
        with self._lock:
            self._carrier.pump()
        return count

    def _send_all(self, messages: Sequence[Buffer], timeout: float | None) -> None:
        outbox, stream = self._outbox, self._stream
        index = 0
        while index < len(messages):
            accepted = outbox.send_run(stream, messages, index)
            if accepted == index:
                message = messages[index]
                payload = message if type(message) is bytes else to_bytes(message)
                if not outbox.send(stream, payload):
                    self._send_later(payload, timeout)
                accepted += 1
            index = accepted
            if outbox.batch_bytes >= BATCH_BYTES or outbox.backlogged:
                self._write(timeout)

    def _send_later(self, payload: bytes, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        outbox, stream = self._outbox, self._stream
        length = len(payload)
        while not outbox.send(stream, payload):
            if not wait(self._carrier, stream.waiters, lambda: outbox.may_send(stream, length), deadline):
                raise TimedOut(
                    f"{self._label()}: the peer granted no credit for {length} bytes within {timeout} s; nothing was sent. "
                    "Its application is not receiving as fast as this end sends"
                )

    def _after_send(self, timeout: float | None) -> None:
        carrier = self._carrier
        if self._outbox.batch_bytes < BATCH_BYTES:
            now = time.monotonic()
            if carrier.turned or now - carrier.last_write >= self._flush_interval:
                carrier.turned = False
                carrier.last_write = now
            else:
                if not carrier.flush_listed:
                    carrier.flush_listed = True
                    carrier.caretaker.owe_flush(carrier)
                return
        self._write(timeout)

    def _write(self, timeout: float | None) -> None:
        carrier = self._carrier
        carrier.pump()
        if carrier.blocked:
            # The message is accepted; waiting here instead of piling up lets the link, not memory, set the pace.
            deadline = None if timeout is None else time.monotonic() + timeout
            wait(carrier, carrier.waiters, lambda: not carrier.blocked, deadline)

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
        begun = False
        stream, outbox = self._stream, self._outbox
        pieces = chunks(source, outbox.frame_limit)
        try:
            self._step(lambda: outbox.begin_message(stream), _TOTAL_SIZE, timeout, begun=False)
            begun = True
            for chunk in pieces:
                self._step(lambda chunk=chunk: outbox.send_chunk(stream, chunk), len(chunk), timeout)  # type: ignore[misc]
                size += len(chunk)
            self._step(lambda: outbox.end_message(stream), 0, timeout)
        except BaseException as error:
            if begun:
                with self._lock:
                    self._mux.reset(stream, Code.CANCELLED, f"the sender gave up in the middle of a message: {error!r:.200}")
                    self._carrier.pump()
            raise
        return size

    def _step(self, attempt: Callable[[], bool], length: int, timeout: float | None, *, begun: bool = True) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        stream, carrier = self._stream, self._carrier
        ready = self._outbox.may_step if begun else self._outbox.may_send
        with self._lock:
            while not attempt():
                if not wait(carrier, stream.waiters, lambda: ready(stream, length), deadline):
                    raise TimedOut(f"{self._label()}: the peer granted no credit within {timeout} s")
            self._after_send(timeout)

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
        with self._lock:
            return self._receive(self._mux.take, timeout)

    def _receive(self, take: Callable[[Stream], T | None], timeout: float | None) -> T:
        item = take(self._stream)
        if item is None:
            item = self._receive_later(take, timeout)
        if self._outbox.urgent:
            self._carrier.pump()
        return item

    def _receive_later(self, take: Callable[[Stream], T | None], timeout: float | None) -> T:
        carrier, stream = self._carrier, self._stream
        carrier.turned = True
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            if not wait(carrier, stream.waiters, lambda: stream.readable, deadline):
                raise TimedOut(f"{self._label()}: no message came within {timeout} s")
            item = take(stream)
            if item is not None:
                return item

    def receive_many(self, max_messages: int, timeout: float | None = None) -> list[bytes]:
        """Return at least one message and up to `max_messages`: those that have arrived.

        Raises:
            ValueError: `max_messages` is less than 1.
            Whatever `receive` raises.
        """
        if max_messages < 1:
            raise ValueError(f"max_messages={max_messages}: at least 1 is allowed")
        take, stream = self._mux.take, self._stream
        with self._lock:
            messages = [self._receive(take, timeout)]
            inbox = stream.inbox
            # A streamed message comes first or not at all: taking it may raise, and what was taken before would be lost.
            while (room := max_messages - len(messages)) and inbox and type(inbox[0]) is not Incoming:
                run = self._mux.inbox.take_run(stream, room)
                if not run:
                    message = take(stream)
                    assert message is not None
                    run.append(message)
                messages += run
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
        with memoryview(buffer).cast("B") as view:
            with self._lock:
                message = self._receive(self._mux.take, timeout)
                if len(message) > len(view):
                    # Before another thread takes the one behind it.
                    self._mux.put_back(self._stream, message)
            if len(message) > len(view):
                raise MessageTooLarge(
                    f"{self._label()}: the next message has {len(message)} bytes, the buffer {len(view)}; "
                    "receive it with a larger one"
                )
            view[: len(message)] = message
            return len(message)

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
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            if not flush(self._carrier, self._stream, deadline):
                raise TimedOut(f"{self._label()}: not everything was acknowledged within {timeout} s; it is still being sent")

    def close_sending(self) -> None:
        """Tell the peer that nothing more comes from this end; receiving goes on."""
        with self._lock:
            self._mux.close_sending(self._stream)
            self._carrier.pump()

    def refuse(self, reason: str) -> None:
        """End the connection at once in both directions and tell the peer why, instead of serving it."""
        with self._lock:
            self._mux.reset(self._stream, Code.REFUSED, reason)
            self._carrier.pump()

    def close(self) -> None:
        """Close the connection: what was sent before still arrives, what the peer sends from now on is dropped.

        Waits up to `linger` seconds for the peer to acknowledge what was sent. Idempotent.

        Raises:
            ConnectionLost: messages are undelivered, `undelivered` of them.
            TimedOut: not everything was acknowledged within `linger`; it is still being sent while the process runs.
        """
        linger = self._carrier.config.linger
        deadline = None if linger is None else time.monotonic() + linger
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._mux.close(self._stream)
            self._carrier.pump()
        try:
            with self._lock:
                if not flush(self._carrier, self._stream, deadline):
                    raise TimedOut(
                        f"{self._label()}: not everything was acknowledged within linger={linger} s; "
                        "it is still being sent while the process runs"
                    )
        finally:
            if self._release is not None:
                self._release(self._carrier)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            self.close()
        except TcpconnError:
            if error is None:
                raise

    def _label(self) -> str:
        return f"id {self.id!r} at {self._carrier.address}"

    def __repr__(self) -> str:
        return f"<Connection {self.state} id={self.id!r} peer={self._carrier.address}>"

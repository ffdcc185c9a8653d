"""What a logical connection of either flavour is: its properties, and its operations as far as they may have to wait.

The blocking `Connection` and the asyncio one derive from it; they differ in how a caller waits, and in nothing else.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from tcpconn.carrier import Carrier
from tcpconn.delivering import flush
from tcpconn.errors import MessageTooLarge, TimedOut
from tcpconn.frames import Code
from tcpconn.leasing import SharedLinks
from tcpconn.lifecycle import State
from tcpconn.outbox import BATCH_BYTES
from tcpconn.payloads import to_bytes
from tcpconn.stats import Stats
from tcpconn.steps import Steps, Wait
from tcpconn.stream import Incoming, Stream
from tcpconn.transport import Buffer
from tcpconn.writing import wake_next

__all__ = ["LogicalConnection", "after"]

T = TypeVar("T")

_TOTAL_SIZE = 8


class LogicalConnection:
    """One logical connection. Where a method says nothing else, the carrier's lock is held."""

    __slots__ = (
        "__weakref__",
        "_carrier",
        "_closed",
        "_lock",
        "_mux",
        "_outbox",
        "_pool",
        "_session",
        "_stream",
    )

    def __init__(self, carrier: Carrier, stream: Stream, pool: SharedLinks | None = None) -> None:
        session = carrier.session
        assert session is not None
        self._carrier = carrier
        self._lock = carrier.lock
        self._session = session
        self._mux = session.mux
        self._outbox = session.outbox
        self._stream = stream
        self._pool = pool
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

    @property
    def carrier(self) -> Carrier:
        """What carries it: of one peer, one session. For the library."""
        return self._carrier

    @property
    def spent(self) -> bool:
        """Whether it has ended and there is nothing more to receive. For the library."""
        return self.state is State.CLOSED and not self._stream.inbox

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

    def _sending(self, payload: bytes, timeout: float | None) -> Steps[None]:
        deadline = after(timeout)
        outbox, stream = self._outbox, self._stream
        length = len(payload)
        try:
            while not outbox.send(stream, payload):
                may_send = partial(outbox.may_send, stream, length)
                if not (yield Wait(self._carrier, stream.waiting_list(), may_send, deadline, in_turn=True)):
                    raise TimedOut(
                        f"{self._label()}: the peer granted no credit for {length} bytes within {timeout} s; nothing was sent. "
                        "Its application is not receiving as fast as this end sends"
                    )
        finally:
            wake_next(stream.waiters)

    def _sending_all(self, messages: Sequence[Buffer], timeout: float | None) -> Steps[None]:
        outbox, stream = self._outbox, self._stream
        index = 0
        while index < len(messages):
            accepted = outbox.send_run(stream, messages, index)
            if accepted == index:
                message = messages[index]
                payload = message if type(message) is bytes else to_bytes(message)
                if not outbox.send(stream, payload):
                    yield from self._sending(payload, timeout)
                accepted += 1
            index = accepted
            if outbox.batch_bytes >= BATCH_BYTES or outbox.backlogged:
                self._carrier.pump()
                if self._carrier.blocked:
                    yield from self._unblocking(timeout)
        self._carrier.pump()

    def _unblocking(self, timeout: float | None) -> Steps[None]:
        """Wait for the link; what was sent is accepted, but so the link and not memory sets the pace."""
        carrier = self._carrier
        yield Wait(carrier, carrier.waiters, lambda: not carrier.blocked, after(timeout))

    def _stepping(self, attempt: Callable[[], bool], length: int, timeout: float | None, *, begun: bool = True) -> Steps[None]:
        deadline = after(timeout)
        stream = self._stream
        ready = self._outbox.may_step if begun else self._outbox.may_send
        while not attempt():
            if not (yield Wait(self._carrier, stream.waiting_list(), lambda: ready(stream, length), deadline)):
                raise TimedOut(f"{self._label()}: the peer granted no credit within {timeout} s")
        # A message that has just begun does not wait for the link: whoever gives up here must know whether it has.
        if self._carrier.write_or_defer(stream) and begun:
            yield from self._unblocking(timeout)

    def _beginning_message(self, timeout: float | None) -> Steps[None]:
        return self._stepping(lambda: self._outbox.begin_message(self._stream), _TOTAL_SIZE, timeout, begun=False)

    def _sending_chunk(self, chunk: bytes, timeout: float | None) -> Steps[None]:
        return self._stepping(lambda: self._outbox.send_chunk(self._stream, chunk), len(chunk), timeout)

    def _ending_message(self, timeout: float | None) -> Steps[None]:
        return self._stepping(lambda: self._outbox.end_message(self._stream), 0, timeout)

    def _give_up_message(self, error: BaseException) -> None:
        if self._session.ended is not None:
            # There is nobody to tell, and what has arrived can still be received.
            return
        self._mux.reset(self._stream, Code.CANCELLED, f"the sender gave up in the middle of a message: {error!r:.200}")
        self._carrier.pump()

    # -- receiving

    # Waiting for a message is not among the steps above but in each flavour's `_receive`: it is on the way of every message.

    def _no_message(self, timeout: float | None) -> TimedOut:
        return TimedOut(f"{self._label()}: no message came within {timeout} s")

    def _write_urgent(self) -> None:
        """Write the credit of what was taken before it was found that no message comes of it: the peer may wait for it."""
        if self._outbox.urgent:
            self._carrier.pump()

    def _take_along(self, messages: list[bytes], max_messages: int) -> None:
        """Add the messages that have arrived behind those that were taken."""
        take, stream = self._mux.take, self._stream
        # A streamed message comes first or not at all: taking it may raise, and what was taken before would be lost.
        while (room := max_messages - len(messages)) and stream.inbox and type(stream.inbox[0]) is not Incoming:
            run = self._mux.inbox.take_run(stream, room)
            if not run:
                message = take(stream)
                assert message is not None
                run.append(message)
            messages += run

    def _put_into(self, view: memoryview, message: bytes) -> int:
        length = len(message)
        if length > len(view):
            # Before another thread takes the one behind it.
            self._mux.put_back(self._stream, message)
            raise MessageTooLarge(
                f"{self._label()}: the next message has {length} bytes, the buffer {len(view)}; receive it with a larger one"
            )
        view[:length] = message
        return length

    # -- the end

    def _flushing(self, timeout: float | None) -> Steps[None]:
        if not (yield from flush(self._carrier, self._stream, after(timeout))):
            raise TimedOut(f"{self._label()}: not everything was acknowledged within {timeout} s; it is still being sent")

    def _closing(self) -> Steps[None]:
        linger = self._carrier.config.linger
        if not (yield from flush(self._carrier, self._stream, after(linger))):
            raise TimedOut(
                f"{self._label()}: not everything was acknowledged within linger={linger} s; "
                "it is still being sent while the process runs"
            )

    def close_sending(self) -> None:
        """Tell the peer that nothing more comes from this end; receiving goes on. Does not wait."""
        with self._lock:
            self._mux.close_sending(self._stream)
            self._carrier.pump()

    def refuse(self, reason: str) -> None:
        """End the connection at once in both directions and tell the peer why, instead of serving it. Does not wait."""
        with self._lock:
            self._mux.reset(self._stream, Code.REFUSED, reason)
            self._carrier.pump()

    def _begin_close(self) -> bool:
        """End both directions; return whether nobody had before."""
        if self._closed:
            return False
        self._closed = True
        self._mux.close(self._stream)
        self._carrier.pump()
        return True

    def _let_go(self) -> None:
        """Give the link back. Without the lock."""
        if self._pool is not None:
            self._pool.release(self._carrier)

    def _label(self) -> str:
        return f"id {self.id!r} at {self._carrier.address}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.state} id={self.id!r} peer={self._carrier.address}>"


def after(timeout: float | None) -> float | None:
    """Return the deadline of a timeout that begins now."""
    return None if timeout is None else time.monotonic() + timeout

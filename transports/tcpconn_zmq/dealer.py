"""The dialled link: a DEALER with one peer, its own channel.

It announces itself by an empty message (ZeroMQ's PROBE_ROUTER), so that the listener knows of it before it has written.
ZeroMQ's monitor tells when the handshake is done and when the connection is lost; what came before is delivered first.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import zmq

from tcpconn.address import Address
from tcpconn.pacing import spare_pacing_of
from tcpconn.transport import Buffer, Link, LinkOptions, Sink
from tcpconn_zmq.context import LINGER, SharedContext
from tcpconn_zmq.endpoints import to_dial
from tcpconn_zmq.owned import BATCH_BYTES, BATCH_MESSAGES, LARGE_RECEIVED, LONGEST_SLEEP, Lost, OwnedSocket
from tcpconn_zmq.parts import Message, pack

__all__ = ["DealerLink", "dial"]

_HANDSHAKE_FAILED = zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_AUTH
_NO_CONNECTION = zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
_ENDED = zmq.EVENT_DISCONNECTED | _NO_CONNECTION | _HANDSHAKE_FAILED


def dial(context: SharedContext, address: Address, options: LinkOptions, timeout: float | None) -> DealerLink:
    """Try the addresses of a name one after the other, within `timeout` seconds together.

    Raises:
        OSError: none of them could be reached.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    failure: OSError | None = None
    for endpoint in to_dial(address, timeout):
        link = DealerLink(context, address, endpoint, options)
        try:
            link.establish(deadline)
        except OSError as error:
            failure = error
        except BaseException:
            link.abandon()
            raise
        else:
            return link
        link.abandon()
    raise failure or OSError(errno.EADDRNOTAVAIL, f"{address} stands for no address")


class DealerLink(OwnedSocket):
    """The link and its channel. Any thread writes or closes; one reads."""

    sink: Sink
    brief = 0

    def __init__(self, context: SharedContext, address: Address, endpoint: str, options: LinkOptions) -> None:
        super().__init__(context, zmq.DEALER, endpoint, options, zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | _ENDED)
        self._spare_pacing = options.unpaced_loopback
        self._address = address
        self._endpoint = endpoint
        self._closed = False
        self._ended = False  # link_lost is in the inbox or was delivered
        self._loss: OSError | None = None  # told by the monitor; data may still have to be received
        self._socket.setsockopt(zmq.PROBE_ROUTER, 1)

    @property
    def peer(self) -> str:
        """The address that was dialled."""
        return str(self._address)

    @property
    def channel(self) -> DealerLink:
        """The link itself."""
        return self

    def establish(self, deadline: float | None) -> None:
        """Connect and wait for the handshake; the link has one owner until this returns.

        Raises:
            OSError: the peer cannot be reached (`TimeoutError` if the time has passed).
        """
        try:
            self._socket.connect(self._endpoint)
        except zmq.ZMQError as error:
            raise OSError(error.errno or 0, f"cannot connect to {self._address}: {error}") from error
        while True:
            done = False
            for event, value in self._events():
                if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    done = True
                elif event != zmq.EVENT_CONNECTED:
                    raise self._failure(event, value)
                elif self._spare_pacing:
                    spare_pacing_of(value)
            self._check()  # or else the socket's descriptor would stay readable
            if done:
                return self._leave()
            left = None if deadline is None else min(deadline - time.monotonic(), LONGEST_SLEEP)
            if left is not None and left <= 0:
                raise TimeoutError(errno.ETIMEDOUT, f"no answer from {self._address} in time")
            self._waiter.wait(left)

    def abandon(self) -> None:
        """Release a link that was never established."""
        self._closed = True
        self._finish(0)

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Take all of `buffers` and return how many bytes they are.

        Raises:
            OSError: the link is lost or closed.
        """
        if self._closed:
            raise OSError(errno.EBADF, f"the link to {self._address} is closed")
        if self._ended or self._loss is not None:
            raise BrokenPipeError(errno.EPIPE, f"the link to {self._address} is lost")
        total, messages = pack(buffers)
        for message in messages:
            self.post(message)
        return total

    def wait(self, timeout: float | None, *, read: bool, write: bool) -> tuple[bool, bool]:
        """Wait until the link may be read; it may always be written."""
        if write:
            return read and self.wait_readable(0), True
        return (self.wait_readable(timeout) if read else False), False

    def close(self) -> None:
        """Say goodbye and release the link; what was written has `LINGER` seconds to reach the peer, in the background."""
        if not self._finished:  # also if it was closed before, for an interrupt may have come in the middle of that
            self._closed = True
            if self._pid == os.getpid():  # a forked child has no part in its parent's sockets
                self.post(None)

    def feed(self, data: bytes | memoryview | Lost | None) -> int:
        """Pass data on to the sink and return how many bytes it got."""
        if self._closed:
            return 0
        if data is None or isinstance(data, Lost):
            self.sink.link_lost(data.reason if data else None)
            return 0
        self.sink.data_received(data)
        return len(data)

    def _execute(self, command: Any) -> None:
        if self._finished:
            return
        message: Message | None = command
        try:
            if message is None:
                lost = self._ended or self._loss is not None
                if not lost:
                    self._send(b"", zmq.NOBLOCK)
                self._finish(0 if lost else LINGER)
                return
            self._send_parts(message)
        except zmq.ZMQError as error:  # the context was terminated from outside, for one
            self._loss = self._loss or OSError(error.errno or 0, f"the link to {self._address} broke: {error}")
            self._monitor_ready = True
            if message is None:
                self._finish(0)

    def _pull(self) -> bool:
        inbox = self._inbox
        if self._spoilt:
            self._armed = True
            self._loss = self._loss or InterruptedError(errno.EINTR, "an interrupt came in the middle of sending or receiving")
            if not self._ended:
                self._ended = True
                inbox.append((self, Lost(self._loss)))
            return bool(inbox)
        if self._monitor_ready:
            self._note_events()
        receive = self._receive
        size = 0
        try:
            for _ in range(BATCH_MESSAGES):
                frame = receive(zmq.NOBLOCK, False)
                length = len(frame)
                if length:
                    inbox.append((self, frame.buffer if length >= LARGE_RECEIVED else frame.bytes))
                elif not self._ended:
                    self._ended = True
                    inbox.append((self, Lost(None)))
                while frame.more:  # ZeroMQ has all parts of a message or none
                    frame = receive(zmq.NOBLOCK, False)
                    part = len(frame)
                    length += part
                    if part:
                        inbox.append((self, frame.buffer if part >= LARGE_RECEIVED else frame.bytes))
                size += length
                if size >= BATCH_BYTES:
                    self._check()  # cheaper than the signal that makes the next read look in vain
                    return True
                if length == size:  # the first one: often the only one, and asking is cheaper than failing
                    self._check()
                    if self._armed and self._loss is None:
                        return bool(inbox)
            self._armed = False
        except zmq.Again:
            self._armed = True
            if self._loss is not None and not self._ended:
                self._ended = True
                inbox.append((self, Lost(self._loss)))
                with suppress(zmq.ZMQError):
                    self._socket.disconnect(self._endpoint)  # never again, not even after HUGE_INTERVAL
        except zmq.ZMQError as error:
            self._armed = True
            if not self._ended:
                self._ended = True
                inbox.append((self, Lost(OSError(error.errno or 0, f"the link to {self._address} broke: {error}"))))
        return bool(inbox)

    def _note_events(self) -> None:
        for event, value in self._events():
            if event & _ENDED and self._loss is None:
                self._loss = self._failure(event, value)
        # What the peer sent before was handed over by ZeroMQ before it told of the end: `_pull` sees it, then the end.

    def _failure(self, event: int, value: int) -> OSError:
        if event & _NO_CONNECTION:
            text = f"nobody listens at {self._address}, or it cannot be reached"
            return ConnectionRefusedError(errno.ECONNREFUSED, text)
        if event == zmq.EVENT_DISCONNECTED:
            return ConnectionResetError(errno.ECONNRESET, f"the connection to {self._address} ended without a goodbye")
        if event == zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL:
            text = (
                f"{self._address} accepted, then ended the link or kept silent: is its backend 'zmq', and encrypt set as here?"
            )
            return ConnectionResetError(errno.ECONNRESET, text)
        text = f"{self._address} answered, but the ZeroMQ handshake failed (event {event:#x}, value {value:#x})"
        return ConnectionAbortedError(errno.ECONNABORTED, text)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "lost" if self._ended or self._loss else "open"
        return f"<DealerLink {state} to {self._address}>"


def _conforms(link: DealerLink) -> Link:  # checked by mypy
    return link

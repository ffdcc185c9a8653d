"""Streams of large messages by the ways that save a copy, beside a socket read into one buffer and pyzmq without copies.

What receives here are subjects that `ends` finds by name. They send as those of the comparison do.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import tcpconn
from tcpconn_bench.reference.ends import Pair
from tcpconn_bench.reference.figures import Figure, at_least
from tcpconn_bench.subjects import Endpoint, Message
from tcpconn_bench.subjects.ours import Tcpconn
from tcpconn_bench.subjects.plain_pyzmq import PlainPyzmq
from tcpconn_bench.subjects.plain_socket import PlainSocket, PlainSocketEndpoint, PlainSocketListener

if TYPE_CHECKING:
    import zmq

__all__ = ["INTO", "NO_COPY", "SOCKET_INTO", "VIEWS", "measure"]

_LENGTH = struct.Struct("!I")
_ROOM = 1 << 20
_BYTES = 512 << 20
_WARM_UP_BYTES = 64 << 20

_Take = Callable[[], Message]


class _Receiving:
    """A logical connection that receives in one particular way."""

    def __init__(self, connection: tcpconn.Connection, take: _Take) -> None:
        self.send = connection.send
        self.receive = connection.receive
        self.send_many = connection.send_many
        self.close = connection.close
        self._take = take

    def receive_many(self, count: int) -> Sequence[Message]:
        take = self._take
        return [take() for _ in range(count)]


class _OurListener:
    """Accepts connections that receive in one particular way."""

    def __init__(self, way: Callable[[tcpconn.Connection], _Take]) -> None:
        self._listener = tcpconn.listen("127.0.0.1:0", backend="tcp")
        self._way = way
        self.address = self._listener.address
        self.close = self._listener.close

    def accept(self) -> Endpoint:
        connection = self._listener.accept(60)
        return _Receiving(connection, self._way(connection))


class _ByTcp(Tcpconn):
    """The backend tcp, received from in one particular way."""

    def __init__(self, name: str, way: Callable[[tcpconn.Connection], _Take]) -> None:
        super().__init__(name, "tcp", None, {})
        self._way = way

    def listen(self) -> _OurListener:  # type: ignore[override]
        return _OurListener(self._way)


def _into(connection: tcpconn.Connection) -> _Take:
    buffer = bytearray(_ROOM)

    def take() -> bytearray:
        connection.receive_into(buffer)
        return buffer

    return take


def _views(connection: tcpconn.Connection) -> _Take:
    return connection.receive_view


class _SocketIntoEndpoint(PlainSocketEndpoint):
    """A socket that is read into one buffer; the next message's length comes by the same call."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._buffer = bytearray(_ROOM)

    def receive_many(self, count: int) -> Sequence[Message]:
        header = bytearray(_LENGTH.size)
        receive, buffer = self._socket.recvmsg_into, memoryview(self._buffer)
        receive([header], 0, socket.MSG_WAITALL)
        for left in range(count - 1, -1, -1):
            size = _LENGTH.unpack(header)[0]
            wanted = size + len(header) if left else size
            if receive([buffer[:size], header] if left else [buffer[:size]], 0, socket.MSG_WAITALL)[0] != wanted:
                raise ConnectionError("the peer closed the connection, or a signal came")
        return [self._buffer] * count


class _SocketIntoListener(PlainSocketListener):
    def accept(self) -> _SocketIntoEndpoint:
        return _SocketIntoEndpoint(self._socket.accept()[0])


class _SocketInto(PlainSocket):
    """A plain socket as it is quickest."""

    name = "socket into one buffer"

    def listen(self) -> _SocketIntoListener:
        return _SocketIntoListener()


class _NoCopyRouter:
    """pyzmq's receiving end, with messages that stay where ZeroMQ has put them."""

    def __init__(self) -> None:
        import zmq

        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.bind("tcp://127.0.0.1:*")
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)
        self._identity = b""
        self._more = zmq.SNDMORE

    def accept(self) -> Endpoint:
        return self

    def send(self, message: bytes) -> None:
        self._socket.send(self._identity, self._more)
        self._socket.send(message)

    def receive(self) -> Message:
        self._identity = self._socket.recv()
        return self._socket.recv(copy=False).buffer

    def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.send(message)

    def receive_many(self, count: int) -> Sequence[Message]:
        return [self.receive() for _ in range(count)]

    def close(self) -> None:
        self._socket.close()
        self._context.term()


class _NoCopy(PlainPyzmq):
    """pyzmq without copies at either end; its sender makes none from 256 KiB on."""

    name = "pyzmq no-copy"

    def listen(self) -> _NoCopyRouter:  # type: ignore[override]
        return _NoCopyRouter()


INTO = _ByTcp("receive_into", _into)
VIEWS = _ByTcp("receive_view", _views)
SOCKET_INTO = _SocketInto()
NO_COPY = _NoCopy()

_SUBJECTS = {
    INTO.name: f"{__name__}:INTO",
    VIEWS.name: f"{__name__}:VIEWS",
    SOCKET_INTO.name: f"{__name__}:SOCKET_INTO",
    NO_COPY.name: f"{__name__}:NO_COPY",
    "receive": "tcp",
    "plain-socket": "plain-socket",
    "plain-pyzmq": "plain-pyzmq",
}

_ROWS = {
    ("64 KiB", 64 << 10): (
        ("receive_into", "socket into one buffer", at_least(0.8)),
        ("receive", "plain-pyzmq", at_least(1.3)),
        ("receive", "plain-socket", None),
    ),
    ("1 MiB", 1 << 20): (
        ("receive_view", "plain-socket", at_least(0.9)),
        ("receive_view", "socket into one buffer", None),
        ("receive_view", "pyzmq no-copy", at_least(1.1)),
        ("receive_into", "socket into one buffer", None),
        ("receive", "plain-pyzmq", at_least(1.3)),
    ),
}


def measure(rounds: int) -> Sequence[Figure]:
    """Measure with fresh processes in each round: what large messages take depends on what malloc has seen before."""
    figures = []
    for (label, size), rows in _ROWS.items():
        found = [Figure(f"stream of {label} by {ours}", "MB/s", goal, peer) for ours, peer, goal in rows]
        names = list(dict.fromkeys(name for ours, peer, _ in rows for name in (ours, peer)))
        for number in range(rounds):
            turn = number % len(names)
            speeds = {name: _speed(_SUBJECTS[name], size) for name in names[turn:] + names[:turn]}
            for figure, (ours, peer, _) in zip(found, rows, strict=True):
                figure.add(speeds[ours], speeds[peer])
        figures += found
    return figures


def _speed(subject: str, size: int) -> float:
    """Return megabytes a second."""
    with ExitStack() as stack:
        pair = Pair(stack, subject)
        pair.stream(size, _WARM_UP_BYTES // size)
        return _BYTES / pair.stream(size, _BYTES // size).seconds / 1e6

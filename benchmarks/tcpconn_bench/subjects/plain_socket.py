"""The floor of the tcp backend: blocking TCP sockets, a length of four bytes before each message, nothing else.

Written as a careful user would write it who needs no more: Nagle's algorithm off, small messages joined before they are
written, large ones neither joined nor copied, many small ones cut out of one read.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from tcpconn_bench.subjects.base import Message
from tcpconn_bench.subjects.places import host

__all__ = ["PlainSocket", "PlainSocketEndpoint", "PlainSocketListener"]

_LENGTH = struct.Struct("!I")
_READ = 256 * 1024
_BATCH = 64 * 1024
_LARGE = 32 * 1024
"""From this size on a message is written and read in place: joining it would cost more than a system call."""


class PlainSocketEndpoint:
    """A connected socket, and the bytes read from it that nobody has asked for yet."""

    no_delay: ClassVar[bool] = True
    """Whether it is a TCP socket, whose Nagle's algorithm is turned off."""

    def __init__(self, connected: socket.socket) -> None:
        if self.no_delay:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self._receive_some: Callable[[int], bytes] = connected.recv
        self._receive_into: Callable[[memoryview], int] = connected.recv_into
        self._rest = b""
        self._offset = 0

    def send(self, message: bytes) -> None:
        header = _LENGTH.pack(len(message))
        if len(message) < _LARGE:
            self._socket.sendall(header + message)
        else:
            self._gather(header, message)

    def send_many(self, messages: Sequence[bytes]) -> None:
        pack = _LENGTH.pack
        parts: list[bytes] = []
        waiting = 0
        for message in messages:
            size = len(message)
            if size >= _LARGE:
                self._socket.sendall(b"".join(parts))
                parts = []
                waiting = 0
                self._gather(pack(size), message)
                continue
            parts.append(pack(size))
            parts.append(message)
            waiting += size
            if waiting >= _BATCH:
                self._socket.sendall(b"".join(parts))
                parts = []
                waiting = 0
        self._socket.sendall(b"".join(parts))

    def _gather(self, header: bytes, message: bytes) -> None:
        sent = self._socket.sendmsg((header, message))
        if sent < len(header) + len(message):
            # The socket is blocking: only a signal, or a message beyond what the kernel takes in one call, leads here.
            self._socket.sendall(header[sent:])
            self._socket.sendall(memoryview(message)[max(0, sent - len(header)) :])

    def receive(self) -> Message:
        if len(self._rest) - self._offset < 4:
            self._read_until(4)
        (size,) = _LENGTH.unpack_from(self._rest, self._offset)
        if size >= _LARGE:
            return self._receive_large(size)
        if len(self._rest) - self._offset < 4 + size:
            self._read_until(4 + size)
        start = self._offset + 4
        self._offset = start + size
        return self._rest[start : start + size]

    def receive_many(self, count: int) -> Sequence[Message]:
        found: list[Message] = []
        unpack = _LENGTH.unpack_from
        while len(found) < count:
            rest, offset, end = self._rest, self._offset, len(self._rest)
            for _ in range(count - len(found)):
                if end - offset < 4:
                    break
                stop = offset + 4 + unpack(rest, offset)[0]
                if stop > end:
                    break
                found.append(rest[offset + 4 : stop])
                offset = stop
            self._offset = offset
            if len(found) < count:
                found.append(self.receive())
        return found

    def _read_until(self, wanted: int) -> None:
        """Read until at least `wanted` bytes are at hand."""
        rest = self._rest[self._offset :]
        while len(rest) < wanted:
            data = self._receive_some(_READ)
            if not data:
                raise ConnectionError("the peer closed the connection")
            rest = rest + data if rest else data
        self._rest = rest
        self._offset = 0

    def _receive_large(self, size: int) -> Message:
        """Receive a message straight into its own memory."""
        message = bytearray(size)
        start = self._offset + 4
        filled = min(size, len(self._rest) - start)
        message[:filled] = self._rest[start : start + filled]
        self._offset = start + filled
        with memoryview(message) as view:
            while filled < size:
                received = self._receive_into(view[filled:])
                if not received:
                    raise ConnectionError("the peer closed the connection")
                filled += received
        return message

    def close(self) -> None:
        self._socket.close()


class PlainSocketListener:
    """A listening socket."""

    endpoint: ClassVar[type[PlainSocketEndpoint]] = PlainSocketEndpoint

    def __init__(self) -> None:
        self._socket = socket.create_server((host(), 0))

    @property
    def address(self) -> str:
        name, port = self._socket.getsockname()[:2]
        return f"{name}:{port}"

    def accept(self) -> PlainSocketEndpoint:
        return self.endpoint(self._socket.accept()[0])

    def close(self) -> None:
        self._socket.close()


class PlainSocket:
    """The subject; see the module's text."""

    name = "plain-socket"
    role = "floor"
    floor: str | None = None
    endpoint: ClassVar[type[PlainSocketEndpoint]] = PlainSocketEndpoint

    def unavailable(self) -> str | None:
        return None

    def settings(self) -> Mapping[str, Any]:
        return {"framing": "4-byte length", "TCP_NODELAY": True, "read_size": _READ, "write_batch": _BATCH}

    def listen(self) -> PlainSocketListener:
        return PlainSocketListener()

    def connect(self, address: str) -> PlainSocketEndpoint:
        name, _, port = address.rpartition(":")
        return self.endpoint(socket.create_connection((name, int(port))))

"""The connection between `tcpconn compare` and `tcpconn serve-bench`: msgpack objects one after another over TCP.

Each is a map, but for the messages of a set, which are bytes. Nothing in them is code, and nothing is evaluated.
"""

from __future__ import annotations

import socket
from typing import Any

import msgpack

from tcpconn_bench.messages import DEFAULT_LIMIT
from tcpconn_bench.sizes import LARGEST

__all__ = ["GREETING", "Control", "ControlError"]

GREETING = {"is": "tcpconn serve-bench", "protocol": 1}
_READ = 256 * 1024
_LARGEST_OBJECT = max(LARGEST, DEFAULT_LIMIT) + 1024
_ALIVE = (
    ((socket.TCP_KEEPIDLE, 10), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 4)) if hasattr(socket, "TCP_KEEPIDLE") else ()
)
"""Seconds and counts by which a machine that has vanished is noticed within half a minute."""


class ControlError(Exception):
    """The connection is over, or what came by it is not what was to come; the text is for the user."""


class Control:
    """One end, used by one thread.

    Args:
        connected: the socket, which belongs to this from now on.
        peer: what to call the other side in errors.
        timeout: seconds that a single read or write may take.
    """

    def __init__(self, connected: socket.socket, peer: str, timeout: float) -> None:
        connected.settimeout(timeout)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _ALIVE:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
        self._socket = connected
        self._peer = peer
        self._unpacker = msgpack.Unpacker(max_buffer_size=_LARGEST_OBJECT)

    @property
    def here(self) -> str:
        """The host of this side, as the other side reaches it."""
        host: str = self._socket.getsockname()[0]
        return host

    @property
    def there(self) -> str:
        """The host of the other side, as this side reaches it."""
        host: str = self._socket.getpeername()[0]
        return host

    def fileno(self) -> int:
        """The descriptor on which objects arrive."""
        return self._socket.fileno()

    def put(self, what: Any) -> None:
        """Send an object.

        Raises:
            ControlError: the connection is over.
        """
        try:
            self._socket.sendall(msgpack.packb(what))
        except OSError as error:
            raise self._over(error) from error

    def at_hand(self) -> Any | None:
        """Return an object that has been read already, or None.

        Raises:
            ControlError: what was read is no msgpack, or too long.
        """
        try:
            return next(self._unpacker, None)
        except (ValueError, msgpack.UnpackException) as error:
            raise ControlError(f"{self._peer} does not speak as 'tcpconn serve-bench' does: {error}") from error

    def read(self) -> Any | None:
        """Read what has arrived, and return an object if one is complete; waits if nothing has arrived.

        Raises:
            ControlError: the connection is over, nothing came in time, or what came is no msgpack.
        """
        try:
            data = self._socket.recv(_READ)
        except OSError as error:
            raise self._over(error) from error
        if not data:
            raise ControlError(f"{self._peer} has closed the connection")
        try:
            self._unpacker.feed(data)
        except (ValueError, msgpack.UnpackException) as error:
            raise ControlError(f"{self._peer} sends more than can be: {error}") from error
        return self.at_hand()

    def take(self, kind: type) -> Any:
        """Wait for the next object.

        Args:
            kind: what it has to be.

        Raises:
            ControlError: as for `read`, it is of another kind, or it is the other side's error.
        """
        found = self.at_hand()
        while found is None:
            found = self.read()
        if isinstance(found, dict) and "error" in found:
            raise ControlError(str(found["error"]))
        if not isinstance(found, kind):
            raise ControlError(f"{self._peer} does not speak as 'tcpconn serve-bench' does")
        return found

    def close(self) -> None:
        """End the connection; idempotent."""
        self._socket.close()

    def _over(self, error: OSError) -> ControlError:
        return ControlError(f"the connection with {self._peer} is over: {error}")

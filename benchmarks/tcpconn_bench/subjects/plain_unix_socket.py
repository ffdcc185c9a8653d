"""The floor of tcp over a Unix socket: the plain socket's framing, at a path in place of a port."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from tcpconn_bench.subjects.places import SocketPath, why_no_unix_sockets
from tcpconn_bench.subjects.plain_socket import PlainSocket, PlainSocketEndpoint, PlainSocketListener

__all__ = ["PlainUnixSocket"]


class _Endpoint(PlainSocketEndpoint):
    no_delay = False


class _Listener(PlainSocketListener):
    """A listening socket at a path of its own."""

    endpoint = _Endpoint

    def __init__(self) -> None:
        self._place = SocketPath()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self._place.path)
        self._socket.listen()

    @property
    def address(self) -> str:
        return self._place.path

    def close(self) -> None:
        super().close()
        self._place.remove()


class PlainUnixSocket(PlainSocket):
    """The subject; see the module's text."""

    name = "plain-unix-socket"

    def unavailable(self) -> str | None:
        return why_no_unix_sockets()

    def settings(self) -> Mapping[str, Any]:
        return {name: value for name, value in super().settings().items() if name != "TCP_NODELAY"}

    def listen(self) -> PlainSocketListener:
        return _Listener()

    def connect(self, address: str) -> PlainSocketEndpoint:
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(address)
        return _Endpoint(connected)

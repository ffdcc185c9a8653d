"""Whole messages between processes over native TCP framing, ZeroMQ or memory, behind one interface.

import tcpconn

with tcpconn.connect("127.0.0.1:9000", id="orders") as conn:
    conn.send(b"hello")
    print(conn.receive(timeout=1.0))
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from tcpconn.address import Address
from tcpconn.blocking import Connection
from tcpconn.config import Config
from tcpconn.connecting import connect
from tcpconn.errors import (
    AuthenticationError,
    BackendUnavailable,
    ConfigError,
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    HandshakeError,
    MessageTooLarge,
    ProtocolError,
    TcpconnError,
    TimedOut,
)
from tcpconn.lifecycle import State
from tcpconn.listening import Listener, listen, serve, wrap
from tcpconn.pool import Pool
from tcpconn.secret import Secret
from tcpconn.stats import Stats
from tcpconn.transport import available_backends

try:
    __version__ = version("tcpconn")
except PackageNotFoundError:  # a source tree on the path that was never installed
    __version__ = "0+unknown"

__all__ = [
    "Address",
    "AuthenticationError",
    "BackendUnavailable",
    "Config",
    "ConfigError",
    "ConnectError",
    "Connection",
    "ConnectionClosed",
    "ConnectionLost",
    "HandshakeError",
    "Listener",
    "MessageTooLarge",
    "Pool",
    "ProtocolError",
    "Secret",
    "State",
    "Stats",
    "TcpconnError",
    "TimedOut",
    "available_backends",
    "connect",
    "listen",
    "serve",
    "wrap",
]


def __getattr__(name: str) -> ModuleType:
    # `tcpconn.aio` without an import of its own; a program without asyncio does not load it.
    if name == "aio":
        return import_module("tcpconn.aio")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

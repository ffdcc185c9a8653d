"""What the behavioural tests have in common: deadlines, settings and the types of their fixtures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

import tcpconn

__all__ = ["DEADLINE", "QUICK", "Connect", "Echo", "Ends", "Line", "Lines", "Listen", "Pair", "close_quietly", "echo_handler"]

DEADLINE = 20.0
"""Seconds after which something that must happen has not happened."""

QUICK = {"reconnect_initial": 0.005, "reconnect_max": 0.05}
"""Settings with which lost links come back fast."""


class Ends(NamedTuple):
    """The two ends of one logical connection."""

    client: tcpconn.Connection
    server: tcpconn.Connection


class Line(Protocol):
    """What lies between clients and a listener, and can fail."""

    address: str
    """Where to connect to in place of the listener's own address."""

    def cut(self) -> object:
        """End all links; what is under way is lost."""
        ...

    def stall(self) -> None:
        """Let nothing through until `resume`, on links that stand and new ones."""
        ...

    def resume(self) -> None:
        """Let everything through again."""
        ...

    def refuse(self) -> None:
        """Refuse new links until `accept`."""
        ...

    def accept(self) -> None:
        """Let links be made again."""
        ...


Lines = Callable[[tcpconn.Listener], Line]
Listen = Callable[..., tcpconn.Listener]
Connect = Callable[..., tcpconn.Connection]
Pair = Callable[..., Ends]
Echo = Callable[..., tcpconn.Listener]


def close_quietly(connection: tcpconn.Connection) -> None:
    """Close a connection whose end the test has seen, or does not care for."""
    with suppress(tcpconn.TcpconnError):
        connection.close()


def echo_handler(connection: tcpconn.Connection) -> None:
    """Send back whatever comes."""
    for message in connection:
        connection.send(message)

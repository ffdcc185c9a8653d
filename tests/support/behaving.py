"""What the behavioural tests have in common: deadlines, settings and the types of their fixtures."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import tcpconn

__all__ = ["DEADLINE", "QUICK", "Connect", "Echo", "Ends", "Listen", "Pair", "close_quietly", "echo_handler"]

DEADLINE = 20.0
"""Seconds after which something that must happen has not happened."""

QUICK = {"reconnect_initial": 0.005, "reconnect_max": 0.05}
"""Settings with which lost links come back fast."""


class Ends(NamedTuple):
    """The two ends of one logical connection."""

    client: tcpconn.Connection
    server: tcpconn.Connection


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

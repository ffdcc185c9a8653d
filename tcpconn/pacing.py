"""Sparing links within one machine, where nothing can be congested, the pacing of their segments."""

from __future__ import annotations

import socket
from contextlib import suppress

from tcpconn.duplicate import duplicate_socket

__all__ = ["spare_pacing", "spare_pacing_of"]

# Linux and FreeBSD have it.
_CONGESTION: int | None = getattr(socket, "TCP_CONGESTION", None)

_PACES = b"bbr"
"""How the names of those begin that hold segments back by timers: BBR, and its later versions."""

_PLAIN = b"reno"
"""Every Linux has it, and lets everybody choose it."""

_LONGEST_NAME = 16


def spare_pacing(connected: socket.socket) -> None:
    """Have a link within this machine do without BBR, if that is the system's congestion control; leave all others alone.

    BBR sends segment by segment, each when a timer of the kernel says so, lest a router's queue fill. Within a machine there
    is no such queue: streams of 64 KiB took 0.77 of the time without, of 1 MiB 0.87 (docs/decisions.md).

    Args:
        connected: of any family; nothing happens to one that is not TCP, or is connected no more.
    """
    if _CONGESTION is None or connected.family not in (socket.AF_INET, socket.AF_INET6):
        return
    with suppress(OSError):
        peer = connected.getpeername()[0]
        if peer != connected.getsockname()[0] and not peer.startswith("127."):
            return
        if connected.getsockopt(socket.IPPROTO_TCP, _CONGESTION, _LONGEST_NAME).startswith(_PACES):
            connected.setsockopt(socket.IPPROTO_TCP, _CONGESTION, _PLAIN)


def spare_pacing_of(descriptor: int) -> None:
    """Do so with a socket that is somebody else's, of which there is no more than the descriptor, if it is still open."""
    with suppress(OSError), duplicate_socket(descriptor) as connected:
        spare_pacing(connected)

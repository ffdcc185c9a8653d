"""What a ROUTER knows of its peers' connections: their descriptors, told by the monitor, and how to drop one.

ZeroMQ has no call that disconnects one peer of a ROUTER. But each message carries the descriptor of the connection that
brought it (the property SRCFD), and the monitor tells of each descriptor accepted and disconnected; so a peer is
dropped by shutting its connection down, upon which ZeroMQ clears it away as if the peer had ended it.

A descriptor number is used again as soon as it is closed, by any file of the process. The monitor tells of a
disconnection before ZeroMQ closes the descriptor. So what was noted of a descriptor when it was accepted is right if the
monitor, asked again after that, knows of no disconnection; and the identity of the file is compared once more, on a
duplicate that nobody else closes, before anything is shut down.
"""

from __future__ import annotations

import heapq
import itertools
import os
import socket
import stat
import struct
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from tcpconn.duplicate import duplicate_socket

__all__ = ["Alarm", "Peer"]

_T = TypeVar("_T")


class Peer(Generic[_T]):
    """One accepted connection of a ROUTER; the owner of the ROUTER alone uses it.

    Attributes:
        fd: ZeroMQ's descriptor of the connection.
        link: the link that is served by it, once it has announced itself.
        leaving: whether it was told to go, so that it counts no more.
        patience: the monotonic time until which it may hear what it was told.
    """

    __slots__ = ("_file", "fd", "leaving", "link", "name", "patience")

    def __init__(self, fd: int, local: str) -> None:
        self.fd = fd
        self.link: _T | None = None
        self.leaving = False
        self.patience = 0.0
        self._file = _file_of(fd)
        self.name = _name_of(fd, local) if self._file is not None else local

    def shut_down(self) -> None:
        """End the connection, whatever is still on its way."""
        try:
            connection = duplicate_socket(self.fd)
        except OSError:
            return  # it is gone, or there is no descriptor to be had: the peer then stays until it goes by itself
        with connection:
            if self._file is not None and _file_of(connection.fileno()) == self._file:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # the peer was faster


class Alarm(Generic[_T]):
    """Deadlines, kept by a timer thread that exists only while there are any: a reader may have nothing but a descriptor.

    `add`, `due` and `cancel` are for the owner of the ROUTER; `ring` is called by the timer's thread.
    """

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = ring
        self._heap: list[tuple[float, int, _T]] = []
        self._order = itertools.count()
        self._timer: threading.Timer | None = None
        self._timer_at = 0.0

    def add(self, when: float, now: float, what: _T) -> None:
        """Have `due` return `what` at the monotonic time `when`."""
        heapq.heappush(self._heap, (when, next(self._order), what))
        self._start(now)

    def due(self, now: float) -> list[_T]:
        """Return and forget what is due, and set the timer for the rest."""
        found: list[_T] = []
        while self._heap and self._heap[0][0] <= now:
            found.append(heapq.heappop(self._heap)[2])
        self._start(now)
        return found

    def cancel(self) -> None:
        """Forget everything."""
        self._heap.clear()
        self._stop()

    def _start(self, now: float) -> None:
        if not self._heap:
            return
        when = self._heap[0][0]
        if self._timer is not None and self._timer_at <= when and self._timer_at > now:
            return
        self._stop()
        self._timer = threading.Timer(max(0.0, when - now), self._ring)
        self._timer.name = "tcpconn-zmq-alarm"
        self._timer.daemon = True
        self._timer_at = when
        try:
            self._timer.start()
        except RuntimeError:  # no thread can be had: at the interpreter's exit, for one
            self._timer = None

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _file_of(fd: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(fd)
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISSOCK(status.st_mode) else None


def _name_of(fd: int, local: str) -> str:
    try:
        with duplicate_socket(fd) as connection:
            if connection.family == getattr(socket, "AF_UNIX", None):
                if not hasattr(socket, "SO_PEERCRED"):
                    return local
                pid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
                return f"{local} (process {pid})"
            host, port = connection.getpeername()[:2]
            return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    except OSError:
        return local

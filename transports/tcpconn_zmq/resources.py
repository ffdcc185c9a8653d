"""What an `OwnedSocket` has of the system, given back at once and for certain.

An interrupt, which is an exception at any place, may come in the middle of that, or ahead of it. So each step may be done
twice, and what is left is done when the owner is garbage. `weakref.finalize` does it before pyzmq's own finalizers could
close the sockets in an order that would make libzmq's I/O thread wait for ever: see `Monitor.stop`.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable

import zmq

from tcpconn_zmq.context import LINGER, SharedContext
from tcpconn_zmq.monitor import Monitor
from tcpconn_zmq.waiting import Signal, Waiter

__all__ = ["Resources"]


class Resources:
    """The socket, its monitor and the descriptors to wait with, as they are opened. The owner alone uses it.

    Args:
        owner: with whose end it ends; nothing here refers to it.
        context: whose socket it will be.

    Attributes:
        signal: what wakes the owner.
    """

    def __init__(self, owner: object, context: SharedContext) -> None:
        self._pid = os.getpid()
        self._context = context
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: Monitor | None = None
        self._closing: list[Callable[[], object]] = []
        self._collected = weakref.finalize(owner, self.give_back)
        self._collected.atexit = False  # `SharedContext` sees to that
        self.signal = self.add_signal()

    def open(self, kind: int) -> zmq.Socket[bytes]:
        """Open the socket.

        Raises:
            OSError: no more sockets or descriptors.
        """
        self._socket = self._context.socket(kind)
        return self._socket

    def watch(self, events: int) -> tuple[Monitor, Waiter]:
        """Have the socket's `events`, zmq's `EVENT_...` joined by `|`, told, and make what waits for all that there is."""
        assert self._socket is not None
        self._monitor = monitor = Monitor(self._socket, events)
        waiter = Waiter(int(self._socket.get(zmq.FD)), monitor.fileno(), self.signal.fileno())
        self.add(waiter.close)
        return monitor, waiter

    def add_signal(self) -> Signal:
        """Make one more `Signal` that is closed with the rest."""
        signal = Signal()
        self.add(signal.close)
        return signal

    def add(self, close: Callable[[], object]) -> None:
        """Have `close` called, too, once or more often; it may not refer to the owner."""
        self._closing.append(close)

    def give_back(self, linger: float = LINGER) -> None:
        """Close everything; what was sent has `linger` seconds to reach the peer, in the background.

        In a forked child it does nothing: that has no part in its parent's sockets.
        """
        if self._pid == os.getpid():
            if self._monitor is not None:
                self._monitor.stop()
            if self._socket is not None:
                self._socket.close(int(linger * 1000))
            if self._monitor is not None:
                self._monitor.close()
            for close in self._closing:
                close()
            if self._socket is not None:
                self._context.released(self._socket)
        self._collected.detach()

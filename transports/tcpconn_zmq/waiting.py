"""Descriptors to wait with: `Signal`, which any thread can make readable, and `Waiter`, a set of them that is one itself.

They know no ZeroMQ. Linux has eventfd and epoll; macOS and the BSDs a socket pair and kqueue.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from contextlib import suppress

__all__ = ["Signal", "Waiter"]


class Signal:
    """A descriptor that is readable from `set` until `clear`. Any thread; `_lock` guards the flag and the descriptor's life.

    Whoever clears looks afterwards at what the signal stands for, and whoever sets has changed that before.
    """

    _fd = -1

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_set = False
        self._pair: tuple[socket.socket, socket.socket] | None = None
        if sys.platform == "linux":
            self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._pair = socket.socketpair()
            self._pair[0].setblocking(False)
            self._pair[1].setblocking(False)
            self._fd = self._pair[0].fileno()

    def fileno(self) -> int:
        """Return the descriptor, or -1 after `close`."""
        return self._fd

    def set(self) -> None:
        """Make the descriptor readable; never blocks."""
        if self._is_set:
            return
        with self._lock:
            if self._is_set or self._fd < 0:
                return
            if sys.platform == "linux":
                os.eventfd_write(self._fd, 1)
            elif self._pair is not None:
                self._pair[1].send(b"\0")
            self._is_set = True

    def clear(self) -> None:
        """Make the descriptor unreadable."""
        with self._lock:
            if self._fd < 0:
                return
            # First, and read whatever was set: an interrupt may have come between the two, here or there.
            self._is_set = False
            with suppress(BlockingIOError):
                if sys.platform == "linux":
                    os.eventfd_read(self._fd)
                elif self._pair is not None:
                    self._pair[0].recv(4096)

    def close(self) -> None:
        """Release the descriptor; later calls of `set` and `clear` do nothing."""
        with self._lock:
            # First, or an interrupt could have it closed twice, and by then it may be another's.
            fd, self._fd = self._fd, -1
            if self._pair is not None:
                self._pair[0].close()
                self._pair[1].close()
            elif fd >= 0:
                os.close(fd)

    def __del__(self) -> None:
        if self._fd >= 0:  # an interrupt came before anybody kept it
            self.close()


class Waiter:
    """Waits for any of several descriptors to become readable. One thread at a time."""

    def __init__(self, *fds: int) -> None:
        if sys.platform == "linux":
            self._set = select.epoll()
            for fd in fds:
                self._set.register(fd, select.EPOLLIN)
        elif hasattr(select, "kqueue"):
            self._set = select.kqueue()
            self._set.control([select.kevent(fd, select.KQ_FILTER_READ, select.KQ_EV_ADD) for fd in fds], 0)
        else:
            raise OSError("the backend 'zmq' needs epoll or kqueue, and this system has neither; use the backend 'tcp'")

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """Return pairs that begin with a readable descriptor; none after `timeout` seconds (None: for ever)."""
        if sys.platform != "linux":
            return [(event.ident, event.filter) for event in self._set.control(None, 8, timeout)]
        return self._set.poll(timeout)

    def fileno(self) -> int:
        """Return a descriptor that is readable while any of the set is; -1 after `close`."""
        return -1 if self._set.closed else self._set.fileno()

    def close(self) -> None:
        """Release the descriptor, not those of the set."""
        self._set.close()

"""A descriptor that says whether there is something to take."""

from __future__ import annotations

import os
import select
import socket
import threading
from contextlib import suppress

__all__ = ["Signal"]


class Signal:
    """Raised by any thread, waited for and lowered by one. `_lock` guards `_raised` and the sockets behind it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        self._descriptor = self._ear.fileno()
        self._poll = select.poll()
        self._poll.register(self._ear, select.POLLIN)
        self._raised = False
        self._closed = False
        self._pid = os.getpid()

    def fileno(self) -> int:
        """Return the descriptor, readable while the signal is raised."""
        return self._descriptor

    def set(self) -> None:
        """Raise it."""
        with self._lock:
            if not self._raised and not self._closed and self._pid == os.getpid():
                with suppress(OSError):
                    self._mouth.send(b"\0")
                self._raised = True

    def clear(self) -> None:
        """Lower it."""
        with self._lock:
            if not self._closed:
                # First, and whatever was sent is taken: an interrupt may have come between the two, here or there.
                self._raised = False
                with suppress(OSError):
                    self._ear.recv(16)

    def wait(self, timeout: float | None) -> bool:
        """Wait for it; return whether it is raised."""
        if not self._raised:
            self._poll.poll(None if timeout is None else timeout * 1000)
        return self._raised

    def close(self) -> None:
        """Give the descriptors back; nobody waits any more."""
        with self._lock:
            # Again if an interrupt came in its middle the last time.
            self._closed = True
            self._ear.close()
            self._mouth.close()

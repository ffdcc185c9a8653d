"""A descriptor that any thread can make readable, to end another's wait."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress

__all__ = ["Waker"]

_ONE = (1).to_bytes(8, sys.byteorder)


class Waker:
    """An eventfd where the system has it, else a pipe.

    `_lock` guards the descriptors against being closed, and given to somebody else, while `set` writes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._closed = False
        if hasattr(os, "eventfd"):
            self._read_end = self._write_end = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        else:
            self._read_end, self._write_end = os.pipe()
            os.set_blocking(self._read_end, False)
            os.set_blocking(self._write_end, False)

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        return self._read_end

    def set(self) -> None:
        """Make it readable."""
        with self._lock, suppress(BlockingIOError):
            if not self._closed:
                os.write(self._write_end, _ONE)

    def clear(self) -> None:
        """Make it unreadable; not beside `close`."""
        with suppress(BlockingIOError):
            os.read(self._read_end, 4096)

    def close(self) -> None:
        """Give the descriptors back."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            os.close(self._read_end)
            if self._write_end != self._read_end:
                os.close(self._write_end)

"""A listener within one process."""

from __future__ import annotations

import errno
import threading
from collections import deque
from collections.abc import Callable

from tcpconn.address import Address
from tcpconn.transport import Link
from tcpconn_memory.link import MemoryLink
from tcpconn_memory.signal import Signal

__all__ = ["MemoryListener"]


class MemoryListener:
    """Any thread offers links, one accepts them. `_lock` guards the count of links that are open."""

    channel = None

    def __init__(self, address: Address, max_links: int, on_close: Callable[[MemoryListener], None]) -> None:
        self.address = address
        self._max_links = max_links
        self._lock = threading.Lock()
        self._open: set[MemoryLink] = set()
        self._on_close = on_close
        self._waiting: deque[MemoryLink] = deque()
        self._signal = Signal()
        self._closed = False

    def fileno(self) -> int:
        """Return a descriptor that is readable while links wait."""
        return self._signal.fileno()

    def offer(self, link: MemoryLink) -> None:
        """Add the far end of a new link.

        Raises:
            ConnectionRefusedError: there are `max_links` already.
        """
        with self._lock:
            if len(self._open) >= self._max_links:
                raise ConnectionRefusedError(errno.ECONNREFUSED, f"{self.address} serves {self._max_links} links already")
            self._open.add(link)
        link.on_close = self._link_closed
        self._waiting.append(link)
        self._signal.set()
        if self._closed:
            self._turn_away()

    def _link_closed(self, link: MemoryLink) -> None:
        with self._lock:
            self._open.discard(link)

    def accept(self) -> Link | None:
        """Return the next link, or None."""
        try:
            return self._waiting.popleft()
        except IndexError:
            # Lowered before the second look: an offer in between raises it again.
            self._signal.clear()
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def close(self) -> None:
        """Stop listening; links that nobody has accepted are closed."""
        if not self._closed:
            self._closed = True
            self._on_close(self)
            self._turn_away()
            self._signal.close()

    def _turn_away(self) -> None:
        while self._waiting:
            self._waiting.popleft().close()

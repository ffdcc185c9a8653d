"""The listening socket."""

from __future__ import annotations

import threading

from tcpconn.address import Address
from tcpconn.transport import Link, LinkOptions
from tcpconn_tcp.endpoints import BoundSocket, describe, prepare, settle
from tcpconn_tcp.making import accepted_link, check

__all__ = ["TcpListener"]


class TcpListener:
    """Accepts links; only one thread calls `accept`.

    `_lock` guards the count of links that are open. The garbage collector may take one away in the middle of counting.
    """

    channel = None

    def __init__(self, address: Address, options: LinkOptions) -> None:
        check(address, options)
        self._bound = BoundSocket(address, options)
        self._socket = self._bound.socket
        self.address = self._bound.address
        self._options = options
        self._closed = False
        self._lock = threading.RLock()
        self._open = 0

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self._socket.fileno()

    def accept(self) -> Link | None:
        """Return a new link, or None when none waits; peers beyond `max_links` are turned away.

        Raises:
            OSError: none can be accepted, for want of descriptors for one.
        """
        while True:
            try:
                accepted, name = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return None
            with self._lock:
                full = self._open >= self._options.max_links
            if full:
                accepted.close()
                continue
            try:
                prepare(accepted, self._options)
                settle(accepted, self._options)
                link = accepted_link(accepted, describe(accepted, name), self._options, self._released)
            except OSError:
                # It was gone before it was accepted.
                accepted.close()
            else:
                with self._lock:
                    self._open += 1
                return link

    def _released(self) -> None:
        with self._lock:
            self._open -= 1

    def close(self) -> None:
        """Stop listening."""
        if not self._closed:
            self._closed = True
            self._bound.remove_file()
            self._socket.close()

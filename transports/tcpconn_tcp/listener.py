"""The listening socket."""

from __future__ import annotations

import os

from tcpconn.address import Address
from tcpconn.transport import Link, LinkOptions
from tcpconn_tcp.endpoints import bind, describe, prepare, remove_file
from tcpconn_tcp.link import TcpLink

__all__ = ["TcpListener"]


class TcpListener:
    """Accepts links; only one thread calls `accept`."""

    channel = None

    def __init__(self, address: Address, options: LinkOptions) -> None:
        self._socket = bind(address, options)
        self._socket.setblocking(False)
        self._options = options
        self._closed = False
        if address.path is not None:
            self.address = address
            self._inode = os.stat(address.path).st_ino
        else:
            host, port = self._socket.getsockname()[:2]
            self.address = Address(host, port)

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self._socket.fileno()

    def accept(self) -> Link | None:
        """Return a new link, or None when none waits.

        Raises:
            OSError: none can be accepted, for want of descriptors for one.
        """
        while True:
            try:
                accepted, name = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return None
            try:
                prepare(accepted, self._options)
                return TcpLink(accepted, describe(accepted, name))
            except OSError:
                # It was gone before it was accepted.
                accepted.close()

    def close(self) -> None:
        """Stop listening."""
        if not self._closed:
            self._closed = True
            if self.address.path is not None:
                remove_file(self.address.path, self._inode)
            self._socket.close()

"""Two queues in one process: the backend `memory`, for tests, and as the floor of what the layers above cost."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import threading

from tcpconn.address import Address
from tcpconn.transport import Link, LinkListener, LinkOptions
from tcpconn_memory.link import MemoryLink, pair
from tcpconn_memory.listener import MemoryListener

__all__ = ["MemoryTransport"]

_FIRST_FREE_PORT = 49152


class MemoryTransport:
    """Carries links between threads. `_lock` guards the table of listeners."""

    name = "memory"

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: dict[str | int, MemoryListener] = {}
        self._ports = itertools.count(_FIRST_FREE_PORT)
        self._pid = os.getpid()

    def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> Link:
        """Connect to a listener of this process.

        Raises:
            ConnectionRefusedError: nobody listens there, or to so many that there is no room for one more.
        """
        with self._own_lock():
            listener = self._listeners.get(_key(address))
        if listener is None:
            text = f"nobody listens at {address} in this process: backend 'memory' does not reach another"
            raise ConnectionRefusedError(errno.ECONNREFUSED, text)
        near, far = pair(str(address), f"{address} (memory)")
        try:
            listener.offer(far)
        except OSError:
            near.close()
            far.close()
            raise
        return near

    def listen(self, address: Address, options: LinkOptions) -> LinkListener:
        """Listen within this process.

        Raises:
            OSError: the address is in use.
        """
        with self._own_lock():
            if address.path is None and address.port == 0:
                address = Address(address.host, next(self._ports))
            if _key(address) in self._listeners:
                raise OSError(errno.EADDRINUSE, f"{address} is in use")
            listener = MemoryListener(address, options.max_links, self._remove)
            self._listeners[_key(address)] = listener
            return listener

    def adopt(self, accepted: socket.socket, options: LinkOptions) -> Link:
        """Refuse: there is no socket.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError("memory links have no socket")

    def _remove(self, listener: MemoryListener) -> None:
        with self._own_lock():
            if self._listeners.get(_key(listener.address)) is listener:
                del self._listeners[_key(listener.address)]

    def _own_lock(self) -> threading.Lock:
        """Return the lock; a forked child begins with a new one and without its parent's listeners."""
        if self._pid != os.getpid():
            self._lock = threading.Lock()
            self._listeners = {}
            self._pid = os.getpid()
        return self._lock


def _key(address: Address) -> str | int:
    """Return what tells listeners apart: in one process the host says nothing."""
    return address.port if address.path is None else address.path


def _conforms(link: MemoryLink) -> Link:  # checked by mypy
    return link

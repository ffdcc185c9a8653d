"""One `zmq.Context` for all sockets that a transport opens in this process, and a bounded wait for them at its exit.

It knows processes: after a fork the child gets a context of its own and leaves the parent's alone.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import Protocol

import zmq
from zmq.utils import garbage

from tcpconn.address import Address
from tcpconn_zmq.descriptors import require

__all__ = ["LINGER", "SharedContext"]

LINGER = 2.0
"""Seconds for which what was written before a close may still be on its way to a peer that lives. A dead peer keeps
the process from exiting for no longer than this."""

_UNBINDING = 1.0
"""Seconds within which libzmq's I/O thread has surely given back the address of a socket that was closed."""

_MAX_SOCKETS = 65_535
"""The most that libzmq manages; a dialled link takes three (its own and both ends of its monitor)."""


_end_references = getattr(garbage.gc, "_atexit", None)
"""What pyzmq does at the exit with its thread for references. Done before our own exit it closes the socket by which ZeroMQ's
I/O thread gives references back, now and then while that uses it: libzmq aborts the process, and the message is lost."""


class Settles(Protocol):
    """A socket whose owner may be a thread that ends with the interpreter."""

    def settle(self) -> None:
        """Return when everything that was asked of it is done, within a bounded time."""
        ...


class SharedContext:
    """Creates the context at first use and knows the sockets. Any thread; `_lock` guards everything.

    The lock is one that knows its owner: the garbage collector, which may run in a thread that has it, closes what an
    interrupt has left open.

    Attributes:
        exiting: the interpreter has begun to exit, so that nothing may be left for other threads to do.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._pid = 0
        self._open: weakref.WeakSet[zmq.Socket[bytes]] = weakref.WeakSet()
        self.exiting = False
        self._sockets: weakref.WeakSet[Settles] = weakref.WeakSet()
        self._unbound: dict[Address, float] = {}
        if _end_references is not None:
            # Done by us when there is nothing left to give back.
            atexit.unregister(_end_references)
        atexit.register(self._at_exit)

    @property
    def open(self) -> int:
        """How many sockets are open."""
        return len(self._open)

    def register(self, socket: Settles) -> None:
        """Have a socket settled when the interpreter exits."""
        with self._lock:
            self._sockets.add(socket)

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        """Open a socket that counts as open until `released` is called for it, or it is garbage.

        Raises:
            OSError: no more sockets or descriptors.
        """
        if self._pid != os.getpid():  # the lock may have been held by a thread that does not exist in this child
            self._lock = threading.RLock()
            self._context = None
            self._sockets = weakref.WeakSet()  # the parent's are not ours to settle
            self._open = weakref.WeakSet()
            self._pid = os.getpid()
        with self._lock:
            require()
            try:
                if self._context is None or self._context.closed:
                    self._context = zmq.Context(1)
                    self._context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
                opened = self._context.socket(kind)
            except zmq.ZMQError as error:
                raise OSError(error.errno or 0, f"no ZeroMQ socket can be opened: {error}") from error
            self._open.add(opened)
            return opened

    def released(self, socket: zmq.Socket[bytes]) -> None:
        """Note that a socket was closed. After the interpreter has begun to exit, the last one waits for what lingers."""
        with self._lock:
            self._open.discard(socket)
            if self.exiting:
                self._finish()

    def note_unbound(self, address: Address) -> None:
        """Note that a bound socket was closed, which libzmq's I/O thread does later."""
        now = time.monotonic()
        with self._lock:
            self._unbound.pop(address, None)
            self._unbound[address] = now
            while now - self._unbound[oldest := next(iter(self._unbound))] >= _UNBINDING:
                del self._unbound[oldest]

    def is_unbinding(self, address: Address) -> bool:
        """Say whether an address may be in use only because the I/O thread is not yet done with a socket of this process."""
        with self._lock:
            when = self._unbound.get(address)
        return when is not None and time.monotonic() - when < _UNBINDING

    def _at_exit(self) -> None:
        # Exit handlers that run later may still close links, so what is open is left open here: `released` sees to it.
        if self._pid == os.getpid():
            with self._lock:
                self.exiting = True
                sockets = list(self._sockets)
            for socket in sockets:
                socket.settle()
            with self._lock:
                self._finish()

    def _finish(self) -> None:
        if self._open:
            return
        if self._context is not None:
            self._context.term()  # waits while closed sockets linger: LINGER at most
        if _end_references is not None:
            _end_references()

    def __repr__(self) -> str:
        return f"<SharedContext open={self.open}>"

"""What becomes of a socket that has said its goodbye: it is read, and what comes is dropped, until the peer has ended, too.

A socket that is closed before answers what its peer still sends by a reset, and a reset destroys what was sent earlier and
has not reached the peer yet. The kernel does not wait for the peer by itself: SO_LINGER is about this end's buffer only.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Callable

from tcpconn_tcp.waker import Waker

__all__ = ["LIMIT", "close_when_the_peer_has"]

LIMIT = 2.0
"""Seconds after which a socket is closed whatever its peer does; a peer that receives has long ended by then."""

_DISCARDED = 64 * 1024
_DISCARDS = 16
"""Reads at once from one socket, so that no peer keeps the others waiting by sending without end."""

Ending = tuple[socket.socket, Callable[[], None], float]
"""A socket, what to call when it is closed, and when to close it at the latest."""


class _Lingering:
    """The sockets that wait for their peers, and one thread for as long as there are any.

    `_lock` guards all of it. `_waker` is there while the thread runs. The thread sets it itself, so that an interrupt while it
    is started, which takes a while, leaves neither a thread nor a socket that nobody knows of. `_offered` is what the next
    thread may take; one that finds another there goes.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._arrived: list[Ending] = []
        self._waker: Waker | None = None
        self._offered: Waker | None = None

    def add(self, ending: Ending) -> None:
        """Take a socket over.

        Raises:
            RuntimeError: no thread can be started, for one because the interpreter exits.
            OSError: there is no descriptor for waking it.
        """
        with self._lock:
            self._arrived.append(ending)
            if self._waker is not None:
                self._waker.set()
                return
            waker: Waker | None = None
            before = self._offered
            try:
                waker = Waker()
                self._offered = waker
                threading.Thread(target=self._run, args=(waker,), name="tcpconn-tcp-lingering", daemon=True).start()
            except (RuntimeError, OSError):
                # It may run all the same: an interrupt in `start`, which waits for it, may come out as RuntimeError.
                self._offered = before
                self._arrived.remove(ending)
                if waker is not None:
                    waker.close()
                raise

    def _run(self, waker: Waker) -> None:
        with self._lock:
            if self._offered is not waker:
                waker.close()
                return
            self._offered = None
            self._waker = waker
        staying: dict[int, Ending] = {}
        poll = select.poll()
        poll.register(waker.fileno(), select.POLLIN)
        while True:
            with self._lock:
                arrived, self._arrived = self._arrived, []
                if not arrived and not staying:
                    self._waker = None
                    break
            for ending in arrived:
                descriptor = ending[0].fileno()
                if descriptor >= 0:
                    staying[descriptor] = ending
                    poll.register(descriptor, select.POLLIN)
                else:
                    # An interrupt came while it was handed over.
                    ending[1]()
            latest = min((deadline for _, _, deadline in staying.values()), default=None)
            events = poll.poll(None if latest is None else max(latest - time.monotonic(), 0.0) * 1000)
            waker.clear()
            now = time.monotonic()
            over = {descriptor for descriptor, (_, _, deadline) in staying.items() if deadline <= now}
            over.update(descriptor for descriptor, _ in events if descriptor in staying and _has_ended(staying[descriptor][0]))
            for descriptor in over:
                connected, on_close, _ = staying.pop(descriptor)
                poll.unregister(descriptor)
                connected.close()
                on_close()
        waker.close()

    def after_fork(self) -> None:
        """Forget, in a forked child, what the parent's thread does; the child's share of the sockets is given back."""
        for connected, _, _ in self._arrived:
            connected.close()
        self.__init__()  # type: ignore[misc]


def _has_ended(connected: socket.socket) -> bool:
    """Read what has come; return whether the peer has ended, or is gone."""
    try:
        for _ in range(_DISCARDS):
            if not connected.recv(_DISCARDED):
                return True
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


_lingering = _Lingering()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_lingering.after_fork)


def close_when_the_peer_has(connected: socket.socket, on_close: Callable[[], None]) -> None:
    """Close a non-blocking socket, whose writing side is shut down, once its peer has ended or `LIMIT` has passed.

    Never blocks. Where no thread can wait for the peer the socket is closed at once.

    Args:
        connected: the socket, which nobody else uses any more.
        on_close: called when it is closed, by this thread or another.
    """
    try:
        ended = _has_ended(connected)
    except BaseException:
        connected.close()
        on_close()
        raise
    if not ended:
        try:
            _lingering.add((connected, on_close, time.monotonic() + LIMIT))
        except (RuntimeError, OSError):
            # The interpreter exits, or there is no descriptor to be had.
            pass
        else:
            return
    connected.close()
    on_close()

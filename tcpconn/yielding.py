"""Getting a lock that many threads want, without standing in line for it.

The lock's holder never waits for anything while it holds it, so where another thread finds it held, the holder has only
been stopped by the interpreter, which lets each thread run for 5 ms. Whoever then sleeps until the lock is released is woken
by that and gets it while the releaser runs on, finds it held, and sleeps in turn: from then on each message costs two changes
of threads. Eight threads that sent on one link got half as much through as one. To let the holder go on, and to look again,
costs them one change every 5 ms.
"""

from __future__ import annotations

import threading
from time import sleep

__all__ = ["give_way"]

_MOST = 1000
"""Looks before the lock is waited for after all: its holder is not running at all, in a debugger perhaps."""


def give_way(lock: threading.Lock) -> None:
    """Let other threads run until a lock is free, or was for a moment; the caller then takes it as it always does."""
    for _ in range(_MOST):
        sleep(0)
        if not lock.locked():
            return

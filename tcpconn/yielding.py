"""Getting a lock that many threads want, without standing in line for it.

The lock's holder never waits for anything while it holds it, so where another thread finds it held, the holder has only
been stopped by the interpreter, which lets each thread run for 5 ms. Whoever then sleeps until the lock is released is given
it while the releaser runs on, and holds it until the interpreter lets it run; the releaser finds it held, and sleeps in turn:
from then on each message costs two changes of threads. Eight threads that sent on one link got a fifth of one's messages
through. To let the holder go on, and to try again, costs them one change every 5 ms.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from time import sleep

__all__ = ["acquire"]

_MOST = 1000
"""Tries before the lock is waited for after all: its holder is not running at all, in a debugger perhaps."""


def acquire(lock: threading.RLock) -> None:
    """Acquire a lock that was found held, letting other threads run meanwhile.

    Whatever interrupts it, the caller holds the lock afterwards, and releases it in a `finally` around both tries:

        try:
            if not lock.acquire(False):
                acquire(lock)
            ...
        finally:
            try:
                lock.release()
            except RuntimeError:
                pass  # an interrupt came before it was acquired

    That is for locks that know their owner: where an interrupt comes between the two, they refuse to be released.
    """
    try:
        for _ in range(_MOST):
            sleep(0)
            if lock.acquire(blocking=False):
                return
    except BaseException:
        # It may have come in just after the lock was got.
        with suppress(RuntimeError):
            lock.release()
        lock.acquire()
        raise
    lock.acquire()

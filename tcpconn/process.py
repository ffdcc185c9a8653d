"""What exists once per process: the caretaker, and what to do when the process forks or exits."""

from __future__ import annotations

import atexit
import os
import threading
import time

from tcpconn.caretaker import Caretaker
from tcpconn.delivering import finish
from tcpconn.leading import carry_out

__all__ = ["caretaker"]

_lock = threading.Lock()
"""Guards `_caretaker`."""

_caretaker: Caretaker | None = None

EXIT_LIMIT = 5.0
"""Seconds that the exit of the interpreter waits for acknowledgements, over all connections."""


def caretaker() -> Caretaker:
    """Return the process's caretaker, running."""
    global _caretaker
    with _lock:
        if _caretaker is None:
            _caretaker = Caretaker()
        _caretaker.start()
        return _caretaker


def _at_exit() -> None:
    if _caretaker is None:
        return
    deadline = time.monotonic() + EXIT_LIMIT
    for carrier in _caretaker.carriers:
        linger = carrier.config.linger
        left = max(deadline - time.monotonic(), 0)
        carry_out(finish(carrier, left if linger is None else min(linger, left), "the process exits"))


def _after_fork_in_child() -> None:
    global _caretaker, _lock
    _lock = threading.Lock()
    inherited, _caretaker = _caretaker, None
    if inherited is not None:
        inherited.after_fork()
        for carrier in inherited.carriers:
            carrier.after_fork()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

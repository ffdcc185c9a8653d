"""The library's logger, which fails nobody: a handler that cannot write, for one because the disk is full, changes nothing.

It is called with locks held, in the middle of changes of state, and by the one thread that keeps every connection going.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from typing import Any

__all__ = ["SafeLogger", "logger"]


class SafeLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger that tells stderr what a handler has raised, as `logging` does for what its own handlers raise."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log, and raise nothing."""
        kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
        try:
            super().log(level, msg, *args, **kwargs)
        except Exception:
            if logging.raiseExceptions and sys.stderr is not None:
                # stderr may lead to the same full disk.
                with suppress(OSError):
                    traceback.print_exc()


def logger(name: str = "tcpconn") -> SafeLogger:
    """Return the logger of this name."""
    return SafeLogger(logging.getLogger(name), {})

"""Keeps libzmq from running out of descriptors, which it does not survive well: it hangs, spins or ends the process.

(libzmq 4.3.5: epoll asks a listener that cannot accept again at once; an `epoll_create` that fails is an abort.)
"""

from __future__ import annotations

import errno
import os

__all__ = ["RESERVE", "available", "require"]

RESERVE = 8
"""Descriptors that a listener leaves free to accept with, so that whoever is one too many can be shown out."""

_FOR_A_SOCKET = 16
"""Enough for a socket, its monitor and its connection (7 on Linux), and for ZeroMQ's own threads at the first one (6)."""


def available(most: int) -> int:
    """Return how many more descriptors this process can open, up to `most`."""
    return _take(most)[0]


def require() -> None:
    """Make sure that there are descriptors for one more ZeroMQ socket.

    Raises:
        OSError: there are not (`EMFILE` or `ENFILE`).
    """
    taken, error = _take(_FOR_A_SOCKET)
    if error is not None:
        text = f"{os.strerror(error)} ({taken} are left, and a ZeroMQ socket may take {_FOR_A_SOCKET})"
        raise OSError(error, text)


def _take(most: int) -> tuple[int, int | None]:
    held: list[int] = []
    try:
        while len(held) < most:
            held.append(os.dup(held[0]) if held else os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return len(held), error.errno or errno.EMFILE
    finally:
        for fd in held:
            os.close(fd)
    return len(held), None

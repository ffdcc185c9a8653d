"""A socket of one's own upon a descriptor that is somebody else's, to ask it and to shut it down, but never to close it."""

from __future__ import annotations

import os
import socket

__all__ = ["duplicate_socket"]


def duplicate_socket(descriptor: int) -> socket.socket:
    """Return a socket, to be closed by the caller, that stands for the same connection.

    `socket.socket(fileno=...)` on the descriptor itself closes it when an interrupt drops the object: its owner would go on
    with a number that is another file's by then.

    Raises:
        OSError: it is no socket, or closed, or there is no descriptor to be had.
    """
    copy = os.dup(descriptor)
    try:
        return socket.socket(fileno=copy)
    except OSError:  # not for an interrupt, that may find it the socket's already
        os.close(copy)
        raise

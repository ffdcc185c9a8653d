"""Where the subjects listen: on the loopback interface if nothing else is said, or at a Unix socket in a folder of its own."""

from __future__ import annotations

import socket
import tempfile

__all__ = ["SocketPath", "host", "listen_on", "why_no_unix_sockets"]

_host = "127.0.0.1"

_LONGEST = 100
"""Bytes of a path: Linux takes 107 in the address of a Unix socket, macOS and the BSDs 103."""


def host() -> str:
    """Return the host at which this process' subject listens; the port is any that is free."""
    return _host


def listen_on(host: str) -> None:
    """Let this process' subject listen at another host, for a client on another machine."""
    global _host
    _host = host


class SocketPath:
    """A path for one Unix socket; its folder is removed with it.

    The folder is where Python puts temporary files, which for the processes of a comparison is a folder that it removes; or,
    where that makes the path too long, in `/tmp`.

    Raises:
        OSError: no folder can be made, or its path is too long.
    """

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="unix-")
        if len(f"{self._folder.name}/socket".encode()) > _LONGEST:
            self._folder.cleanup()
            self._folder = tempfile.TemporaryDirectory(prefix="unix-", dir="/tmp")
        self.path = f"{self._folder.name}/socket"

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        self._folder.cleanup()


def why_no_unix_sockets() -> str | None:
    """Return why there are no Unix sockets here, or None."""
    return None if hasattr(socket, "AF_UNIX") else "this system has no Unix sockets"

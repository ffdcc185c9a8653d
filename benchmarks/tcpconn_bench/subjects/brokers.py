"""A server of another's that a subject needs, as a process of its own that ends when the subject's does, however that ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from time import monotonic

__all__ = ["Broker", "find_program"]

SYSTEMS_OWN = ("/usr/sbin", "/usr/local/sbin")
"""Where distributions put programs that only the system is to start; they are on few users' paths."""

_DEADLINE = 10.0
_SHOWN_LINES = 5
_KEPT_LINES = 1000

_GUARD = """
"$@" </dev/null 2>&1 &
server=$!
exec >&- 2>&-
read -r _
kill "$server"
wait "$server"
"""
"""A shell ends the server when its own input ends, which it does when the process that holds the other end is no more."""


def find_program(name: str) -> str | None:
    """Return the path of a server's program, or None."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", os.defpath), *SYSTEMS_OWN]))


class Broker:
    """A running server and the folder that is its own; used by one thread.

    Args:
        command: the program and its arguments; the folder is its current one.
        ready: what the line of its output contains that says it can be used.

    Attributes:
        said: what it has said until then, line by line.

    Raises:
        OSError: it has ended, or said nothing of the kind within 10 s; the text has what it said.
    """

    def __init__(self, command: Sequence[str], ready: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="broker-")
        self._program = command[0]
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=self._folder.name,
        )
        self.said: list[str] = []
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._reader = threading.Thread(target=self._read, name="broker output", daemon=True)
        self._reader.start()
        try:
            self._wait_until(ready)
        except BaseException:
            self.close()
            raise

    def _read(self) -> None:
        """Read all that it says, lest it wait for a reader; only what it says at first is kept."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                if self._lines.qsize() < _KEPT_LINES:
                    self._lines.put(line.rstrip())
        self._lines.put(None)

    def _wait_until(self, ready: str) -> None:
        deadline = monotonic() + _DEADLINE
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - monotonic()))
            except Empty:
                raise OSError(self._complaint(f"is not ready after {_DEADLINE:g} s")) from None
            if line is None:
                raise OSError(self._complaint("has ended"))
            self.said.append(line)
            if ready in line:
                return

    def _complaint(self, what: str) -> str:
        return "; ".join([f"{self._program} {what}", *self.said[-_SHOWN_LINES:]])

    def close(self) -> None:
        """End the server and remove its folder; idempotent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(_DEADLINE)
        self._folder.cleanup()

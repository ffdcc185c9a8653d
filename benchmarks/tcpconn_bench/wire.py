"""How many bytes processes send over TCP, headers included, as the kernel counts them; this needs no special rights.

Linux keeps for each TCP socket how many bytes it has sent, those sent again among them, and in how many segments; `ss` tells,
and a socket belongs to a process that has it open. To that come the headers of IP and TCP of each segment, those too that only
acknowledge. Segments are those of the loopback interface, up to 64 KiB; on another network there are more, and so more headers.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping

__all__ = ["difference", "sent", "why_not"]

_TIMEOUT = 20.0
_IPV4, _IPV6, _TCP, _TIMESTAMPS = 20, 40, 20, 12
"""Bytes of the headers of a segment."""

_NUMBERS = re.compile(r" (ino|bytes_sent|segs_out):(\d+)")


def why_not() -> str | None:
    """Return why it cannot be told here, or None."""
    return None if shutil.which("ss") else "bytes on the wire: there is no program `ss` (iproute2) on the path"


def sent(processes: Iterable[int]) -> dict[int, int]:
    """Return how many bytes each TCP socket of these processes has sent so far, by the socket's number.

    Empty if they have none, or if it cannot be told.
    """
    wanted = {number for pid in processes for number in _sockets(pid)}
    try:
        done = subprocess.run(
            ["ss", "--tcp", "--numeric", "--no-header", "--extended", "--info", "--oneline"],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[int, int] = {}
    for line in done.stdout.splitlines():
        numbers = {name: int(number) for name, number in _NUMBERS.findall(line)}
        if numbers.get("ino") in wanted:
            header = (_IPV6 if "[" in line else _IPV4) + _TCP + (_TIMESTAMPS if " ts " in line else 0)
            found[numbers["ino"]] = numbers.get("bytes_sent", 0) + numbers.get("segs_out", 0) * header
    return found


def difference(before: Mapping[int, int], after: Mapping[int, int]) -> int | None:
    """Return how many bytes were sent in between; None if there was no TCP socket.

    What a socket has sent that is closed by now is missing.
    """
    return sum(count - before.get(number, 0) for number, count in after.items()) if after else None


def _sockets(pid: int) -> list[int]:
    found: list[int] = []
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            try:
                target = os.readlink(entry.path)
            except OSError:
                continue  # closed meanwhile
            if target.startswith("socket:["):
                found.append(int(target[8:-1]))
    except OSError:
        pass  # the process has ended, or there is no /proc
    return found

"""Counting what an operation costs in the thread that does it: calls, system calls, memory. No clock is read.

The counts are those of one interpreter's minor version: what Python calls by itself, and how large its objects are, changes
from one to the next.
"""

from __future__ import annotations

import gc
import socket
import statistics
import sys
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

__all__ = ["Calls", "Meter", "Peaks", "live_blocks"]

T = TypeVar("T")


class Meter:
    """Runs operations, and counts nothing; what others derive from."""

    def count(self, role: str, operation: Callable[..., T], *arguments: Any) -> T:
        """Run an operation and count what it costs; the account is named by the role and the operation."""
        return operation(*arguments)


class Calls(Meter):
    """Counts calls of functions, those in Python and those in C, except what files of the tests do.

    Calls of types (`bytes(view)`) and of slots (`a + b`) are none to Python's profiler; a copy shows in `Peaks`.

    Args:
        harness: files whose own calls do not count.
    """

    def __init__(self, *harness: str) -> None:
        self.calls: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.system_calls: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._harness = {*harness, __file__}

    def count(self, role: str, operation: Callable[..., T], *arguments: Any) -> T:
        account = f"{role} {operation.__name__}"
        calls, system_calls, harness = self.calls[account], self.system_calls[account], self._harness

        def seen(frame: FrameType, event: str, function: Any) -> None:
            if frame.f_code.co_filename in harness:
                return
            if event == "call":
                calls[frame.f_code.co_qualname] += 1
            elif event == "c_call":
                calls[function.__qualname__] += 1
                if _enters_the_kernel(function):
                    system_calls[function.__qualname__] += 1

        sys.setprofile(seen)
        try:
            return operation(*arguments)
        finally:
            sys.setprofile(None)


def _enters_the_kernel(function: Any) -> bool:
    name: str = function.__qualname__
    if isinstance(function.__self__, socket.socket):
        return name != "socket.fileno"
    return bool(function.__module__ == "posix") or name in ("poll.poll", "epoll.poll")


class Peaks(Meter):
    """Measures how many bytes of memory an operation needs at a time, beyond what there is when it begins."""

    def __init__(self) -> None:
        self._peaks: defaultdict[str, list[int]] = defaultdict(list)

    def count(self, role: str, operation: Callable[..., T], *arguments: Any) -> T:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        result = operation(*arguments)
        self._peaks[f"{role} {operation.__name__}"].append(tracemalloc.get_traced_memory()[1] - before)
        return result

    def usual(self) -> dict[str, float]:
        """Return the median for each account: now and then a list or a table grows."""
        return {account: statistics.median_low(peaks) for account, peaks in self._peaks.items()}


def live_blocks() -> int:
    """Return how many blocks of up to 512 bytes Python's objects hold; what is kept for reuse is given up first."""
    gc.collect()
    return sys.getallocatedblocks()

"""What a process and those that it has started use, processor time and memory: the server that a subject starts is its cost."""

from __future__ import annotations

import resource
import sys
import time

import psutil

__all__ = ["NoUsage", "Usage"]

_OF_A_PROCESS = 2
"""One of Linux' clocks: the processor time of another process, all its threads together (`CPUCLOCK_SCHED`)."""


class Usage:
    """The processor time and the memory of this process and of those that it has started so far, and they in turn.

    Who they are is found out once, here, as that takes some milliseconds; reading takes microseconds.
    """

    def __init__(self) -> None:
        self._others = psutil.Process().children(recursive=True)

    def cpu_seconds(self) -> float:
        """Return the processor time that they have used so far, in seconds."""
        return time.process_time() + sum(map(_cpu_seconds, self._others))

    def peak_memory(self) -> int:
        """Return the most memory that each of them has had so far, in bytes, added up."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return (peak if sys.platform == "darwin" else peak * 1024) + sum(map(_peak_memory, self._others))


class NoUsage(Usage):
    """Nothing, for a side whose process is the other side's, too, which counts it."""

    def __init__(self) -> None:
        pass

    def cpu_seconds(self) -> float:
        return 0.0

    def peak_memory(self) -> int:
        return 0


def _cpu_seconds(process: psutil.Process) -> float:
    try:
        # The clock of `clock_getcpuclockid`, on Linux; what psutil reads counts in hundredths of a second.
        return time.clock_gettime(~process.pid << 3 | _OF_A_PROCESS)
    except OSError:
        pass
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _peak_memory(process: psutil.Process) -> int:
    """Return the most memory of another process; where the system does not tell, what it has now."""
    try:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as status:
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0

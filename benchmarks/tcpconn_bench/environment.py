"""What a result needs to say about the machine and the software it was measured with."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

__all__ = ["describe"]

_PACKAGES = ("tcpconn", "pyzmq", "msgpack", "hdrhistogram", "psutil", "rich")


def describe(command_line: str) -> dict[str, Any]:
    """Return the environment, for the result file."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command_line": command_line,
        "cpu": {
            "model": _cpu_model(),
            "cores": psutil.cpu_count(logical=False),
            "logical_cores": psutil.cpu_count(),
            "usable_cores": _usable_cores(),
            "pinned_to": _pinned_to(),
            "governor": _governor(),
        },
        "memory_bytes": psutil.virtual_memory().total,
        "platform": platform.platform(),
        "system": platform.system(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "tcp_congestion_control": _congestion_control(),
        "python": {
            "version": platform.python_version(),
            "implementation": platform.python_implementation(),
            "compiler": platform.python_compiler(),
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        },
        "versions": {**{name: version(name) for name in _PACKAGES}, "libzmq": _libzmq()},
    }


def version(package: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _libzmq() -> str | None:
    try:
        import zmq
    except ImportError:
        return None
    return zmq.zmq_version()


def _usable_cores() -> int | None:
    """Return how many cores this process may run on; fewer than there are, in many a container."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _pinned_to() -> list[int] | None:
    """Return the cores that this process is held to; None if it may run on all of them, or nobody knows."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return None if len(cores) == os.cpu_count() else cores


def _governor(folder: Path = Path("/sys/devices/system/cpu/cpu0/cpufreq")) -> str | None:
    """Return what decides how fast the first core runs; None where nothing can be chosen, as in most virtual machines."""
    return _word_in(folder / "scaling_governor")


def _congestion_control(folder: Path = Path("/proc/sys/net/ipv4")) -> str | None:
    """Return what TCP connections begin with; None where the system does not say. With BBR even the loopback is paced."""
    return _word_in(folder / "tcp_congestion_control")


def _word_in(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

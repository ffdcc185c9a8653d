"""How many system calls processes make, counted by `perf` or, where that is not permitted, by `strace`.

`perf` costs a call next to nothing. `strace` stops the process at each: what it counts is right, but of a process for which
system calls are slow, so that more is gathered for each. Neither's times are used for anything.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

__all__ = ["CannotCount", "SystemCalls", "find_tool"]

_DEADLINE = 20.0
_EVENT = "raw_syscalls:sys_enter"


class CannotCount(Exception):
    """The tool does not do it; the text says why."""


def find_tool() -> str:
    """Return the tool that may count here: "perf" or "strace".

    Raises:
        CannotCount: neither may.
    """
    reasons: list[str] = []
    for tool, attempt in (("perf", ["perf", "stat", "-e", _EVENT, "true"]), ("strace", ["strace", "-f", "-c", "true"])):
        if shutil.which(tool) is None:
            reasons.append(f"{tool} is not installed")
            continue
        done = subprocess.run(attempt, capture_output=True, text=True, timeout=_DEADLINE, check=False)
        if done.returncode == 0 and "not supported" not in done.stderr:
            return tool
        reasons.append(f"{tool} is not permitted")
    raise CannotCount(f"system calls: {' and '.join(reasons)}")


class SystemCalls:
    """Counts, between entering and leaving it, the system calls of some processes, all their threads together.

    Attributes:
        count: how many there were, once it is left.

    Raises:
        CannotCount: on entering, it is not permitted; on leaving, the tool tells nothing.
    """

    def __init__(self, tool: str, processes: Sequence[int]) -> None:
        self._kind = _Perf if tool == "perf" else _Strace
        self._processes = processes
        self._tool: _Perf | _Strace
        self.count = 0

    def __enter__(self) -> SystemCalls:
        self._tool = self._kind(self._processes)
        try:
            self._tool.begin()
        except BaseException:
            self._tool.end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        told = self._tool.end()
        if kind is not None:
            return
        counts = self._tool.counts.findall(told)
        if not counts:
            raise CannotCount(f"system calls: the tool said {told.strip()[-200:]!r}")
        self.count = sum(map(int, counts))


class _Tool:
    """A program that counts until it is interrupted and then writes down what it has counted."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="calls-")  # noqa: SIM115 - until `end`
        self._process: subprocess.Popen[bytes]

    def end(self) -> str:
        """End it, and return what it has written."""
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
                self._process.wait(_DEADLINE)
        finally:
            if self._process.poll() is None:
                self._process.kill()
                self._process.wait()
            if self._process.stderr is not None:
                self._process.stderr.close()
            text = Path(self._file.name).read_text(encoding="utf-8", errors="replace")
            self._file.close()
        return text


class _Perf(_Tool):
    """`perf stat` of the tracepoint that each system call enters by; it is told when to begin, and says so."""

    counts = re.compile(rf"^(\d+),[^,]*,{_EVENT}", re.MULTILINE)

    def __init__(self, processes: Sequence[int]) -> None:
        super().__init__()
        control, self._control = os.pipe()
        self._said, said = os.pipe()
        self._process = subprocess.Popen(
            [
                *("perf", "stat", "-x,", "-e", _EVENT, "-D", "-1", "--control", f"fd:{control},{said}"),
                *("-o", self._file.name, "-p", ",".join(map(str, processes))),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(control, said),
        )
        os.close(control)
        os.close(said)

    def begin(self) -> None:
        self._tell(b"enable\n")

    def end(self) -> str:
        try:
            if self._process.poll() is None:
                self._tell(b"disable\n")
        finally:
            os.close(self._control)
            os.close(self._said)
            text = super().end()
        return text

    def _tell(self, command: bytes) -> None:
        try:
            os.write(self._control, command)
        except BrokenPipeError:
            raise CannotCount("system calls: perf has ended") from None
        if not (select.select([self._said], [], [], _DEADLINE)[0] and os.read(self._said, 100).startswith(b"ack")):
            raise CannotCount("system calls: perf does not begin")


class _Strace(_Tool):
    """`strace`, attached to the processes; it says for each that it is."""

    counts = re.compile(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(?!total)\w+$", re.MULTILINE)

    def __init__(self, processes: Sequence[int]) -> None:
        super().__init__()
        self._left = {str(pid) for pid in processes}
        self._process = subprocess.Popen(
            ["strace", "-f", "-c", "-o", self._file.name, *(part for pid in processes for part in ("-p", str(pid)))],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def begin(self) -> None:
        assert self._process.stderr is not None
        said = b""
        while self._left:
            ready = select.select([self._process.stderr], [], [], _DEADLINE)[0]
            data = os.read(self._process.stderr.fileno(), 65536) if ready else b""
            said += data
            if not data or b"attach:" in said:
                raise CannotCount(f"system calls: {said.decode(errors='replace').strip() or 'strace does not begin'}")
            for pid in re.findall(r"Process (\d+) attached", said.decode(errors="replace")):
                self._left.discard(pid)

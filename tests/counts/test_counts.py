"""What a message costs, in calls, system calls and memory, is what was committed: a regression of speed that no clock decides.

The counts of a run do not vary, so no machine is too slow or too busy for them. After a change that is meant to change them run
`pytest tests/counts --write-figures` with each version of Python (`tox -e py311-tcp,py312-tcp,py313-tcp -- tests/counts
--write-figures`) and commit `figures.toml`.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

import hot_paths
from figures import Figures, complaints, margin

HOW = "`pytest tests/counts --write-figures` commits what was counted, for the Python that runs it"

IN_USE = {"sendto", "sendmsg", "readv", "poll", "ppoll"}
"""The system calls that tcp's links make for messages, as Linux names them."""

NOT_OURS = {"ioctl", "write", "recvfrom", "futex", "brk", "mmap", "munmap", "mremap", "madvise"}
"""Those of the program that drives the paths, and those by which Python passes its lock on and takes memory."""


@pytest.mark.parametrize("path", hot_paths.PATHS)
def test_a_hot_path_costs_what_is_committed(path: str, counted: Figures, committed: Figures) -> None:
    found = complaints(path, counted[path], committed.get(path, {}), margin())
    assert not found, "\n".join([*found, HOW])


def test_a_small_message_holds_what_is_committed(counted: Figures, committed: Figures) -> None:
    path = "memory of a message of 100 B"
    found = complaints(path, counted[path], committed.get(path, {}), margin())
    assert not found, "\n".join([*found, HOW])


def test_nothing_is_kept_of_a_message_that_was_acknowledged(counted: Figures) -> None:
    assert counted["memory of a message of 100 B"]["kept after that, blocks"] == 0


@pytest.mark.parametrize("path", hot_paths.PATHS)
def test_the_kernel_sees_the_system_calls_that_were_counted(
    path: str, counted: Figures, program: tuple[list[str], dict[str, str]], tmp_path: Path
) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "log"
    strace = ["strace", "-f", "-o", str(log)]
    if subprocess.run([*strace, "true"], capture_output=True, timeout=20, check=False).returncode:
        pytest.skip("strace is not permitted to trace")
    command, environment = program
    subprocess.run([*strace, *command, path], env=environment, cwd=tmp_path, capture_output=True, timeout=50, check=True)
    during = log.read_text().split('write(1, "begin\\n"')[1].split('write(1, "end\\n"')[0]
    seen = Counter(re.findall(r"^\d+ +(\w+)\(", during, re.MULTILINE))
    for name in NOT_OURS:
        del seen[name]
    assert set(seen) <= IN_USE
    expected = sum(count for what, count in counted[path].items() if what.endswith("system calls"))
    assert seen.total() / hot_paths.ROUNDS == pytest.approx(expected)

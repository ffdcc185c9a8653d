"""What a process and those that it has started use."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

from tcpconn_bench.usage import Usage

_BUSY = """
import os, time
os.write(1, b"begun")
os.read(0, 1)
while time.process_time() < 0.2: pass
kept = b"x" * 50_000_000
os.write(1, b"done")
os.read(0, 1)
"""


def test_the_time_and_the_memory_of_a_process_that_was_started_are_counted_with_ones_own() -> None:
    with subprocess.Popen([sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.read(5) == b"begun"
        usage = Usage()
        before, own_before, memory_before = usage.cpu_seconds(), time.process_time(), usage.peak_memory()
        process.stdin.write(b"x")
        process.stdin.flush()
        assert process.stdout.read(4) == b"done"
        spent = psutil.Process(process.pid).cpu_times()
        counted, own = usage.cpu_seconds() - before, time.process_time() - own_before
        # It has used some before, to start; psutil's figures are hundredths of a second.
        assert 0.1 < counted - own <= spent.user + spent.system + 0.1
        assert 50_000_000 <= usage.peak_memory() - memory_before < 150_000_000
        process.stdin.close()


def test_a_process_that_has_ended_meanwhile_is_no_failure() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        usage = Usage()
        process.kill()
        process.wait()
    assert usage.cpu_seconds() == pytest.approx(time.process_time(), abs=0.5)
    assert usage.peak_memory() > 0

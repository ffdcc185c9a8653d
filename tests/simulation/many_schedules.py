"""Run very many simulated schedules on all CPUs, each from a seed of its own; `--help` tells how to say how many.

Prints how many there were and how many a minute; a schedule that fails is told with its seed, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from simulated_checks import Violated, simulate

BLOCK = 200
"""Schedules that a process is given at a time."""


def run_block(first: int, count: int) -> str | None:
    """Run schedules; return what is wrong with the first that fails, or None."""
    for seed in range(first, first + count):
        try:
            simulate(seed)
        except Violated as failure:
            return str(failure)
    return None


def blocks(first: int, count: int | None) -> Iterator[tuple[int, int]]:
    """Give out seeds, block by block, without end if there is no count."""
    begun = first
    while count is None or begun < first + count:
        size = BLOCK if count is None else min(BLOCK, first + count - begun)
        yield begun, size
        begun += size


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--schedules", type=int, help="how many at the most")
    parser.add_argument("--seconds", type=float, default=60.0, help="begin none after so many seconds (default: 60)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default: 0)")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)), help="default: one for each CPU")
    chosen = parser.parse_args()
    begun = time.monotonic()
    done = 0
    failures: list[str] = []
    waiting: dict[Future[str | None], int] = {}
    with ProcessPoolExecutor(chosen.processes, mp_context=multiprocessing.get_context("spawn")) as pool:
        for first, count in blocks(chosen.first, chosen.schedules):
            waiting[pool.submit(run_block, first, count)] = count
            while len(waiting) > 2 * chosen.processes:
                done += collect(waiting, failures)
            if failures or time.monotonic() - begun >= chosen.seconds:
                break
        while waiting:
            done += collect(waiting, failures)
    seconds = time.monotonic() - begun
    print(f"{done} schedules in {seconds:.0f} s on {chosen.processes} CPUs, {60 * done / seconds:.0f} a minute")
    for failure in failures:
        print(failure)
    return bool(failures)


def collect(waiting: dict[Future[str | None], int], failures: list[str]) -> int:
    """Wait for a block to be done; return how many schedules were."""
    finished = wait(waiting, return_when=FIRST_COMPLETED).done
    failures += [failure for future in finished if (failure := future.result()) is not None]
    return sum(waiting.pop(future) for future in finished)


if __name__ == "__main__":
    sys.exit(main())

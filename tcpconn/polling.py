"""Adaptive busy polling: read without sleeping for a moment, as long as that is measured to be the quicker way.

Waking a sleeping process costs far more than the work that it wakes for: a round trip of 100 bytes took 58 to 64 µs with
blocking reads and 7.6 µs with polling ones on the machine of DESIGN §4. But a poll is time taken from others, and where there
are more busy threads than CPUs one of those may be the peer's: there polling made round trips three times as long. No rule
foretells that, so waits are timed, and now and then the other way is tried for a few.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

__all__ = ["BusyPoll"]

_PATIENCE = 4
"""Polls in a row that may find nothing before sleeping becomes the rule again."""

_FAST = 3.0
"""A wait this many times as long as the polling time still suggests that polling would have paid: waking up is in it."""

_SAMPLES = 16
"""Waits that are timed before the two ways are compared."""

_UNTIMED = 112
"""Polls between two comparisons that are not timed: looking at the clock is part of what they cost."""

_MOST = 64
"""Comparisons until the way that has lost is tried again, at most; the first time it is one, and twice as many each time."""

_CLIPPED = 20.0
"""A wait counts as no longer than this many times the polling time: the peer may have had nothing to say."""


def _cpus() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


class BusyPoll:
    """Decides for one link whether to poll; the holder of the link's seat calls it.

    Attributes:
        duration: seconds for which it polls; 0 if it never does.
        worthwhile: whether to poll now.
    """

    __slots__ = (
        "_misses",
        "_pause",
        "_rounds",
        "_samples",
        "_spent",
        "_sum",
        "_trying",
        "_untimed",
        "_usual",
        "duration",
        "worthwhile",
    )

    def __init__(self, duration: float) -> None:
        self.duration = duration if _cpus() > 1 else 0.0
        self.worthwhile = False
        self._misses = 0
        self._spent = 0.0
        self._sum = 0.0
        self._samples = 0
        self._untimed = 0
        # Seconds of a wait, by whether it polled.
        self._usual = {False: float("inf"), True: float("inf")}
        self._trying = False
        self._rounds = self._pause = 1

    def waited(self, seconds: float, count: int) -> None:
        """Learn that a sleeping read took so long and brought so many bytes."""
        seconds += self._spent
        self._spent = 0.0
        if count and self.duration:
            self._learn(seconds)

    def read(self, read: Callable[[float | None], int], deadline: float | None) -> int:
        """Poll; return how many bytes came, 0 if none did in time."""
        clock = time.monotonic
        begun = clock()
        end = begun + self.duration
        if deadline is not None:
            end = min(end, deadline)
        while True:
            if count := read(0):
                self._misses = 0
                if self._untimed:
                    self._untimed -= 1
                else:
                    self._learn(clock() - begun)
                return count
            now = clock()
            if now >= end:
                break
        self._spent = now - begun
        self._misses += 1
        if self._misses >= _PATIENCE:
            self._usual[True] = float("inf")
            self._lose()
        return 0

    def _learn(self, seconds: float) -> None:
        self._sum += min(seconds, _CLIPPED * self.duration)
        self._samples += 1
        if self._samples == _SAMPLES:
            self._compare()

    def _compare(self) -> None:
        polls = self.worthwhile
        before, other = self._usual[polls], self._usual[not polls]
        seconds = self._usual[polls] = self._sum / _SAMPLES
        self._sum = 0.0
        self._samples = 0
        self._untimed = _UNTIMED if polls else 0
        if self._trying:
            self._trying = False
            if seconds < other:
                self._rounds = self._pause = 1
            else:
                self._lose()
            return
        if seconds > 2 * before:
            # Something has changed, so what the other way took is not known any more.
            self._rounds = self._pause = 1
        self._rounds -= 1
        if self._rounds <= 0 and (polls or seconds < _FAST * self.duration):
            self._trying = True
            self._untimed = 0
            self.worthwhile = not polls

    def _lose(self) -> None:
        """Go the other way, and do not come back soon."""
        self.worthwhile = not self.worthwhile
        self._trying = False
        self._misses = 0
        self._sum = 0.0
        self._samples = 0
        self._untimed = _UNTIMED if self.worthwhile else 0
        self._pause = min(2 * self._pause, _MOST)
        self._rounds = self._pause

"""Who waits for the peer to have acknowledged so many frames: told once it has, not at each acknowledgement on the way.

Where thousands of connections are closed at once, to wake all of them at each acknowledgement took 5 s for 5,000.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from tcpconn.steps import Wakeable

__all__ = ["Milestones"]


class Milestones:
    """Waiting threads or tasks by the number that they wait for; the carrier's lock guards it."""

    def __init__(self) -> None:
        self._waiting: dict[int, list[Wakeable]] = {}
        self._ahead: list[int] = []

    def at(self, number: int) -> list[Wakeable]:
        """Return the list to register in for a number that has not been reached yet."""
        waiting = self._waiting.get(number)
        if waiting is None:
            waiting = self._waiting[number] = []
            heappush(self._ahead, number)
        return waiting

    def reached(self, number: int) -> Iterator[Wakeable]:
        """Yield those who wait for this number or a lower one, and forget them."""
        ahead = self._ahead
        while ahead and ahead[0] <= number:
            yield from self._waiting.pop(heappop(ahead))

    def __iter__(self) -> Iterator[Wakeable]:
        """Yield all who wait."""
        for waiting in self._waiting.values():
            yield from waiting

"""Whose connection is served next, where a server runs only so many handlers at once. It does no I/O and knows no thread.

Half of the places are for peers that have none yet, one each. Of the others a peer may have as many as it leaves. So a lone
peer has a quarter of all places, and however greedy the first comers are, as many peers as half of the places are served.
The peer with the fewest handlers has the next turn. What waits is bounded by the same rule.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from enum import Enum
from typing import Generic, TypeVar

__all__ = ["NO_HANDLER", "NO_ROOM", "Shares", "Verdict"]

NO_HANDLER = "id %r from %s waits, and perhaps others after it: its peer has as many handlers as it may have now (max_handlers)"
NO_ROOM = "too many connections wait for handlers already (max_handlers, backlog)"

P = TypeVar("P", bound=Hashable)
C = TypeVar("C")


class Verdict(Enum):
    """What becomes of a connection that has come."""

    BEGIN = "begin"
    WAIT = "wait"
    REFUSE = "refuse"


class Shares(Generic[P, C]):
    """The places of a server, and the connections that wait for one. Its owner sees to it that one call is made at a time.

    Args:
        places: handlers that may run at once.
        room: connections that may wait.

    Attributes:
        running: how many handlers run.
        waiting: how many connections wait.
    """

    def __init__(self, places: int, room: int) -> None:
        self._places = places
        self._room = room
        self._held: dict[P, int] = {}
        self._queues: dict[P, deque[C]] = {}
        # The peers that wait, by how many handlers they have: few numbers differ, as their sum is bounded.
        self._levels: dict[int, dict[P, None]] = {}
        self.running = 0
        self.waiting = 0

    def come(self, peer: P, connection: C) -> Verdict:
        """Say what becomes of a peer's connection; one that begins has its place from now on."""
        held = self._held.get(peer, 0)
        if held < _allowed(self._places, self.running):
            self._take(peer)
            return Verdict.BEGIN
        queue = self._queues.get(peer)
        if (0 if queue is None else len(queue)) >= _allowed(self._room, self.waiting):
            return Verdict.REFUSE
        if queue is None:
            queue = self._queues[peer] = deque()
            self._levels.setdefault(held, {})[peer] = None
        queue.append(connection)
        self.waiting += 1
        return Verdict.WAIT

    def leave(self, peer: P) -> None:
        """Give back the place of one of a peer's handlers."""
        held = self._held[peer]
        self._move(peer, held, held - 1)
        self.running -= 1

    def next(self) -> tuple[P, C] | None:
        """Return the connection that begins now, and whose it is; it has its place from now on."""
        if not self._levels:
            return None
        least = min(self._levels)
        if least >= _allowed(self._places, self.running):
            return None
        peer = next(iter(self._levels[least]))
        queue = self._queues[peer]
        connection = queue.popleft()
        self.waiting -= 1
        if not queue:
            del self._queues[peer]
            self._unlist(peer, least)
        self._take(peer)
        return peer, connection

    def clear(self) -> None:
        """Forget all that wait."""
        self._queues.clear()
        self._levels.clear()
        self.waiting = 0

    def _take(self, peer: P) -> None:
        held = self._held.get(peer, 0)
        self._move(peer, held, held + 1)
        self.running += 1

    def _move(self, peer: P, before: int, after: int) -> None:
        if peer in self._queues:
            self._unlist(peer, before)
            self._levels.setdefault(after, {})[peer] = None
        if after:
            self._held[peer] = after
        else:
            del self._held[peer]

    def _unlist(self, peer: P, level: int) -> None:
        peers = self._levels[level]
        del peers[peer]
        if not peers:
            del self._levels[level]


def _allowed(total: int, used: int) -> int:
    """Return below which number a peer may have one more."""
    left = total - used
    return max(left - total // 2, min(left, 1))

"""How much a peer asks for that costs it nothing: frames without a message, and streams opened only to be reset.

Sans-I/O, the clock passed in. The engine counts what comes; whoever knows the time settles the account, after a read in which
something was counted. What is allowed is far more than any use of the library makes, so only an attacker learns of it.
"""

from __future__ import annotations

from collections.abc import Callable

from tcpconn.errors import ProtocolError
from tcpconn.frames import Code

__all__ = ["IDLE_AT_ONCE", "IDLE_PER_SECOND", "OPENS_PER_SECOND", "Allowance", "Demands"]

OPENS_PER_SECOND = 10_000
"""Streams that a peer may open each second, for long; as many at once as it may have open, and this number more."""

IDLE_PER_SECOND = 100_000
"""Frames that a peer may send each second, for long, that ask for no more than being read: PING and PONG, an ACK, CREDIT or
GOAWAY that says nothing new, a reset of a stream that has ended, an empty chunk within a message."""

IDLE_AT_ONCE = 200_000
"""As many at once."""


class Allowance:
    """A token bucket.

    Args:
        rate: how many are allowed each second, for long.
        burst: how many at once.
    """

    __slots__ = ("_burst", "_level", "_rate", "_settled")

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._level = float(burst)
        self._settled: float | None = None

    def spend(self, count: int, now: float) -> bool:
        """Take away `count` at the time `now`, in seconds of any monotonic clock; return whether there were as many."""
        if self._settled is not None:
            self._level = min(self._level + self._rate * max(now - self._settled, 0.0), self._burst)
        self._settled = now
        self._level -= count
        return self._level >= 0


class Demands:
    """What one peer has asked for since the last time that somebody looked at the clock.

    Args:
        max_streams: how many streams it may have open.

    Attributes:
        due: whether `settle` is to be called.
        stir: called with each demand.
    """

    def __init__(self, max_streams: int) -> None:
        self.due = False
        self.stir: Callable[[], None] = lambda: None
        self._opened = 0
        self._idle = 0
        self._opens = Allowance(OPENS_PER_SECOND, max_streams + OPENS_PER_SECOND)
        self._idles = Allowance(IDLE_PER_SECOND, IDLE_AT_ONCE)

    def note_opened(self) -> None:
        """Count a stream that the peer has opened."""
        self._opened += 1
        self._note()

    def note_idle(self) -> None:
        """Count a frame that asks for no more than being read."""
        self._idle += 1
        self._note()

    def _note(self) -> None:
        self.due = True
        self.stir()

    def settle(self, now: float, peer: str) -> None:
        """Compare what was counted with what is allowed; `now` is in seconds of a monotonic clock, `peer` is for the error.

        Raises:
            ProtocolError: it is too much.
        """
        self.due = False
        opened, self._opened = self._opened, 0
        idle, self._idle = self._idle, 0
        if not self._opens.spend(opened, now):
            text = f"{peer} goes on opening more than {OPENS_PER_SECOND} connections a second"
            raise ProtocolError(text, Code.TOO_FAST)
        if not self._idles.spend(idle, now):
            text = f"{peer} goes on sending more than {IDLE_PER_SECOND} frames a second that carry nothing"
            raise ProtocolError(text, Code.TOO_FAST)

"""What a send and a receive take their caller: in a burst, one by one in a burst, and alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

from tcpconn_bench.reference.ends import Pair
from tcpconn_bench.reference.figures import Figure, Goal, at_most
from tcpconn_bench.stats import median

__all__ = ["measure"]

_SIZE = 1000
_BURST = 500
"""Messages; few enough for the kernel to hold them all."""
_TURNS = 20
"""Bursts of each subject in a round, one of each in turn: the machine's moods last longer than a burst."""
_ALONE = 100

_SUBJECTS = ("tcp", "plain-socket", "plain-pyzmq")
_QUICK = at_most(0.8, ratio=False)


_ROWS: dict[str, tuple[Callable[[Pair], float], Goal | None]] = {
    "send 1 KB, burst by send_many": (lambda pair: pair.send_burst(_SIZE, _BURST, singly=False), _QUICK),
    "send 1 KB, burst by send": (lambda pair: pair.send_burst(_SIZE, _BURST, singly=True), _QUICK),
    "receive 1 KB, burst by receive_many": (lambda pair: pair.receive_burst(_SIZE, _BURST, singly=False), _QUICK),
    "receive 1 KB, burst by receive": (lambda pair: pair.receive_burst(_SIZE, _BURST, singly=True), _QUICK),
    "send 1 KB alone": (lambda pair: pair.send_alone(_SIZE, _ALONE), None),
}


def measure(rounds: int) -> Sequence[Figure]:
    """Measure tcp beside a plain socket and beside plain pyzmq."""
    figures: list[Figure] = []
    with ExitStack() as stack:
        pairs = {subject: Pair(stack, subject) for subject in _SUBJECTS}
        for what, (take, goal) in _ROWS.items():
            rows = {peer: Figure(what, "µs", goal, peer) for peer in _SUBJECTS[1:]}
            if goal is None:
                rows["plain-socket"].goal = at_most(1.3)
            for number in range(rounds + 1):
                times: dict[str, list[float]] = {subject: [] for subject in _SUBJECTS}
                for turn in range(_TURNS):
                    first = turn % len(_SUBJECTS)
                    for subject in _SUBJECTS[first:] + _SUBJECTS[:first]:
                        times[subject].append(take(pairs[subject]))
                taken = {subject: median(found) * 1e6 for subject, found in times.items()}
                if number:
                    for peer, row in rows.items():
                        row.add(taken["tcp"], taken[peer])
            figures += rows.values()
    return figures

"""What the users and the owner of a session are still to be told, and in which order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tcpconn.lifecycle import State

__all__ = ["Notices"]


class Notices:
    """Collects changes of state until somebody can tell them; its owner's lock guards it.

    Args:
        on_end: to be called once, after everything else, when the session is over.

    Attributes:
        states: new states that nobody was told of yet.
        callbacks: whom to tell.
    """

    def __init__(self, on_end: Callable[[], object] | None) -> None:
        self.states: list[State] = []
        self.callbacks: list[Callable[[State], object]] = []
        self._on_end = on_end

    def due(self, *, ended: bool) -> list[Callable[[], object]]:
        """Return the calls to make now, without the lock and in this order; each is returned once."""
        states, self.states = self.states, []
        calls: list[Callable[[], object]] = [partial(callback, state) for state in states for callback in self.callbacks]
        if ended and self._on_end is not None:
            calls.append(self._on_end)
            self._on_end = None
        return calls

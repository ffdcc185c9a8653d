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
        callbacks: whom to tell of changes from now on.
    """

    def __init__(self, on_end: Callable[[], object] | None) -> None:
        self.callbacks: list[Callable[[State], object]] = []
        self._due: list[Callable[[], object]] = []
        self._on_end = on_end

    def changed(self, state: State) -> None:
        """Take note of a new state; those who ask to be told only later are not told of it."""
        self._due += [partial(callback, state) for callback in self.callbacks]

    def due(self, *, ended: bool) -> list[Callable[[], object]]:
        """Return the calls to make now, without the lock and in this order; each is returned once."""
        calls, self._due = self._due, []
        if ended and self._on_end is not None:
            calls.append(self._on_end)
            self._on_end = None
        return calls

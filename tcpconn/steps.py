"""Operations that wait, written once for both flavours of the API.

Such an operation is a generator: it yields what it waits for and is sent whether that came in time. `leading.carry_out` runs
it in the calling thread, `aio.waiting.carry_out` in the calling task. What can be done without waiting is done without one.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from tcpconn.carrier import Carrier

__all__ = ["Steps", "Wait", "Wakeable"]


class Wakeable(Protocol):
    """A thread or a task that waits.

    Attributes:
        turn: for one of several of whom only the first that can go on is to be woken: whether it can.
    """

    turn: Callable[[], bool] | None

    def wake(self) -> None:
        """Make it look again at what it waits for."""
        ...


class Wait(NamedTuple):
    """What an operation waits for. The carrier's lock is held when this is yielded and when it goes on, not in between.

    Attributes:
        carrier: whose session.
        waiters: where to register, so that whoever makes it ready wakes this thread or task.
        ready: decides, with the lock held.
        deadline: by `time.monotonic()`, or None.
        in_turn: whether only the first of those that can go on is to be woken, which wakes the next one when it does.
    """

    carrier: Carrier
    waiters: list[Wakeable]
    ready: Callable[[], bool]
    deadline: float | None
    in_turn: bool = False


T = TypeVar("T")

Steps = Generator[Wait, bool, T]
"""An operation that waits at times, and its result."""

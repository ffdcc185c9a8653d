"""How tasks wait: for a future that whoever reads, on the same event loop, makes done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, cast

from tcpconn.carrier import Carrier
from tcpconn.steps import Steps, Wakeable
from tcpconn.transport import LoopLink

if TYPE_CHECKING:
    from tcpconn.aio.keeper import LoopKeeper

__all__ = ["Opening", "TaskWaiter", "carry_out", "wait"]

T = TypeVar("T")

_POLLS = 20
"""Messages in a row that a task may poll for, some 0.5 ms, before other tasks have their turn."""


class TaskWaiter:
    """One task's means to sleep and to be woken, once; the loop's thread wakes it."""

    __slots__ = ("future", "late", "turn")

    def __init__(self, loop: asyncio.AbstractEventLoop, turn: Callable[[], bool] | None = None) -> None:
        self.future: asyncio.Future[None] = loop.create_future()
        self.turn = turn
        self.late = False

    def wake(self) -> None:
        """Make the task look again at what it waits for."""
        if not self.future.done():
            self.future.set_result(None)

    def expire(self) -> None:
        """Wake it because its time has passed."""
        self.late = True
        self.wake()


async def carry_out(steps: Steps[T]) -> T:
    """Carry out an operation, waiting in the calling task wherever it waits.

    Raises:
        BaseException: whatever the operation raises, or interrupts the waiting.
    """
    try:
        request = next(steps)
        while True:
            try:
                ready = await wait(*request)
            except BaseException as error:
                request = steps.throw(error)
            else:
                request = steps.send(ready)
    except StopIteration as stop:
        result: T = stop.value
        return result


async def wait(
    carrier: Carrier, waiters: list[Wakeable], ready: Callable[[], bool], deadline: float | None, in_turn: bool = False
) -> bool:
    """Wait until `ready()`. The carrier's lock is held, and released while waiting.

    However soon the deadline is, the loop looks once at its descriptors: what has arrived in the kernel has arrived.

    Returns:
        Whether it is ready; False when the deadline, by `time.monotonic()`, has passed.
    """
    carrier.pump()
    lock = carrier.lock
    keeper = cast("LoopKeeper", carrier.keeper)
    while not ready():
        link = carrier.link if carrier.poll.worthwhile and not keeper.waiting and carrier.seat is None else None
        if link is not None and await _poll(carrier, keeper, cast("LoopLink", link), deadline):
            continue
        # Not `get_running_loop()`, which before Python 3.12 is a system call each time.
        waiter = TaskWaiter(keeper.loop, ready if in_turn else None)
        begun = time.monotonic()
        # A timer's callback runs behind those of the descriptors that were ready at the same time.
        timer = None if deadline is None else keeper.loop.call_later(max(deadline - begun, 0.0), waiter.expire)
        waiters.append(waiter)
        keeper.waiting += 1
        lock.release()
        try:
            await waiter.future
        finally:
            lock.acquire()
            keeper.waiting -= 1
            keeper.polls_left = _POLLS
            waiters.remove(waiter)
            if timer is not None:
                timer.cancel()
        if waiter.late:
            return ready()
        carrier.poll.waited(time.monotonic() - begun, 1)
    return True


async def _poll(carrier: Carrier, keeper: LoopKeeper, link: LoopLink, deadline: float | None) -> bool:
    """Read without sleeping for a moment, as a thread does; return whether to look again. The lock is held.

    Only a task that alone waits for a connection does so, for what it polls for is nobody else's, and others have their turn
    after so many times.
    """
    lock = carrier.lock
    lock.release()
    try:
        if not keeper.polls_left:
            keeper.polls_left = _POLLS
            await asyncio.sleep(0)
            return True
        keeper.polls_left -= 1
        return bool(carrier.poll.read(link.read, deadline))
    finally:
        lock.acquire()


class _Closing(Protocol):
    async def close(self) -> None: ...


C = TypeVar("C", bound=_Closing)


class Opening(Generic[C]):
    """What `connect` and `listen` return: await it for the thing itself, or enter it by `async with`, which closes it."""

    def __init__(self, make: Callable[[], Awaitable[C]]) -> None:
        self._make = make
        self._made: Any = None

    def __await__(self) -> Generator[Any, Any, C]:
        """Make it."""
        return self._make().__await__()

    async def __aenter__(self) -> C:
        made = self._made = await self._make()
        entered: C = await made.__aenter__()  # type: ignore[attr-defined]
        return entered

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._made.__aexit__(kind, error, trace)

"""Subjects of a comparison whose connections are queues in this process, and which do to messages what they are told.

A `Fault` sees every message of one direction on its way and says what arrives in its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, Queue, SimpleQueue
from threading import Thread
from typing import Any

from tcpconn_bench.subjects.base import Traits
from tcpconn_bench.workloads import WORKLOADS, Task
from tcpconn_bench.workloads.ends import AsyncEnds, BlockingEnds, drive

__all__ = ["DEADLINE", "Fault", "carry_out", "carry_out_asyncio", "change", "faithful", "lose", "repeat", "swap"]

DEADLINE = 10.0
_ROOM = 8
"""Messages that wait to be received: whoever sends without end has to wait for somebody to take them."""

Fault = Callable[[bytes], Sequence[bytes]]


def faithful(message: bytes) -> Sequence[bytes]:
    return [message]


def _at(which: int, fault: Callable[[bytes], Sequence[bytes]]) -> Fault:
    seen = 0

    def through(message: bytes) -> Sequence[bytes]:
        nonlocal seen
        seen += 1
        return fault(message) if seen == which else [message]

    return through


def lose(which: int) -> Fault:
    return _at(which, lambda message: [])


def repeat(which: int) -> Fault:
    return _at(which, lambda message: [message, message])


def change(which: int) -> Fault:
    return _at(which, lambda message: [message[:-1] + bytes([message[-1] ^ 1])])


def swap(which: int) -> Fault:
    """Let a message and the one after it change places."""
    held: list[bytes] = []
    seen = 0

    def through(message: bytes) -> Sequence[bytes]:
        nonlocal seen
        seen += 1
        if seen == which:
            held.append(message)
            return []
        return [message, held.pop()] if held else [message]

    return through


class _End:
    """One end of two queues."""

    def __init__(self, out: Queue[bytes], into: Queue[bytes], fault: Fault, patience: float) -> None:
        self._out = out
        self._into = into
        self._fault = fault
        self._patience = patience

    def send(self, message: bytes) -> None:
        for arriving in self._fault(bytes(message)):
            self._out.put(arriving)

    def receive(self) -> bytes:
        try:
            return self._into.get(timeout=self._patience)
        except Empty:
            raise TimeoutError("no message came") from None

    def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.send(message)

    def receive_many(self, count: int) -> list[bytes]:
        return [self.receive() for _ in range(count)]

    def close(self) -> None:
        pass


class _AsyncEnd:
    def __init__(self, out: asyncio.Queue[bytes], into: asyncio.Queue[bytes], fault: Fault, patience: float) -> None:
        self._out = out
        self._into = into
        self._fault = fault
        self._patience = patience

    async def send(self, message: bytes) -> None:
        for arriving in self._fault(bytes(message)):
            await self._out.put(arriving)

    async def receive(self) -> bytes:
        return await asyncio.wait_for(self._into.get(), self._patience)

    async def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            await self.send(message)

    async def receive_many(self, count: int) -> list[bytes]:
        return [await self.receive() for _ in range(count)]

    async def close(self) -> None:
        pass


class _Subject:
    """What both kinds have: the faults of the two directions."""

    name = "queued"
    role = "peer"
    floor: str | None = None
    address = "here"
    traits = Traits()

    def __init__(self, there: Fault, back: Fault, patience: float) -> None:
        self._there = there
        self._back = back
        self._patience = patience

    def unavailable(self) -> str | None:
        return None

    def settings(self) -> Mapping[str, Any]:
        return {}


class _Queued(_Subject):
    """The subject, and its own listener."""

    def __init__(self, there: Fault, back: Fault, patience: float) -> None:
        super().__init__(there, back, patience)
        self._connected: SimpleQueue[_End] = SimpleQueue()

    def listen(self) -> _Queued:
        return self

    def connect(self, address: str) -> _End:
        there: Queue[bytes] = Queue(_ROOM)
        back: Queue[bytes] = Queue(_ROOM)
        self._connected.put(_End(back, there, self._back, self._patience))
        return _End(there, back, self._there, self._patience)

    def accept(self) -> _End:
        return self._connected.get(timeout=DEADLINE)

    def close(self) -> None:
        pass


class _AsyncQueued(_Subject):
    def __init__(self, there: Fault, back: Fault, patience: float) -> None:
        super().__init__(there, back, patience)
        self._connected: asyncio.Queue[_AsyncEnd] = asyncio.Queue()

    async def listen(self) -> _AsyncQueued:
        return self

    async def connect(self, address: str) -> _AsyncEnd:
        there: asyncio.Queue[bytes] = asyncio.Queue(_ROOM)
        back: asyncio.Queue[bytes] = asyncio.Queue(_ROOM)
        await self._connected.put(_AsyncEnd(back, there, self._back, self._patience))
        return _AsyncEnd(there, back, self._there, self._patience)

    async def accept(self) -> _AsyncEnd:
        return await self._connected.get()

    async def close(self) -> None:
        pass


def carry_out(
    workload: str,
    messages: Sequence[bytes],
    task: Task,
    *,
    there: Fault = faithful,
    back: Fault = faithful,
    patience: float = DEADLINE,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run both sides of a workload on a blocking subject, each in a thread, and return what they measured.

    Args:
        there, back: what becomes of messages to the server, and to the client.
        patience: seconds after which whoever waits for a message in vain raises `TimeoutError`.
    """
    found: dict[str, Any] = {}
    subject = _Queued(there, back, patience)
    client, server = BlockingEnds(subject, None, "here"), BlockingEnds(subject, subject, "here")
    if WORKLOADS[workload].connected:
        client.standing = subject.connect("here")
        server.standing = subject.accept()

    def serve() -> None:
        try:
            found.update(drive(WORKLOADS[workload].server(messages, task)(server)))
        except Exception as error:
            found["error"] = error

    thread = Thread(target=serve, daemon=True)
    thread.start()
    measured = drive(WORKLOADS[workload].client(messages, task)(client))
    thread.join(2 * DEADLINE)
    assert not thread.is_alive()
    if "error" in found:
        raise found["error"]
    return measured, found


def carry_out_asyncio(
    workload: str,
    messages: Sequence[bytes],
    task: Task,
    *,
    there: Fault = faithful,
    back: Fault = faithful,
    patience: float = DEADLINE,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Do the same on a subject for an event loop, both sides on one loop."""

    async def both() -> tuple[dict[str, Any], dict[str, Any]]:
        subject = _AsyncQueued(there, back, patience)
        client, server = AsyncEnds(subject, None, "here"), AsyncEnds(subject, subject, "here")
        if WORKLOADS[workload].connected:
            client.standing = await subject.connect("here")
            server.standing = await subject.accept()
        async with asyncio.timeout(2 * DEADLINE):
            one, other = await asyncio.gather(
                WORKLOADS[workload].client(messages, task)(client), WORKLOADS[workload].server(messages, task)(server)
            )
        return one, other

    return asyncio.run(both())

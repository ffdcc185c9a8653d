"""The floor of the memory backend: a queue of the standard library's in each direction between two threads of one process.

`SimpleQueue` is written in C. A message is the object that was sent, so its size makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from tcpconn_bench.subjects.base import Message

__all__ = ["PlainQueue"]


class _Endpoint:
    """One end: puts into one queue, and takes from the other."""

    def __init__(self, incoming: SimpleQueue[bytes], outgoing: SimpleQueue[bytes]) -> None:
        self.send = outgoing.put
        self.receive = incoming.get

    def send_many(self, messages: Sequence[bytes]) -> None:
        send = self.send
        for message in messages:
            send(message)

    def receive_many(self, count: int) -> Sequence[Message]:
        receive = self.receive
        return [receive() for _ in range(count)]

    def close(self) -> None:
        """Do nothing: queues need no closing."""


class _Listener:
    """Where this process' clients leave the server's ends."""

    def __init__(self, ends: SimpleQueue[_Endpoint]) -> None:
        self.address = "in this process"
        self.accept = ends.get

    def close(self) -> None:
        """Do nothing: queues need no closing."""


class PlainQueue:
    """The subject; see the module's text."""

    name = "plain-queue"
    role = "floor"
    floor: str | None = None
    within_one_process = True

    def __init__(self) -> None:
        self._ends: SimpleQueue[_Endpoint] = SimpleQueue()

    def unavailable(self) -> str | None:
        return None

    def settings(self) -> Mapping[str, Any]:
        return {"queues": "queue.SimpleQueue"}

    def listen(self) -> _Listener:
        return _Listener(self._ends)

    def connect(self, address: str) -> _Endpoint:
        there: SimpleQueue[bytes] = SimpleQueue()
        back: SimpleQueue[bytes] = SimpleQueue()
        self._ends.put(_Endpoint(there, back))
        return _Endpoint(back, there)

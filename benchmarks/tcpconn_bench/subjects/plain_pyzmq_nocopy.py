"""The other floor of the zmq backend: `plain_pyzmq` without copies, what is received being a view of libzmq's own memory.

pyzmq copies messages below its `copy_threshold`, 64 KiB by default, all the same: for those that is the quicker way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from tcpconn_bench.subjects.base import Message
from tcpconn_bench.subjects.plain_pyzmq import Dealer, OfPyzmq, Router

if TYPE_CHECKING:
    import zmq

__all__ = ["PlainPyzmqNoCopy"]


def _receive(connected: zmq.Socket[bytes]) -> memoryview:
    return connected.recv(copy=False).buffer


class _Dealer(Dealer):
    """The client's end."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.send = partial(self._socket.send, copy=False)
        self.receive = partial(_receive, self._socket)

    def send_many(self, messages: Sequence[bytes]) -> None:
        send = self._socket.send
        for message in messages:
            send(message, copy=False)

    def receive_many(self, count: int) -> Sequence[Message]:
        receive = self._socket.recv
        return [receive(copy=False).buffer for _ in range(count)]


class _Router(Router):
    """The server's end."""

    def send(self, message: bytes) -> None:
        self._socket.send(self._identity, self._more)
        self._socket.send(message, copy=False)

    def receive(self) -> Message:
        self._identity = self._socket.recv()
        return _receive(self._socket)


class PlainPyzmqNoCopy(OfPyzmq):
    """The subject; see the module's text."""

    name = "plain-pyzmq-nocopy"

    def settings(self) -> Mapping[str, Any]:
        import zmq

        return {**super().settings(), "copy": False, "copy_threshold": zmq.COPY_THRESHOLD}

    def listen(self) -> _Router:
        return _Router()

    def connect(self, address: str) -> _Dealer:
        return _Dealer(address)

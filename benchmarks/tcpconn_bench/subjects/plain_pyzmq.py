"""The floor of the zmq backend: pyzmq as its manual shows it, a blocking DEALER to a blocking ROUTER, default options.

The default high-water mark makes a sender wait, as a careful user wants it; `ROUTER_MANDATORY` is set because a ROUTER
otherwise discards what it cannot send. Payloads are copied, which is pyzmq's default and the quicker way, except when
streaming large ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tcpconn_bench.subjects.base import Message, Traits
from tcpconn_bench.subjects.places import host

if TYPE_CHECKING:
    import zmq

__all__ = ["NO_COPY", "Dealer", "OfPyzmq", "PlainPyzmq", "Router"]

NO_COPY = 256 * 1024
"""Measured: streaming 1 MiB without a copy gave 1.9 GB/s in place of 0.7 to 1.3; at 64 KiB no difference was seen."""


class Dealer:
    """The client's end."""

    def __init__(self, address: str) -> None:
        import zmq

        # One for the process, as the manual has it, however many sockets it has.
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.connect(address)
        self.send: Callable[[bytes], object] = self._socket.send
        self.receive: Callable[[], Message] = self._socket.recv

    def send_many(self, messages: Sequence[bytes]) -> None:
        send = self._socket.send
        for message in messages:
            if len(message) < NO_COPY:
                send(message)
            else:
                send(message, copy=False)

    def receive_many(self, count: int) -> Sequence[Message]:
        receive = self._socket.recv
        return [receive() for _ in range(count)]

    def close(self) -> None:
        # What is under way still goes out: the context ends with the process and waits for it.
        self._socket.close()


class Router:
    """The server's end: listener and endpoint in one, since a ROUTER has one socket for all peers."""

    def __init__(self) -> None:
        import zmq

        self._context = zmq.Context()
        self._socket: zmq.Socket[bytes] = self._context.socket(zmq.ROUTER)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._more = zmq.SNDMORE
        self._identity = b""
        self._socket.bind(f"tcp://{host()}:*")
        self.address = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def accept(self) -> Router:
        return self

    def send(self, message: bytes) -> None:
        self._socket.send(self._identity, self._more)
        self._socket.send(message)

    def receive(self) -> Message:
        self._identity = self._socket.recv()
        return self._socket.recv()

    def send_many(self, messages: Sequence[bytes]) -> None:
        for message in messages:
            self.send(message)

    def receive_many(self, count: int) -> Sequence[Message]:
        receive = self.receive
        return [receive() for _ in range(count)]

    def close(self) -> None:
        self._socket.close()
        self._context.term()


class OfPyzmq:
    """What the subjects made of pyzmq alone have."""

    role = "floor"
    floor: str | None = None
    traits = Traits(one_endpoint=True, one_thread=True)

    def unavailable(self) -> str | None:
        try:
            import zmq  # noqa: F401
        except ImportError as error:
            return f"pyzmq cannot be imported ({error}); install it with: pip install pyzmq"
        return None

    def settings(self) -> Mapping[str, Any]:
        return {
            "sockets": "DEALER to ROUTER",
            "copy": f"below {NO_COPY} bytes",
            "ROUTER_MANDATORY": True,
            "other options": "default",
        }


class PlainPyzmq(OfPyzmq):
    """The subject; see the module's text."""

    name = "plain-pyzmq"

    def listen(self) -> Router:
        return Router()

    def connect(self, address: str) -> Dealer:
        return Dealer(address)

"""The peer pynng: nng's Pair sockets over TCP, blocking, one pair for each connection.

A Pair socket speaks to one other and no more, so a listener is a plain socket at which a client asks for the address of a
Pair socket that was made for it; no message goes that way. Both ends have room for some messages (`send_buffer_size`,
`recv_buffer_size`; none by default), without which each message waits for the one before it to be taken, and no bound on a
message's size, which is 1 MiB otherwise. nng turns Nagle's algorithm off by itself.
See https://pynng.readthedocs.io/en/latest/core.html.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from tcpconn_bench.subjects.base import Message
from tcpconn_bench.subjects.peers import Peer, host_and_port

if TYPE_CHECKING:
    import pynng

__all__ = ["PynngPair"]

_BUFFER = 128
"""Messages, of each end in each direction."""

_END = 64
"""Bytes: more than an address has."""


def _socket(**where: str) -> pynng.Pair0:
    import pynng

    return pynng.Pair0(send_buffer_size=_BUFFER, recv_buffer_size=_BUFFER, recv_max_size=0, **where)


class _Endpoint:
    """A Pair socket; its own methods are what the comparison calls."""

    def __init__(self, pair: pynng.Pair0) -> None:
        self._pair = pair
        self.send = pair.send
        self._closed = False
        pair.add_post_pipe_remove_cb(self._gone)

    def _gone(self, pipe: object) -> None:
        """Let whoever waits for a peer that has gone wait no longer."""
        if not self._closed:
            # Not from here: closing waits for all callbacks to return.
            threading.Thread(target=self._pair.close, name="pynng closing", daemon=True).start()

    def send_many(self, messages: Sequence[bytes]) -> None:
        send = self._pair.send
        for message in messages:
            send(message)

    def receive(self) -> Message:
        try:
            message: bytes = self._pair.recv()
        except RuntimeError as error:
            # A message of no bytes has come: https://github.com/codypiersall/pynng/issues/104
            if "NULL" not in str(error):
                raise
            return b""
        return message

    def receive_many(self, count: int) -> Sequence[Message]:
        receive = self.receive
        return [receive() for _ in range(count)]

    def close(self) -> None:
        self._closed = True
        self._pair.close()


class _Listener:
    """Where clients ask for the address of a Pair socket of their own."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def accept(self) -> _Endpoint:
        asking, _ = self._socket.accept()
        with asking:
            pair = _socket(listen="tcp://127.0.0.1:0")
            asking.sendall(str(pair.listeners[0].local_address).encode())
            asking.shutdown(socket.SHUT_WR)
            # The client hangs up once it is connected.
            asking.recv(1)
        return _Endpoint(pair)

    def close(self) -> None:
        self._socket.close()


class PynngPair(Peer):
    """The subject; see the module's text."""

    name = "pynng"
    needs: ClassVar[Mapping[str, str]] = {"pynng": "pynng"}
    options: ClassVar[Mapping[str, Any]] = {
        "sockets": "Pair0 to Pair0",
        "send_buffer_size": _BUFFER,
        "recv_buffer_size": _BUFFER,
        "recv_max_size": "no bound",
    }

    def listen(self) -> _Listener:
        return _Listener()

    def connect(self, address: str) -> _Endpoint:
        with socket.create_connection(host_and_port(address)) as asking:
            pair = _socket()
            pair.dial(f"tcp://{asking.makefile('rb').read(_END).decode()}", block=True)
        return _Endpoint(pair)

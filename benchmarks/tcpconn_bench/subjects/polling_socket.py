"""The floor of round trips with busy polling: `plain_socket`, whose reads never sleep but ask again until bytes are there.

It takes a processor for each side as long as it waits, so it shows what polling can gain at most and is no advice.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from typing import Any

from tcpconn_bench.subjects.plain_socket import PlainSocket, PlainSocketEndpoint, PlainSocketListener

__all__ = ["PollingSocket"]


class _Endpoint(PlainSocketEndpoint):
    """A connected socket that is written as before: only a reader spins."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._receive_some = self._poll
        self._receive_into = self._poll_into

    # Twice nearly the same, since a call in between would be seen in the figures.

    def _poll(self, size: int) -> bytes:
        receive = self._socket.recv
        while True:
            try:
                return receive(size, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue

    def _poll_into(self, view: memoryview) -> int:
        receive = self._socket.recv_into
        while True:
            try:
                return receive(view, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue


class _Listener(PlainSocketListener):
    endpoint = _Endpoint


class PollingSocket(PlainSocket):
    """The subject; see the module's text."""

    name = "polling-socket"
    endpoint = _Endpoint

    def unavailable(self) -> str | None:
        if len(os.sched_getaffinity(0)) < 2:
            return "two processes that never sleep need two processors"
        return None

    def settings(self) -> Mapping[str, Any]:
        return {**super().settings(), "reads": "MSG_DONTWAIT until bytes are there"}

    def listen(self) -> PlainSocketListener:
        return _Listener()

"""What ZeroMQ tells of a socket's connections: who came, who went, and why."""

from __future__ import annotations

import itertools
import struct
from contextlib import suppress

import zmq
from zmq.backend import Socket as BackendSocket

__all__ = ["Monitor"]

_EVENT = struct.Struct("=Hi")
_names = itertools.count()


class Monitor:
    """The events of one socket; the socket's owner alone uses it.

    Args:
        socket: whose connections are watched.
        events: which of zmq's `EVENT_...`, joined by `|`.
    """

    def __init__(self, socket: zmq.Socket[bytes], events: int) -> None:
        # Not get_monitor_socket: with its high-water mark a monitor that nobody reads would stop ZeroMQ's I/O thread.
        name = f"inproc://tcpconn-monitor-{next(_names)}"
        self._watched = socket
        socket.monitor(name, events)
        self._reader: zmq.Socket[bytes] = socket.context.socket(zmq.PAIR)
        try:
            self._reader.setsockopt(zmq.RCVHWM, 0)
            self._reader.setsockopt(zmq.LINGER, 0)
            self._reader.connect(name)
            self._fd = int(BackendSocket.get(self._reader, zmq.FD))
        except BaseException:
            self.stop()
            self.close()
            raise

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when there is something to `read`."""
        return self._fd

    def read(self) -> list[tuple[int, int]]:
        """Return all that was told since the last time: pairs of event and value."""
        events: list[tuple[int, int]] = []
        with suppress(zmq.Again):
            while True:
                event = self._reader.recv(zmq.NOBLOCK)
                if len(event) == _EVENT.size:  # or else it is an endpoint that an interrupt has left behind; those are longer
                    events.append(_EVENT.unpack(event))
                    self._reader.recv(zmq.NOBLOCK)
        return events

    def stop(self) -> None:
        """Have nothing told any more.

        It is due before `close`: libzmq's I/O thread would wait for ever to tell a monitor without a reader of what happens
        while the socket lingers, and with that thread all links of the process would stand still.
        """
        with suppress(zmq.ZMQError):
            self._watched.monitor(None, 0)

    def close(self) -> None:
        """Release it, once the socket is closed."""
        self._reader.close(0)

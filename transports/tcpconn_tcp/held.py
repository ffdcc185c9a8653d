"""Sending and receiving without letting go of the interpreter.

Python's own calls let other threads run during each system call, and the caller then waits for its turn again: 5 ms
(`sys.getswitchinterval`) where another thread computes. A round trip beside such a thread took 10.8 ms, each of its calls
waiting once; with these, which never wait and copy little, 0.03 to 0.1 ms. Where no other thread wants the interpreter
they cost 0.5 µs more than Python's own, so a link uses them only when one of its writes has lately taken long.

They are the C library's own functions, called by ctypes. Where it does not have them, Python's own are used.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Sequence

from tcpconn.transport import Buffer

__all__ = ["CALLS", "LONG", "MOST", "Receiver", "send"]

LONG = 200e-6
"""Seconds that a write of up to `MOST` bytes takes only if another thread has got the interpreter in between (measured: 8 to
60 µs alone, 0.6 ms in the median beside seven others)."""

CALLS = 1000
"""So many writes later a link tries whether other threads still want the interpreter."""

MOST = 128 * 1024
"""Bytes that are sent in such a call at most; more takes long enough (20 µs and more) to let others run."""

_NOW = int(socket.MSG_DONTWAIT)
_NOW_QUIETLY = _NOW | int(getattr(socket, "MSG_NOSIGNAL", 0))
"""Made once, and no enum's members: combining two takes 1 µs."""

try:
    _library = ctypes.PyDLL(None, use_errno=True)
    _send, _recv = _library.send, _library.recv
except (OSError, AttributeError):  # pragma: no cover
    _available = False
else:
    _available = True
    _send.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int)
    _recv.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    _send.restype = _recv.restype = ctypes.c_ssize_t


def send(connected: socket.socket, descriptor: int, data: bytes) -> int:
    """Send what the socket takes of up to `MOST` bytes, and return how many that are.

    Raises:
        BlockingIOError: it takes nothing for now.
        OSError: the connection is broken.
    """
    if _available:
        sent: int = _send(descriptor, data, len(data), _NOW_QUIETLY)
        if sent >= 0:
            return sent
    # Python's own call makes an exception of what went wrong.
    return connected.send(data)


class Receiver:
    """Receives from one socket; used by one thread at a time.

    The address of a buffer is looked up once for one that is offered again and again, and the buffer held meanwhile.
    """

    __slots__ = ("_address", "_descriptor", "_held", "_known", "_length", "_offered")

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._offered: Sequence[Buffer] | None = None
        self._known: Sequence[Buffer] | None = None
        self._held: ctypes.c_char | None = None
        self._address = 0
        self._length = 0

    def receive(self, buffers: Sequence[memoryview | bytearray]) -> int:
        """Receive into the buffers, in their order; return how many bytes, 0 at the end of the stream.

        Raises:
            BlockingIOError: nothing is there.
            OSError: the connection is broken.
        """
        if buffers is self._known:
            received: int = _recv(self._descriptor, self._address, self._length, _NOW)
            if received >= 0:
                return received
            if ctypes.get_errno() == errno.EAGAIN:
                raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        elif type(buffers) is tuple and len(buffers) == 1 and _available:
            if buffers is self._offered:
                self._held = ctypes.c_char.from_buffer(buffers[0])
                self._address = ctypes.addressof(self._held)
                self._length = len(buffers[0])
                self._known = buffers
            self._offered = buffers
        return os.readv(self._descriptor, buffers)

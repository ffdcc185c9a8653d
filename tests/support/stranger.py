"""A peer that speaks to a listener in bytes of its own choice, over a link of the backend that is tested."""

from __future__ import annotations

import time
from types import TracebackType

from tcpconn.address import Address
from tcpconn.errors import ProtocolError
from tcpconn.frames import Frame, FrameType, Hello, decode_frames
from tcpconn.transport import LinkOptions, load_transport

__all__ = ["Stranger", "hello"]

_DEADLINE = 20.0


def hello() -> Hello:
    """Return what a client of a new session says first."""
    return Hello(session=bytes(range(16)))


class Stranger:
    """The sink of its link; a context manager that closes it."""

    def __init__(self, backend: str, address: str) -> None:
        self._link = load_transport(backend).connect(Address.parse(address), LinkOptions(), _DEADLINE)
        self._link.sink = self
        self._buffer = bytearray(4096)
        self._heard = b""
        self._lost = False

    def say(self, words: bytes) -> None:
        """Send bytes, reading meanwhile."""
        view = memoryview(words)
        while view and not self._lost:
            view = view[self._link.write([view[: 1 << 20]]) :]
            self._link.channel.read(0)

    def heard(self, kind: FrameType) -> bool:
        """Look whether a frame of this type has begun to come first."""
        self._link.channel.read(0)
        return self._heard[:1] == bytes([kind])

    def hear(self, count: int) -> list[Frame]:
        """Return the next frames that the listener sends, and no others."""
        deadline = time.monotonic() + _DEADLINE
        while (frames := self._whole()) is None or len(frames) < count:
            rest = deadline - time.monotonic()
            assert rest > 0 and not self._lost, f"{count} frames did not come; heard {self._heard!r}"
            self._link.channel.read(rest)
        heard, self._heard = self._heard, b""
        for frame in frames[:count]:
            heard = heard[len(frame.encode()) :]
        self._heard = heard + self._heard
        return frames[:count]

    def _whole(self) -> list[Frame] | None:
        try:
            return list(decode_frames(self._heard))
        except ProtocolError:
            return None

    def hear_out(self) -> list[Frame]:
        """Return the frames that the listener has sent by the time it ended the link."""
        deadline = time.monotonic() + _DEADLINE
        while not self._lost:
            rest = deadline - time.monotonic()
            assert rest > 0, f"the link was not ended; heard {self._heard!r}"
            self._link.channel.read(rest)
        return list(decode_frames(self._heard))

    def get_buffer(self) -> bytearray:
        return self._buffer

    def get_buffers(self) -> tuple[bytearray]:
        return (self._buffer,)

    def buffer_updated(self, count: int) -> None:
        self._heard += self._buffer[:count]

    def data_received(self, data: bytes | memoryview) -> None:
        self._heard += data

    def link_lost(self, reason: Exception | None) -> None:
        self._lost = True

    def __enter__(self) -> Stranger:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._link.close()

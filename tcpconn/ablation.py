"""Receiving without one or more of the techniques that make `Receiver` fast, so that what each is worth can be measured.

Sans-I/O, as `Receiver` is. A session whose config switches nothing off knows nothing of this module.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from tcpconn.config import Config
from tcpconn.multiplexer import Multiplexer
from tcpconn.receiver import RECEIVE_BUFFER, Receiver

__all__ = ["MakeReceiver", "PlainerReceiver", "receiver_for"]

MakeReceiver = Callable[[Multiplexer, Callable[[int, bytes], None]], Receiver]


def receiver_for(config: Config) -> MakeReceiver:
    """Return what makes the receiver of a session of this config."""
    if config.receive_in_place and config.read_ahead and config.reuse_buffers:
        return Receiver
    return partial(PlainerReceiver, in_place=config.receive_in_place, ahead=config.read_ahead, reuse=config.reuse_buffers)


class PlainerReceiver(Receiver):
    """A receiver that does without some techniques.

    Args:
        in_place: receive the body of a large message into its own memory; else into a buffer, and copy it from there.
        ahead: read what follows such a body in the same call.
        reuse: use the buffer for small frames again; else a new one after each read that leaves nothing in it.
    """

    def __init__(
        self, mux: Multiplexer, on_control: Callable[[int, bytes], None], *, in_place: bool, ahead: bool, reuse: bool
    ) -> None:
        super().__init__(mux, on_control)
        self._in_place = in_place
        self._read_ahead = ahead
        self._reuse = reuse
        self._staging = memoryview(bytearray(0 if in_place else RECEIVE_BUFFER))

    @property
    def _staged(self) -> bool:
        return not self._in_place and self._landing is not None and self._landing.memory is not None

    def get_buffer(self) -> memoryview:
        """Return where to receive to."""
        if not self._staged:
            return super().get_buffer()
        assert self._landing is not None
        return self._staging[: self._landing.size - self._landing.got]

    def get_buffers(self) -> Sequence[memoryview]:
        """Return where to receive to, for one call."""
        landing = self._landing
        if landing is None:
            return super().get_buffers() if self._read_ahead else (self.get_buffer(),)
        first = self.get_buffer()
        # What does not even hold the rest of the body is not followed by what comes behind it.
        if not self._read_ahead or len(first) < landing.size - landing.got:
            return [first]
        return [first, *super().get_buffers()[1:]]

    def filled(self, count: int) -> list[memoryview]:
        """Return what was just received."""
        if self._landing is None or len(buffers := self.get_buffers()) == 1:
            return [self.get_buffer()[:count]]
        rest = buffers[0]
        return [rest[:count], buffers[1][: max(count - len(rest), 0)]]

    def take_lone(self, count: int, data: bytes | memoryview | None = None) -> bool:
        """Leave all to `buffer_updated` and `data_received`."""
        return False

    def buffer_updated(self, count: int) -> None:
        """Take what was received.

        Raises:
            ProtocolError: the peer broke the rules.
        """
        if self._staged:
            landing = self._landing
            assert landing is not None
            assert landing.memory is not None
            landing.memory.write(landing.start + landing.got, self.get_buffer()[:count])
        super().buffer_updated(count)
        if not self._reuse and not self._end:
            self._renew_buffer()

"""The drivers' part of the handshake: a sink that collects the first frame of a link.

The dialling end waits for it; the listening end has it called by whoever reads, many at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from tcpconn.errors import HandshakeError, TcpconnError
from tcpconn.frames import Hello
from tcpconn.handshake import HelloReader
from tcpconn.transport import BareLink

__all__ = ["Greeting"]

_READ_SIZE = 4096


class Greeting:
    """Waits for the HELLO of one link.

    Args:
        link: the link, whose sink this becomes by `begin`.
        on_hello: called once, by the reading thread, with the greeting when the HELLO is there.
        on_failure: called once, by the reading thread, when there will be none.

    Attributes:
        hello: the peer's HELLO once it is there; `rest`: the bytes that came after it.
        failure: why there will be none.
        foreign: whether that is what the peer said, so that it would be the same another time.
    """

    def __init__(
        self,
        link: BareLink,
        on_hello: Callable[[Greeting], None] | None = None,
        on_failure: Callable[[Greeting], None] | None = None,
    ) -> None:
        self.link = link
        self.hello: Hello | None = None
        self.failure: Exception | None = None
        self.foreign = False
        self._reader = HelloReader()
        self._buffer = bytearray(_READ_SIZE)
        self._late = bytearray()
        self._on_hello = on_hello
        self._on_failure = on_failure

    def begin(self) -> None:
        """Become the link's sink. What has come already may be decided before this returns, by another thread."""
        self.link.sink = self

    @property
    def done(self) -> bool:
        """Whether it is decided."""
        return self.hello is not None or self.failure is not None

    @property
    def rest(self) -> bytes:
        """What came after the HELLO."""
        return self._reader.rest + bytes(self._late)

    def get_buffer(self) -> bytearray:
        """Return where to receive to."""
        return self._buffer

    def get_buffers(self) -> tuple[bytearray]:
        """Return where to receive to."""
        return (self._buffer,)

    def buffer_updated(self, count: int) -> None:
        """Take what was received."""
        self.data_received(memoryview(self._buffer)[:count])

    def data_received(self, data: bytes | memoryview) -> None:
        """Take what was received."""
        if self.done:
            self._late += data
            return
        try:
            self.hello = self._reader.feed(bytes(data))
        except TcpconnError as error:
            self.foreign = True
            self.fail(error)
        else:
            if self.hello is not None and self._on_hello is not None:
                self._on_hello(self)

    def link_lost(self, reason: Exception | None) -> None:
        """Fail: there will be no HELLO."""
        if not self.done:
            why = f": {reason}" if reason is not None else " without a word"
            error = HandshakeError(f"{self.link.peer} closed the link before the handshake was complete{why}")
            error.__cause__ = reason
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Decide that there will be no HELLO."""
        self.failure = error
        if self._on_failure is not None:
            self._on_failure(self)

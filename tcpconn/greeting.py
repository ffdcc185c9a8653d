"""The drivers' part of the handshake: a sink that collects the first frame of a link, and the proof behind it if one is due.

The dialling end waits for it; the listening end has it called by whoever reads, many at a time.
"""

from __future__ import annotations

from collections.abc import Callable

from tcpconn.authentication import needs_proof
from tcpconn.errors import AuthenticationError, HandshakeError, TcpconnError
from tcpconn.frames import Hello
from tcpconn.handshake import HelloReader, ProofReader
from tcpconn.transport import BareLink

__all__ = ["Greeting"]

_READ_SIZE = 4096


class Greeting:
    """Waits for the HELLO of one link, and for the proof that belongs to it.

    Args:
        link: the link, whose sink this becomes by `begin`.
        on_done: called once, by the reading thread, with the greeting when all that is due is there.
        on_failure: called once, by the reading thread, when it will not come.
        on_hello: called before, when the HELLO is there and a proof is due; returns whether that is still wanted.

    Attributes:
        hello: the peer's HELLO once it is there; `body`: the same as it came.
        proof: its proof, if one was due, once it is there.
        rest: the bytes that came after all that.
        failure: why it will not come.
        foreign: whether that is what the peer said, so that it would be the same another time.
    """

    def __init__(
        self,
        link: BareLink,
        on_done: Callable[[Greeting], None] | None = None,
        on_failure: Callable[[Greeting], None] | None = None,
        on_hello: Callable[[Greeting], bool] | None = None,
    ) -> None:
        self.link = link
        self.hello: Hello | None = None
        self.body = b""
        self.proof: bytes | None = None
        self.rest = b""
        self.failure: Exception | None = None
        self.foreign = False
        self.done = False
        self._reader: HelloReader | ProofReader = HelloReader()
        self._buffer = bytearray(_READ_SIZE)
        self._on_done = on_done
        self._on_failure = on_failure
        self._on_hello = on_hello

    def begin(self) -> None:
        """Become the link's sink. What has come already may be decided before this returns, by another thread."""
        self.link.sink = self

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
            self.rest += data
            return
        try:
            whole = self._feed(data)
        except TcpconnError as error:
            self.foreign = True
            self.fail(error)
        else:
            if whole:
                self.done = True
                if self._on_done is not None:
                    self._on_done(self)

    def _feed(self, data: bytes | memoryview) -> bool:
        """Take what was received; return whether all that is due is there."""
        reader = self._reader
        if isinstance(reader, HelloReader):
            self.hello = reader.feed(bytes(data))
            if self.hello is None:
                return False
            self.body, self.rest = reader.body, reader.rest
            if not needs_proof(self.hello):
                return True
            self._reader = reader = ProofReader()
            if self._on_hello is not None and not self._on_hello(self):
                self.done = True
                return False
            data, self.rest = self.rest, b""
        self.proof = reader.feed(bytes(data))
        self.rest = reader.rest
        return self.proof is not None

    def link_lost(self, reason: Exception | None) -> None:
        """Fail: there will be no HELLO."""
        if not self.done:
            why = f": {reason}" if reason is not None else " without a word"
            # A backend with a handshake of its own tells by the type how that failed.
            self.foreign = isinstance(reason, HandshakeError)
            kind = AuthenticationError if isinstance(reason, AuthenticationError) else HandshakeError
            error = kind(f"{self.link.peer} closed the link before the handshake was complete{why}")
            error.__cause__ = reason
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Decide that it will not come."""
        self.failure = error
        self.done = True
        if self._on_failure is not None:
            self._on_failure(self)

"""Links for asyncio with TLS on them.

Not the event loop's own TLS: that one neither reads on while it closes, so that last words are lost to a reset, nor lets a
task poll the descriptor past it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator, Sequence

from tcpconn.transport import Buffer
from tcpconn_tcp.loop import LoopTcpLink
from tcpconn_tcp.tls import RECEIVE_SIZE, SEND_SIZE, Tls
from tcpconn_tcp.tls_link import join_up_to

__all__ = ["LoopTlsLink"]


class _PerThread(threading.local):
    """What is received is decrypted at once, so one buffer serves all links of a thread's loop."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(RECEIVE_SIZE))


_per_thread = _PerThread()


class LoopTlsLink(LoopTcpLink):
    """As `LoopTcpLink`.

    Args:
        make_tls: makes the TLS object for a peer's name.
        on_made: called when the transport is there.

    Attributes:
        shaken: done when the handshake is; it has the reason if it failed.
    """

    def __init__(self, make_tls: Callable[[str], Tls], on_made: Callable[[LoopTcpLink], None] | None = None) -> None:
        super().__init__(on_made)
        self._make_tls = make_tls
        self._tls: Tls
        self._paused = True
        self._failed = False
        self.shaken: asyncio.Future[None] = self._loop.create_future()
        # Whoever only accepts does not ask.
        self.shaken.add_done_callback(lambda done: None if done.cancelled() else done.exception())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; the handshake's part of the listening end begins when the link has a sink."""
        on_made, self._on_made = self._on_made, None
        super().connection_made(transport)
        self._tls = self._make_tls(self.peer)
        self._flush()
        if on_made is not None:
            on_made(self)

    async def shake_hands(self) -> None:
        """Complete the handshake before there is a sink.

        Raises:
            AuthenticationError: one end does not accept the other's certificate.
            OSError: it failed otherwise.
        """
        self._transport.resume_reading()
        await self.shaken

    def get_buffer(self, sizehint: int) -> Buffer:
        """Return where to receive what is encrypted."""
        buffer = _per_thread.buffer
        return buffer if self._closed or self._tls.established else buffer[: self._tls.wanted]

    def buffer_updated(self, nbytes: int) -> None:
        """Decrypt it and pass it on."""
        if not self._closed and not self._told:
            self._take(_per_thread.buffer[:nbytes])

    def read(self, timeout: float | None) -> int:
        """Receive once, past the transport, which is content if it then finds nothing. It has read nothing ahead."""
        if self._closed or self._told or self._sink is None or self._transport.is_closing() or not self._tls.established:
            return 0
        try:
            count = os.readv(self._descriptor, (_per_thread.buffer,))
        except OSError:
            return 0
        return self._take(_per_thread.buffer[:count]) if count else 0

    def _take(self, data: memoryview) -> int:
        tls = self._tls
        total = 0
        try:
            if not tls.established:
                try:
                    done = tls.handshake(data)
                finally:
                    self._flush()
                if done:
                    self._established()
                return 0
            tls.feed(data)
            while not self._closed and self._sink is not None:
                count = tls.read_into(self._sink.get_buffer())
                if not count:
                    break
                total += count
                self._sink.buffer_updated(count)
        except OSError as error:
            self._failed = True
            self._lose(error)
            return total
        self._flush()
        if tls.ended:
            self._lose(None)
        return total

    def _established(self) -> None:
        if self._sink is None:
            self._transport.pause_reading()
        if not self.shaken.done():
            self.shaken.set_result(None)
        self.resume_writing()

    def _flush(self) -> None:
        if (data := self._tls.outgoing) and not self._transport.is_closing():
            self._transport.write(data)

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Encrypt some of it and hand that to the transport, or nothing while that is full."""
        if self._closed or self._told or self._paused:
            return super().write(())
        pieces = [join_up_to(buffers, SEND_SIZE)] if sum(map(len, buffers)) <= SEND_SIZE else _cut(buffers)
        taken = 0
        for piece in pieces:
            if self._is_full():
                break
            self._tls.write(piece)
            self._flush()
            taken += len(piece)
        return taken

    def _is_full(self) -> bool:
        return self._paused

    def close(self) -> None:
        """End the connection as a link without TLS does, and say so by TLS, too."""
        if not self._closed and not self._told and self._tls.established and not self._transport.is_closing():
            self._tls.close()
            self._flush()
        super().close()

    @property
    def _over(self) -> bool:
        # Why TLS failed may be under way, and would be lost to a reset.
        return self._told and not self._failed

    def eof_received(self) -> bool:
        """Tell the sink that the peer has ended, or was cut off."""
        self._failed = False
        self._lose(self._tls.truncation())
        return False

    def _lose(self, reason: Exception | None) -> None:
        if not self.shaken.done():
            self.shaken.set_exception(reason or ConnectionResetError(f"{self.peer} ended the link in the TLS handshake"))
        super()._lose(reason)

    def __repr__(self) -> str:
        return super().__repr__().replace("TcpLink", "TlsLink", 1)


def _cut(buffers: Sequence[Buffer]) -> Iterator[memoryview]:
    for buffer in buffers:
        for start in range(0, len(buffer), SEND_SIZE):
            yield memoryview(buffer)[start : start + SEND_SIZE]

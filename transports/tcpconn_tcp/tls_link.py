"""A link over one stream socket with TLS on it.

Nothing decrypted stays here after a read, so the descriptor tells all that there is to wait for. And nothing is taken from a
writer before the socket has taken the whole record: until then it is to be offered again, as the contract says.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from tcpconn.transport import Buffer, Link
from tcpconn_tcp.link import TcpLink, nothing
from tcpconn_tcp.tls import RECEIVE_SIZE, SEND_SIZE, Tls

__all__ = ["TlsLink", "join_up_to"]

_EARLY = 4096
"""Bytes that are taken before the handshake is done. They surely fit into the socket then, for nobody would send the rest."""


def join_up_to(buffers: Sequence[Buffer], size: int) -> bytes | memoryview:
    """Return the first bytes of buffers, `size` of them or what there is."""
    if len(buffers) == 1 and len(buffers[0]) <= size:
        return memoryview(buffers[0])
    first: list[Buffer] = []
    for buffer in buffers:
        first.append(buffer if len(buffer) <= size else memoryview(buffer)[:size])
        size -= len(first[-1])
        if size <= 0:
            break
    return b"".join(first)


class TlsLink(TcpLink):
    """As `TcpLink`; the handshake goes on whenever somebody reads, writes or waits.

    `_guard` guards the TLS object, what it gives out, and the order in which that is sent: reader, writer and whoever closes
    may meet. It is held for moments, never while a sink is called or a descriptor is waited for.
    """

    def __init__(self, connected: socket.socket, peer: str, tls: Tls, on_release: Callable[[], None] = nothing) -> None:
        super().__init__(connected, peer, on_release)
        self._tls = tls
        self._guard = threading.Lock()
        # Until the handshake is done it is the peer's word that a writer waits for.
        self._writable_at = select.POLLIN
        self._unsent: bytes | memoryview = b""
        # Of each record that is not sent: how many bytes will be unsent behind it, and how many of the writer's it holds.
        self._records: deque[tuple[int, int]] = deque()
        # Bytes that the writer has offered, will offer again, and that are sent.
        self._done = 0
        self._early = b""
        with suppress(OSError):
            # The client's first words. If that fails, so does the next attempt.
            self._send_out()

    @property
    def established(self) -> bool:
        """Whether the handshake is done."""
        return self._tls.established

    def read(self, timeout: float | None) -> int:
        """Receive once, decrypt all of it into the sink's buffers; wait up to `timeout` seconds if nothing is there."""
        try:
            self._reading = True
            if self._closed or self._lost or (timeout != 0 and not self._sleep(timeout)):
                return 0
            try:
                if not self._tls.established:
                    with self._guard:
                        if not self._shake_hands():
                            return 0
                data = self._socket.recv(RECEIVE_SIZE)
            except BlockingIOError:
                return 0
            except OSError as error:
                return self._lose(error)
            if not data:
                return self._lose(self._tls.truncation())
            return self._deliver(data)
        finally:
            self._reading = False
            if self._closed:
                self._release()

    def _deliver(self, data: bytes) -> int:
        total = 0
        with self._guard:
            self._tls.feed(data)
        while not self._closed:
            buffer = self.sink.get_buffer()
            try:
                with self._guard:
                    count = self._tls.read_into(buffer)
            except OSError as error:
                self._lose(error)
                break
            if not count:
                break
            total += count
            self.sink.buffer_updated(count)
        if self._tls.ended and not self._lost:
            self._lose(None)
        with self._guard, suppress(OSError):
            # TLS may have something to answer. Whether the socket is broken is for the next read or write to find out.
            self._send_out()
        return total

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Encrypt and send what the socket takes.

        Raises:
            AuthenticationError: one end does not accept the other's certificate.
            OSError: the link is broken.
        """
        try:
            self._writing = True
            if self._closed or self._lost:
                raise OSError(errno.EBADF, f"the link to {self._peer} is closed")
            with self._guard:
                return self._write(buffers)
        except BlockingIOError:
            return 0
        finally:
            self._writing = False
            if self._closed:
                self._release()

    def _write(self, buffers: Sequence[Buffer]) -> int:
        if not self._tls.established and not self._shake_hands():
            if self._early:
                return 0
            self._early = bytes(join_up_to(buffers, _EARLY))
            return len(self._early)
        self._send_out()
        if not self._unsent and not self._done:
            sizes = self._tls.write(join_up_to(buffers, SEND_SIZE))
            left = sum(encrypted for _, encrypted in sizes)
            for plain, encrypted in sizes:
                left -= encrypted
                self._records.append((left, plain))
            self._send_out()
        taken, self._done = self._done, 0
        return taken

    def _shake_hands(self) -> bool:
        """Go on with the handshake as far as that is possible now; return whether it is done. The guard is held."""
        tls = self._tls
        self._send_out()
        done = tls.established
        while not done:
            try:
                data = self._socket.recv(tls.wanted)
            except BlockingIOError:
                return False
            if not data:
                raise tls.truncation() or OSError(errno.ECONNRESET, f"{self._peer} ended the link")
            try:
                done = tls.handshake(data)
            finally:
                self._send_out()
        if self._early:
            tls.write(self._early)
            self._early = b""
            self._send_out()
        self._writable_at = select.POLLOUT
        return True

    def _send_out(self) -> None:
        """Send what TLS has given out, as far as the socket takes it. The guard is held."""
        while data := self._unsent or self._tls.outgoing:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            self._unsent = memoryview(data)[sent:] if sent < len(data) else b""
            left = len(self._unsent)
            while self._records and self._records[0][0] >= left:
                self._done += self._records.popleft()[1]
            if left:
                return

    def close(self) -> None:
        """End the connection, saying so by TLS, too; in a forked child only the child's share of it is given back.

        In the middle of a record, which the socket did not take, there is no more way to say so.
        """
        if not self._closed and self._pid == os.getpid() and self._tls.established:
            with self._guard, suppress(OSError):
                if not self._unsent:
                    self._tls.close()
                    self._send_out()
        super().close()

    def __repr__(self) -> str:
        return super().__repr__().replace("TcpLink", "TlsLink", 1)


def _conforms(link: TlsLink) -> Link:  # checked by mypy
    return link

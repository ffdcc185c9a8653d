"""TLS as bytes in and bytes out, for links of both flavours. Sans-I/O, and for one thread at a time.

Until the handshake is done a link reads no byte more than the record that is due (`wanted`): so what comes behind the handshake
is still in the kernel then, where whoever waits for the descriptor sees it.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from tcpconn.errors import AuthenticationError, HandshakeError

__all__ = ["RECEIVE_SIZE", "SEND_SIZE", "Tls"]

RECEIVE_SIZE = 64 * 1024
"""Bytes that a link reads at once, some four records."""

SEND_SIZE = 128 * 1024
"""Bytes that a link encrypts before it has written them."""

_HEADER = 5
_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _DATA = 20, 21, 22, 23
_UNEXPECTED = bytes([_ALERT, 3, 3, 0, 2, 2, 10])
"""A fatal alert, "unexpected message"."""

_RECORD = 16_384
_LONGEST_RECORD = _RECORD + 2048

_REFUSALS = ("ALERT_UNKNOWN_CA", "ALERT_BAD_CERTIFICATE", "ALERT_CERTIFICATE", "ALERT_ACCESS_DENIED", "ALERT_NO_CERTIFICATE")
_FOREIGN = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "HTTPS_PROXY_REQUEST", "RECORD_LAYER_FAILURE", "UNEXPECTED_MESSAGE")


class Tls:
    """One end of one link's TLS.

    Args:
        context: certificates and rules.
        peer: its address, for errors.
        hostname: the name that the listening end's certificate must have; None at that end.

    Attributes:
        established: whether the handshake is done.
        ended: whether the peer has said that nothing more will come.
    """

    def __init__(self, context: ssl.SSLContext, peer: str, hostname: str | None) -> None:
        self.established = False
        self.ended = False
        self._peer = peer
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=hostname is None, server_hostname=hostname)
        self._header = b""
        self._missing = 0
        if hostname is not None:
            with suppress(ssl.SSLWantReadError):
                self._tls.do_handshake()

    @property
    def wanted(self) -> int:
        """How many bytes to read at most while the handshake is not done."""
        return self._missing or _HEADER - len(self._header)

    def handshake(self, data: bytes | memoryview) -> bool:
        """Take what was read of the handshake; return whether it is done.

        Raises:
            AuthenticationError: one end does not accept the other's certificate.
            HandshakeError: the peer does not speak TLS, or none that this end accepts.
        """
        if self._missing:
            self._missing -= len(data)
        else:
            self._header += data
            if self._header[0] not in (_CHANGE_CIPHER, _ALERT, _HANDSHAKE, _DATA):
                # OpenSSL would say nothing; so the peer learns at least what it has come to.
                self._outgoing.write(_UNEXPECTED)
                raise HandshakeError(f"{self._peer} does not speak TLS: set encrypt at both ends or at none")
            if len(self._header) == _HEADER:
                # Longer records are OpenSSL's to refuse.
                self._missing = min(int.from_bytes(self._header[3:], "big"), _LONGEST_RECORD)
        self._incoming.write(data)
        if self._missing or len(self._header) < _HEADER:
            return False
        self._header = b""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            raise self._failure(error) from error
        else:
            self.established = True
        return self.established

    def feed(self, data: bytes | memoryview) -> None:
        """Take what was read after the handshake."""
        self._incoming.write(data)

    def read_into(self, buffer: memoryview | bytearray) -> int:
        """Decrypt into a buffer as much as is there and has room; 0 when there is nothing more.

        Raises:
            OSError: what came was tampered with, or the peer refuses this end's certificate (`AuthenticationError`).
        """
        filled = 0
        read: Callable[[int, memoryview], int] = cast("Any", self._tls.read)
        with memoryview(buffer) as room:
            try:
                while filled < len(room):
                    with room[filled:] as rest:
                        count = read(len(rest), rest)
                    if not count:
                        self.ended = True
                        break
                    filled += count
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                self.ended = True
            except ssl.SSLError as error:
                raise self._failure(error) from error
        return filled

    def write(self, data: bytes | memoryview) -> list[tuple[int, int]]:
        """Encrypt all of `data`; return for each record its size before and after.

        Raises:
            OSError: this end has been closed.
        """
        sizes = []
        view = memoryview(data)
        before = self._outgoing.pending
        for start in range(0, len(view), _RECORD):
            count = self._tls.write(view[start : start + _RECORD])
            sizes.append((count, self._outgoing.pending - before))
            before = self._outgoing.pending
        return sizes

    @property
    def outgoing(self) -> bytes:
        """What is to be sent, which is forgotten here."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> None:
        """Say that nothing more will be sent from here."""
        with suppress(ssl.SSLError):
            self._tls.unwrap()

    def truncation(self) -> OSError | None:
        """Return what it means that the socket has ended: None if the peer has said so before by TLS itself."""
        if self.ended:
            return None
        what = "TLS connection without saying so: somebody may have cut it" if self.established else "link in the TLS handshake"
        return ConnectionResetError(f"{self._peer} ended the {what}")

    def _failure(self, error: ssl.SSLError) -> OSError:
        reason = error.reason or str(error)
        peer = self._peer
        if isinstance(error, ssl.SSLCertVerificationError):
            return AuthenticationError(
                f"the certificate of {peer} is not accepted: {error.verify_message}; tls_ca names the authorities to trust, "
                "tls_hostname the name that it is for"
            )
        if "PEER_DID_NOT_RETURN_A_CERTIFICATE" in reason:
            return AuthenticationError(
                f"{peer} has shown no certificate, and tls_require_client_cert is set: set tls_cert there"
            )
        if any(word in reason for word in _REFUSALS):
            return AuthenticationError(
                f"{peer} does not accept this end's certificate ({reason}): tls_cert has to be of an authority that it trusts"
            )
        if any(word in reason for word in _FOREIGN):
            return HandshakeError(f"{peer} does not speak TLS ({reason}): set encrypt at both ends or at none")
        text = f"TLS with {peer} failed: {reason}"
        return ConnectionAbortedError(text) if self.established else HandshakeError(text)

    def __repr__(self) -> str:
        state = "ended" if self.ended else "established" if self.established else "in the handshake"
        return f"<Tls {state} with {self._peer}>"

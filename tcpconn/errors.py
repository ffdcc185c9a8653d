"""The one tree of errors that users see.

Timeouts derive from `TimeoutError`, connection faults from `ConnectionError`, so that ordinary `except` clauses work.
A backend's own exception never escapes: it is the `__cause__` of one of these.
"""

from __future__ import annotations

__all__ = [
    "AuthenticationError",
    "BackendUnavailable",
    "ConfigError",
    "ConnectError",
    "ConnectionClosed",
    "ConnectionLost",
    "HandshakeError",
    "MessageTooLarge",
    "ProtocolError",
    "TcpconnError",
    "TimedOut",
]


class TcpconnError(Exception):
    """Base of every error that tcpconn raises on purpose."""


class ConfigError(TcpconnError, ValueError):
    """A setting is unknown or out of range; the text names the key, the value, its source and what is allowed."""


class BackendUnavailable(TcpconnError, ImportError):
    """The chosen backend is not installed, or its package cannot be imported; the text says what to install."""


class ConnectError(TcpconnError, ConnectionError):
    """No connection could be made within `connect_timeout`, or the peer refused the logical connection."""


class HandshakeError(ConnectError):
    """The peer answered, but not as tcpconn of this protocol version does, or it refused the link.

    Attributes:
        code: the number of the peer's reason if it gave one (its GOAWAY), else None.
    """

    def __init__(self, text: str, code: int | None = None) -> None:
        super().__init__(text)
        self.code = code


class AuthenticationError(HandshakeError):
    """The peer did not prove that it may talk to us, or refused our own proof."""


class ProtocolError(TcpconnError, ConnectionError):
    """The peer broke the rules of the wire; `code` is the number that the GOAWAY frame carries."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class MessageTooLarge(TcpconnError, ValueError):
    """A message is larger than the `max_message` of this end or of the peer; nothing of it was sent."""


class ConnectionClosed(TcpconnError):
    """The connection was closed in good order, by this end or by the peer; nothing more can be sent or received."""


class ConnectionLost(TcpconnError, ConnectionError):
    """The connection broke and could not be resumed.

    Attributes:
        undelivered: how many messages sent on this connection the peer's library never acknowledged.
    """

    def __init__(self, text: str, undelivered: int = 0) -> None:
        super().__init__(text)
        self.undelivered = undelivered


class TimedOut(TcpconnError, TimeoutError):
    """The time given for an operation passed; the connection itself is unharmed unless the text says otherwise."""

"""The figures of one logical connection, as users see them."""

from __future__ import annotations

from dataclasses import dataclass

from tcpconn.stream import Incoming, Stream

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """Figures of one logical connection.

    Attributes:
        messages_sent, bytes_sent: what was accepted for sending.
        messages_received, bytes_received: what the application has taken out.
        waiting: messages received whole that the application has not taken yet.
        reconnects: links of this session that took the place of a lost one.
    """

    messages_sent: int
    bytes_sent: int
    messages_received: int
    bytes_received: int
    waiting: int
    reconnects: int

    @classmethod
    def of(cls, stream: Stream, reconnects: int) -> Stats:
        """Read them off a stream; whoever guards the stream calls this."""
        inbox = stream.inbox
        # Nothing comes behind a message that is not whole.
        partial = bool(inbox) and isinstance(inbox[-1], Incoming) and not inbox[-1].whole
        return cls(
            messages_sent=stream.messages_sent,
            bytes_sent=stream.bytes_sent,
            messages_received=stream.messages_received,
            bytes_received=stream.bytes_received,
            waiting=len(inbox) - partial,
            reconnects=reconnects,
        )

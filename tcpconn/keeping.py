"""What a carrier asks of whoever keeps it going: the caretaker's thread, or an asyncio event loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from tcpconn.transport import BareLink
from tcpconn.waiting import Seat

if TYPE_CHECKING:
    from tcpconn.carrier import Carrier
    from tcpconn.writing import LinkWriter

__all__ = ["Keeper"]


class Keeper(Protocol):
    """Reads, writes and remembers for carriers. Every method returns at once and may be called with the carrier's lock held."""

    def add(self, carrier: Carrier) -> None:
        """Take note of a new carrier."""
        ...

    def tell(self, carrier: Carrier) -> None:
        """Call the carrier's `tell` soon, without its lock."""
        ...

    def owe_ack(self, carrier: Carrier) -> None:
        """Have the carrier acknowledge what it received, after a moment in which more may come."""
        ...

    def owe_flush(self, carrier: LinkWriter) -> None:
        """Have the carrier write what a burst has left in its batch, soon."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> None:
        """Call something, without any lock, at a time of `time.monotonic()`; it checks whether it still applies."""
        ...

    def attend(self, seat: Seat) -> None:
        """Read a channel whenever something comes and nobody else reads it."""
        ...

    def want_write(self, carrier: LinkWriter) -> None:
        """Call the carrier's `writable` as soon as its link takes more."""
        ...

    def dismiss(self, link: BareLink, seat: Seat | None) -> None:
        """Stop attending to a link for good, and close it."""
        ...

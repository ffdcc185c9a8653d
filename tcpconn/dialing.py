"""Making links, in the blocking driver: one attempt of a dialling carrier, in a short-lived thread of its own.

Name resolution and connecting may block, so neither a user's thread nor the caretaker does them. When to try is the
lifecycle's decision.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tcpconn.address import Address
from tcpconn.attempt import Attempt
from tcpconn.carrier import Carrier
from tcpconn.errors import TcpconnError
from tcpconn.greeting import Greeting
from tcpconn.transport import Link, Transport
from tcpconn.waiting import Seat

__all__ = ["Dialer"]


class Dialer:
    """Makes the links of one carrier.

    Args:
        transport: the backend.
        address: where to.
        abandoned: for the links' seats.
    """

    def __init__(self, transport: Transport, address: Address, abandoned: Callable[[Seat], None]) -> None:
        self._transport = transport
        self._address = address
        self._abandoned = abandoned

    def __call__(self, carrier: Carrier) -> None:
        """Begin an attempt; its outcome goes to the carrier."""
        threading.Thread(target=self._dial, args=(carrier,), name=f"tcpconn-dial-{self._address}", daemon=True).start()

    def _dial(self, carrier: Carrier) -> None:
        attempt = Attempt(carrier, self._address)
        try:
            link = self._transport.connect(self._address, carrier.config.link_options(), attempt.patience)
            words = attempt.greet(Greeting(link), Seat(link.channel, self._abandoned))
            _write(link, words, time.monotonic() + attempt.write_limit)
            if not _hear_out(attempt, link, carrier.config.handshake_timeout):
                raise attempt.silence()
            attempt.take_up()
        except (OSError, TcpconnError) as error:
            attempt.failed(error)
        except BaseException as error:
            attempt.broken(error)
            raise


def _hear_out(attempt: Attempt, link: Link, timeout: float | None) -> bool:
    """Read until it is decided whether there is a HELLO; return False if that took too long."""
    deadline = None if timeout is None else time.monotonic() + timeout
    greeting, channel = attempt.greeting, link.channel
    assert greeting is not None
    while not greeting.done:
        rest = None if deadline is None else deadline - time.monotonic()
        if rest is not None and rest <= 0:
            return False
        channel.read(rest)
    return True


def _write(link: Link, data: bytes, deadline: float) -> None:
    """Write, waiting for the link if need be until `deadline` by `time.monotonic()`.

    Raises:
        OSError: the link is broken, or did not take it in time.
    """
    while data:
        data = data[link.write([data]) :]
        # It also returns early, for nothing, when somebody wakes the link's channel.
        while data and not link.wait(max(deadline - time.monotonic(), 0), read=False, write=True)[1]:
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{link.peer} takes no data")

"""Making links: one attempt of a dialling carrier, in a short-lived thread of its own.

Name resolution and connecting may block, so neither a user's thread nor the caretaker does them. When to try is the
lifecycle's decision.
"""

from __future__ import annotations

import logging
import os
import threading
import time

from tcpconn.address import Address
from tcpconn.carrier import Carrier
from tcpconn.errors import AuthenticationError, HandshakeError, ProtocolError, TcpconnError
from tcpconn.frames import Code
from tcpconn.greeting import Greeting, write_frame
from tcpconn.handshake import check_answer, client_hello
from tcpconn.lifecycle import State
from tcpconn.session import Session
from tcpconn.transport import Link, Transport
from tcpconn.waiting import Seat

__all__ = ["Dialer"]

log = logging.getLogger("tcpconn")


class Dialer:
    """Makes the links of one carrier.

    Args:
        transport: the backend.
        address: where to.
    """

    def __init__(self, transport: Transport, address: Address) -> None:
        self._transport = transport
        self._address = address

    def __call__(self, carrier: Carrier) -> None:
        """Begin an attempt; its outcome goes to the carrier."""
        threading.Thread(target=self._dial, args=(carrier,), name=f"tcpconn-dial-{self._address}", daemon=True).start()

    def _dial(self, carrier: Carrier) -> None:
        link: Link | None = None
        greeting: Greeting | None = None
        try:
            link = self._transport.connect(self._address, carrier.config.link_options(), self._patience(carrier))
            greeting = Greeting(link)
            greeting.begin()
            self._greet(carrier, greeting)
        except (OSError, TcpconnError) as error:
            if link is not None:
                link.close()
            log.info("no link to %s: %s", self._address, error)
            with carrier.lock:
                if carrier.lifecycle.state is not State.CLOSED:
                    foreign = greeting is not None and greeting.foreign and carrier.session is None
                    carrier.lifecycle.dial_failed(time.monotonic(), error, final=_is_final(error, foreign=foreign))
                    carrier.reschedule()
        except BaseException as error:
            with carrier.lock:
                carrier.end(f"dialling failed by a fault of the backend: {error!r}")
            raise

    @staticmethod
    def _patience(carrier: Carrier) -> float | None:
        config = carrier.config
        return config.connect_timeout if carrier.session is None else config.resume_timeout

    def _greet(self, carrier: Carrier, greeting: Greeting) -> None:
        config = carrier.config
        link = greeting.link
        session = carrier.session
        ours = client_hello(config, os.urandom(16)) if session is None else session.hello(resume=True)
        limit = config.handshake_timeout
        write_frame(link, ours.encode(), time.monotonic() + (60.0 if limit is None else limit))
        theirs = greeting.wait(limit)
        check_answer(ours, theirs)
        with carrier.lock:
            if carrier.lifecycle.state in (State.CLOSED, State.CONNECTED):
                link.close()
                return
            if session is None:
                session = Session(
                    client=True,
                    accepts=False,
                    ours=ours,
                    theirs=theirs,
                    chunk_size=config.chunk_size,
                    peer=str(self._address),
                )
            seat = Seat(link.channel, carrier.caretaker.abandoned)
            carrier.link_up(link, seat, session, theirs.received, greeting.rest)


def _is_final(error: Exception, *, foreign: bool) -> bool:
    """Whether trying again would end the same way.

    What speaks another protocol (`foreign`) will go on doing so, but where a session stood it may only be passing by.
    """
    if isinstance(error, AuthenticationError | ProtocolError):
        return True
    if not isinstance(error, HandshakeError):
        return False
    return foreign if error.code is None else error.code in (Code.UNKNOWN_SESSION, Code.HANDSHAKE_FAILED)

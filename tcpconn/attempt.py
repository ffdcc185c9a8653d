"""One attempt of a dialling carrier to get a link, as far as both drivers do the same: what is said, what an outcome means."""

from __future__ import annotations

import os
import time
from contextlib import suppress

from tcpconn.ablation import receiver_for
from tcpconn.address import Address
from tcpconn.authentication import NONCE_SIZE, Transcript, needs_proof, with_nonce
from tcpconn.carrier import Carrier
from tcpconn.errors import AuthenticationError, ConfigError, HandshakeError, ProtocolError, TcpconnError, TimedOut
from tcpconn.frames import Code, Frame, Hello, goaway, proof
from tcpconn.greeting import Greeting
from tcpconn.handshake import check_answer, client_hello
from tcpconn.lifecycle import State
from tcpconn.logs import logger
from tcpconn.session import Session
from tcpconn.waiting import Seat

__all__ = ["Attempt"]

log = logger()

_NO_LIMIT = 60.0
"""Seconds for a HELLO to be written where the handshake may take for ever: it is the first that is written."""


class Attempt:
    """One attempt; made when it begins.

    Args:
        carrier: for whom.
        address: where to.

    Attributes:
        patience: seconds that the attempt to connect may take, or None.
        write_limit: seconds that writing the HELLO may take.
        greeting: what the peer says; None until there is a link.
    """

    def __init__(self, carrier: Carrier, address: Address) -> None:
        config = carrier.config
        self._carrier = carrier
        self._address = address
        self._session = carrier.session
        self._ours: Hello | None = None
        self._words = b""
        self.patience = config.connect_timeout if self._session is None else config.resume_timeout
        limit = config.handshake_timeout
        self.write_limit = _NO_LIMIT if limit is None else limit
        self.greeting: Greeting | None = None
        self._seat: Seat | None = None

    def greet(self, greeting: Greeting, seat: Seat | None) -> bytes:
        """Expect the peer's HELLO on a link, whose seat this is, and return this end's, to be written to it."""
        self.greeting = greeting
        self._seat = seat
        greeting.begin()
        session, nonce = self._session, os.urandom(NONCE_SIZE)
        if session is None:
            self._ours = client_hello(self._carrier.config, os.urandom(16), nonce)
        else:
            self._ours = with_nonce(session.hello(resume=True), nonce)
        frame = self._ours.encode()
        self._words = frame.body
        return frame.encode()

    def take_up(self) -> None:
        """Give the carrier its link, once the greeting is decided.

        Raises:
            HandshakeError, AuthenticationError, ProtocolError: the peer does not take the session up.
        """
        greeting, ours, carrier = self.greeting, self._ours, self._carrier
        assert greeting is not None
        assert ours is not None
        if greeting.failure is not None:
            raise greeting.failure
        theirs = greeting.hello
        assert theirs is not None
        check_answer(ours, theirs)
        transcript = Transcript(self._words, greeting.body)
        our_proof = self._exchange_proofs(transcript) if needs_proof(ours) else None
        with carrier.lock:
            if carrier.lifecycle.state in (State.CLOSED, State.CONNECTED):
                carrier.keeper.dismiss(greeting.link, self._seat)
                return
            session = self._session or Session(
                client=True,
                accepts=False,
                ours=ours,
                theirs=theirs,
                chunk_size=carrier.config.chunk_size,
                peer=str(self._address),
                receiver=receiver_for(carrier.config),
                secret=transcript.session_secret(carrier.config.shared_key),
            )
            carrier.link_up(greeting.link, self._seat, session, theirs.received, greeting.rest, our_proof)

    def _exchange_proofs(self, transcript: Transcript) -> Frame:
        """Check the peer's proof, and return this end's.

        Raises:
            AuthenticationError: the peer's is wrong, of which it is told.
        """
        greeting, session = self.greeting, self._session
        assert greeting is not None
        secret = self._carrier.config.shared_key if session is None else session.secret
        assert secret is not None
        if greeting.proof is None or not transcript.proves(greeting.proof, secret, client=False):
            what = "the shared key: set the same auth_key at both ends" if session is None else "the secret of this session"
            with suppress(OSError):
                greeting.link.write([goaway(Code.AUTHENTICATION_FAILED, f"the listener did not prove {what}").encode()])
            raise AuthenticationError(f"{greeting.link.peer} did not prove that it knows {what}")
        return proof(transcript.proof(secret, client=True))

    def silence(self) -> TimedOut:
        """Return the error for a peer that does not say HELLO in time."""
        assert self.greeting is not None
        limit = self._carrier.config.handshake_timeout
        return TimedOut(f"{self.greeting.link.peer} accepted the link but sent no HELLO within handshake_timeout={limit} s")

    def drop(self) -> None:
        """Close the link, if there is one."""
        if self.greeting is not None:
            self._carrier.keeper.dismiss(self.greeting.link, self._seat)

    def failed(self, error: OSError | TcpconnError) -> None:
        """Tell the carrier that nothing came of it, and close the link if there is one."""
        carrier, greeting = self._carrier, self.greeting
        self.drop()
        log.info("no link to %s: %s", self._address, error)
        with carrier.lock:
            if carrier.lifecycle.state is not State.CLOSED:
                foreign = carrier.session is None and (greeting is None or greeting.foreign)
                carrier.lifecycle.dial_failed(time.monotonic(), error, final=_is_final(error, foreign=foreign))
                carrier.reschedule()

    def broken(self, error: BaseException) -> None:
        """Tell the carrier that the backend is at fault."""
        self.drop()
        with self._carrier.lock:
            self._carrier.end(f"dialling failed by a fault of the backend: {error!r}")


def _is_final(error: Exception, *, foreign: bool) -> bool:
    """Whether trying again would end the same way.

    What speaks another protocol (`foreign`) will go on doing so, but where a session stood it may only be passing by.
    """
    if isinstance(error, AuthenticationError | ProtocolError | ConfigError):
        return True
    if not isinstance(error, HandshakeError):
        return False
    return foreign if error.code is None else error.code in (Code.UNKNOWN_SESSION, Code.HANDSHAKE_FAILED)

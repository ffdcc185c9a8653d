"""The listening side of both flavours: links are greeted, sessions begun, resumed, and kept while their peers may come back."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tcpconn.ablation import receiver_for
from tcpconn.authentication import NONCE_SIZE, Transcript, with_nonce
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.errors import AuthenticationError, ProtocolError
from tcpconn.frames import Code, Hello, goaway, proof
from tcpconn.greeting import Greeting
from tcpconn.handshake import authentication_refusal, server_hello
from tcpconn.keeping import Keeper
from tcpconn.lifecycle import State
from tcpconn.logs import logger
from tcpconn.session import Session
from tcpconn.stream import Stream
from tcpconn.transport import BareLink, Link, LinkListener
from tcpconn.waiting import Seat

__all__ = ["ACCEPT_PAUSE", "Reception", "accept_links"]

log = logger()

ACCEPT_PAUSE = 0.1
"""Seconds that accepting rests when the process is out of descriptors."""

_ACCEPTS_AT_ONCE = 64

_SHED = 16
"""Which part of the sessions without a link is given up when there are too many, so that not each new one looks at all."""

_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


def accept_links(listener: LinkListener, take: Callable[[Link], None]) -> bool:
    """Give `take` the links that wait at a listener; return False if accepting should rest for `ACCEPT_PAUSE`."""
    for _ in range(_ACCEPTS_AT_ONCE):
        try:
            link = listener.accept()
        except OSError as error:
            if error.errno == errno.EBADF:
                break  # closed meanwhile
            log.error("%s cannot accept a link: %s", listener.address, error)
            return error.errno not in _EXHAUSTED
        if link is None:
            break
        take(link)
    return True


@dataclass(frozen=True, slots=True)
class _Answer:
    """What this end has answered to a HELLO: its own, and what follows from both."""

    ours: Hello
    words: bytes
    transcript: Transcript

    @classmethod
    def to(cls, greeting: Greeting, ours: Hello) -> _Answer:
        frame = ours.encode()
        return cls(ours, frame.encode(), Transcript(greeting.body, frame.body))


def _say(link: BareLink, words: bytes) -> None:
    """Write a HELLO.

    Raises:
        OSError: the link is broken, or does not take it at once, though it is the first that is written.
    """
    if link.write([words]) < len(words):
        raise OSError(errno.ENOBUFS, "the link takes too little at once even for a HELLO")


def _last_word(code: Code, answer: _Answer | None) -> Code:
    """Return the code for a session that is over: who has been answered holds it for begun, and hears that it has closed."""
    return Code.CLOSED if answer is not None and code in (Code.SHUTTING_DOWN, Code.UNKNOWN_SESSION) else code


class Reception:
    """Receives the peers of one listener.

    `_lock` guards the tables of sessions and of links that have not said HELLO yet; no other lock is taken under it.

    Args:
        config: the listener's settings.
        keeper: who keeps the links going.
        admit: called, with a carrier's lock held, with each stream that a peer has opened; returns why it is refused, or None.
        on_empty: called whenever a session or a link has gone and none is left.
    """

    def __init__(
        self,
        config: Config,
        keeper: Keeper,
        admit: Callable[[Carrier, Stream], str | None],
        on_empty: Callable[[], None],
    ) -> None:
        self._config = config
        self._keeper = keeper
        self._admit = admit
        self._on_empty = on_empty
        self._lock = threading.Lock()
        self._sessions: dict[bytes, Carrier] = {}
        self._greetings: dict[Greeting, Seat | None] = {}
        # Of those that have to prove something: what, and what they were answered.
        self._challenges: dict[Greeting, tuple[bytes, _Answer]] = {}
        self._closed = False

    @property
    def sessions(self) -> list[Carrier]:
        """The peers that are connected or may still come back."""
        with self._lock:
            return list(self._sessions.values())

    def stop(self) -> None:
        """Begin no more sessions; those that are there may still be resumed."""
        with self._lock:
            self._closed = True

    def turn_all_away(self) -> None:
        """End the links that have not said HELLO."""
        with self._lock:
            greetings, self._greetings = self._greetings, {}
            challenges, self._challenges = self._challenges, {}
        for greeting, seat in greetings.items():
            # Who has been answered: see `_last_word`.
            code = Code.CLOSED if greeting in challenges else Code.SHUTTING_DOWN
            self._turn_away(greeting.link, seat, code, "the listener is closed")

    def greet(self, link: BareLink, seat: Seat | None) -> None:
        """Wait, in the background, for the HELLO of a link."""

        def refused(greeting: Greeting) -> None:
            if self._take(greeting):
                wrong = isinstance(greeting.failure, AuthenticationError)
                code = Code.AUTHENTICATION_FAILED if wrong else Code.HANDSHAKE_FAILED
                self._refuse(greeting, seat, code, str(greeting.failure))

        def came(greeting: Greeting) -> None:
            challenge = self._challenges.pop(greeting, None)
            if not self._take(greeting):
                return
            if challenge is None:
                self._take_up(greeting, seat, None)
                return
            secret, answer = challenge
            assert greeting.proof is not None
            if answer.transcript.proves(greeting.proof, secret, client=True):
                self._take_up(greeting, seat, answer)
            else:
                what = "the secret of the session" if answer.ours.resume else "the shared key (auth_key)"
                self._refuse(greeting, seat, Code.AUTHENTICATION_FAILED, f"the client did not prove that it knows {what}")

        def challenged(greeting: Greeting) -> bool:
            return self._challenge(greeting, seat)

        greeting = Greeting(link, came, refused, challenged)
        with self._lock:
            self._greetings[greeting] = seat
        greeting.begin()
        if seat is not None and not seat.shared:
            self._keeper.attend(seat)
        limit = self._config.handshake_timeout
        if limit is not None:

            def too_late() -> None:
                challenged = greeting in self._challenges
                if not self._take(greeting):
                    return
                if challenged:
                    # Not refused: a client that was stalled resumes its session over another link.
                    log.warning("link from %s closed: it sent no proof within handshake_timeout=%s s", link.peer, limit)
                    self._keeper.dismiss(link, seat)
                    self._left()
                else:
                    text = f"it sent no HELLO within handshake_timeout={limit} s"
                    self._refuse(greeting, seat, Code.HANDSHAKE_FAILED, text)

            self._keeper.call_at(time.monotonic() + limit, too_late)

    def _take(self, greeting: Greeting) -> bool:
        """Whether nobody else has decided on this link; the caller does now. Reader, time limit and `close` may meet here."""
        with self._lock:
            waited_for = greeting in self._greetings
            self._greetings.pop(greeting, None)
            self._challenges.pop(greeting, None)
            return waited_for

    def _refuse(self, greeting: Greeting, seat: Seat | None, code: Code, text: str) -> None:
        # A listener that was restarted meets every client of the old one, and there is nothing wrong with them.
        level = logging.INFO if code in (Code.UNKNOWN_SESSION, Code.SHUTTING_DOWN, Code.CLOSED) else logging.WARNING
        log.log(level, "link from %s refused: %s", greeting.link.peer, text)
        self._turn_away(greeting.link, seat, code, text)

    def _turn_away(self, link: BareLink, seat: Seat | None, code: Code, text: str) -> None:
        try:
            link.write([goaway(code, text).encode()])
        except OSError as error:
            log.debug("%s did not hear why it was refused: %s", link.peer, error)
        self._keeper.dismiss(link, seat)
        self._left()

    def _judge(self, theirs: Hello) -> tuple[Code, str] | None:
        """Return why a HELLO is refused, or None. The table's lock is held."""
        wrong = authentication_refusal(theirs, key=self._config.shared_key)
        if wrong is not None:
            return Code.AUTHENTICATION_FAILED, wrong
        known = self._sessions.get(theirs.session)
        if self._closed and not (theirs.resume and known):
            return Code.SHUTTING_DOWN, "the listener is closed"
        if theirs.resume and known is None:
            text = "this session is not known here any more, or never was: the listener may have been restarted"
            return Code.UNKNOWN_SESSION, text
        if known is not None and not theirs.resume:
            return Code.HANDSHAKE_FAILED, "a session of this number exists already"
        return None

    def _challenge(self, greeting: Greeting, seat: Seat | None) -> bool:
        """Answer a HELLO whose sender has to prove something, or refuse it; return whether to wait for the proof.

        Nothing is begun or changed before the proof is there, and a link that the session has keeps it until then.
        """
        theirs = greeting.hello
        assert theirs is not None
        with self._lock:
            refusal = self._judge(theirs)
            carrier = self._sessions.get(theirs.session)
        ours, secret = None, self._config.shared_key
        if refusal is None and carrier is not None:
            with carrier.lock:
                session = carrier.session
                if session is None or session.ended is not None:
                    refusal = Code.UNKNOWN_SESSION, "this session has ended"
                else:
                    ours, secret = with_nonce(session.hello(resume=True), os.urandom(NONCE_SIZE)), session.secret
        if refusal is not None:
            if self._take(greeting):
                self._refuse(greeting, seat, *refusal)
            return False
        assert secret is not None
        answer = _Answer.to(greeting, ours or server_hello(self._config, theirs.session, os.urandom(NONCE_SIZE)))
        with self._lock:
            if greeting not in self._greetings:
                return False
            self._challenges[greeting] = secret, answer
        words = answer.words + proof(answer.transcript.proof(secret, client=False)).encode()
        try:
            _say(greeting.link, words)
        except OSError as error:
            if self._take(greeting):
                self._refuse(greeting, seat, Code.HANDSHAKE_FAILED, str(error))
            return False
        return True

    def _take_up(self, greeting: Greeting, seat: Seat | None, answer: _Answer | None) -> None:
        """Begin a session or resume one, whose HELLO may have been answered already. Called by whoever reads the link."""
        link, theirs = greeting.link, greeting.hello
        assert theirs is not None
        with self._lock:
            refusal = self._judge(theirs)
            carrier = None if refusal else self._sessions.get(theirs.session) or self._begin(theirs.session, link)
        self._shed()
        if carrier is None:
            assert refusal is not None
            self._refuse(greeting, seat, _last_word(refusal[0], answer), refusal[1])
            return
        with carrier.lock:
            if carrier.lifecycle.state is State.CLOSED:
                why = "" if carrier.session is None else f": {carrier.session.ended}"
                self._turn_away(link, seat, _last_word(Code.UNKNOWN_SESSION, answer), f"this session has ended{why}")
                return
            if answer is not None and carrier.session is not None and answer.ours.received != carrier.session.receiver.count:
                # Something has come over the old link since the answer was given: the client has to hear a new one.
                carrier.link_lost(None)
                self._keeper.dismiss(link, seat)
                self._left()
                return
            try:
                if answer is None:
                    answer = _Answer.to(greeting, server_hello(self._config, theirs.session, os.urandom(NONCE_SIZE)))
                    _say(link, answer.words)
                session = carrier.session or Session(
                    client=False,
                    accepts=True,
                    ours=answer.ours,
                    theirs=theirs,
                    chunk_size=self._config.chunk_size,
                    peer=link.peer,
                    receiver=receiver_for(self._config),
                    secret=answer.transcript.session_secret(self._config.shared_key),
                )
                carrier.link_up(link, seat, session, theirs.received, greeting.rest)
            except (OSError, ProtocolError) as error:
                log.warning("link from %s failed in the handshake: %s", link.peer, error)
                self._turn_away(link, seat, Code.PROTOCOL_ERROR, str(error))
                if carrier.session is None:
                    carrier.end(f"the handshake failed: {error}")

    def _begin(self, session: bytes, link: BareLink) -> Carrier:
        """Make the carrier of a new session. The table's lock is held."""
        carrier = Carrier(
            self._config,
            link.peer,
            dials=False,
            keeper=self._keeper,
            on_open=self._opened,
            on_end=partial(self._forget, session),
        )
        self._sessions[session] = carrier
        return carrier

    def _shed(self) -> None:
        """Give up sessions that have been without a link for longest, when more are kept than links are allowed."""
        most = self._config.max_links
        with self._lock:
            if len(self._sessions) <= 2 * most:
                return
            unlinked = [known for known in self._sessions.values() if known.link is None and known.session is not None]
        unlinked.sort(key=lambda carrier: carrier.lifecycle.deadline)
        log.warning("%d sessions wait for their peers to come back: those that have waited longest are given up", len(unlinked))
        for carrier in unlinked[: max(len(unlinked) - most, most // _SHED)]:
            with carrier.lock:
                if carrier.link is None:
                    carrier.end(f"more than {most} sessions waited for their peers to come back (max_links)")

    def _forget(self, session: bytes, carrier: Carrier) -> None:
        with self._lock:
            if self._sessions.get(session) is carrier:
                del self._sessions[session]
        self._left()

    def _left(self) -> None:
        with self._lock:
            empty = not self._sessions and not self._greetings
        if empty:
            self._on_empty()

    def _opened(self, carrier: Carrier, stream: Stream) -> None:
        """Let the listener have a stream that a peer has opened. The carrier's lock is held."""
        refusal = self._admit(carrier, stream)
        if refusal is not None:
            assert carrier.session is not None
            carrier.session.mux.reset(stream, Code.REFUSED, refusal)

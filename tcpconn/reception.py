"""The listening side of both flavours: links are greeted, sessions begun, resumed, and kept while their peers may come back."""

from __future__ import annotations

import errno
import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from tcpconn.ablation import receiver_for
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.errors import ProtocolError
from tcpconn.frames import Code, goaway
from tcpconn.greeting import Greeting
from tcpconn.handshake import server_hello
from tcpconn.keeping import Keeper
from tcpconn.lifecycle import State
from tcpconn.session import Session
from tcpconn.stream import Stream
from tcpconn.transport import BareLink, Link, LinkListener
from tcpconn.waiting import Seat

__all__ = ["ACCEPT_PAUSE", "Reception", "accept_links"]

log = logging.getLogger("tcpconn")

ACCEPT_PAUSE = 0.1
"""Seconds that accepting rests when the process is out of descriptors."""

_ACCEPTS_AT_ONCE = 64
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
        for greeting, seat in greetings.items():
            self._turn_away(greeting.link, seat, Code.SHUTTING_DOWN, "the listener is closed")

    def greet(self, link: BareLink, seat: Seat | None) -> None:
        """Wait, in the background, for the HELLO of a link."""

        def refused(greeting: Greeting) -> None:
            if self._take(greeting):
                self._refuse(greeting, seat, str(greeting.failure))

        def came(greeting: Greeting) -> None:
            if self._take(greeting):
                self._hello(greeting, seat)

        greeting = Greeting(link, came, refused)
        with self._lock:
            self._greetings[greeting] = seat
        greeting.begin()
        if seat is not None and not seat.shared:
            self._keeper.attend(seat)
        limit = self._config.handshake_timeout
        if limit is not None:

            def too_late() -> None:
                if self._take(greeting):
                    self._refuse(greeting, seat, f"it sent no HELLO within handshake_timeout={limit} s")

            self._keeper.call_at(time.monotonic() + limit, too_late)

    def _take(self, greeting: Greeting) -> bool:
        """Whether nobody else has decided on this link; the caller does now. Reader, time limit and `close` may meet here."""
        with self._lock:
            waited_for = greeting in self._greetings
            self._greetings.pop(greeting, None)
            return waited_for

    def _refuse(self, greeting: Greeting, seat: Seat | None, text: str) -> None:
        log.warning("link from %s refused: %s", greeting.link.peer, text)
        self._turn_away(greeting.link, seat, Code.HANDSHAKE_FAILED, text)

    def _turn_away(self, link: BareLink, seat: Seat | None, code: Code, text: str) -> None:
        try:
            link.write([goaway(code, text).encode()])
        except OSError as error:
            log.debug("%s did not hear why it was refused: %s", link.peer, error)
        self._keeper.dismiss(link, seat)
        self._left()

    def _hello(self, greeting: Greeting, seat: Seat | None) -> None:
        """Begin a session or resume one. Called by whoever reads the link."""
        link, theirs = greeting.link, greeting.hello
        assert theirs is not None
        code, refusal, carrier = Code.UNKNOWN_SESSION, "", None
        with self._lock:
            known = self._sessions.get(theirs.session)
            if self._closed and not (theirs.resume and known):
                code, refusal = Code.SHUTTING_DOWN, "the listener is closed"
            elif theirs.resume and known is None:
                refusal = "this session is not known here any more, or never was: the listener may have been restarted"
            elif known is not None and not theirs.resume:
                code, refusal = Code.HANDSHAKE_FAILED, "a session of this number exists already"
            else:
                carrier = known or self._begin(theirs.session, link)
        if carrier is None:
            log.info("link from %s refused: %s", link.peer, refusal)
            self._turn_away(link, seat, code, refusal)
            return
        with carrier.lock:
            session = carrier.session or Session(
                client=False,
                accepts=True,
                ours=server_hello(self._config, theirs.session),
                theirs=theirs,
                chunk_size=self._config.chunk_size,
                peer=link.peer,
                receiver=receiver_for(self._config),
            )
            if carrier.lifecycle.state is State.CLOSED:
                self._turn_away(link, seat, Code.UNKNOWN_SESSION, f"this session has ended: {session.ended}")
                return
            answer = session.hello(resume=theirs.resume).encode().encode()
            try:
                if link.write([answer]) < len(answer):
                    raise OSError(errno.ENOBUFS, "the link takes too little at once even for a HELLO")
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

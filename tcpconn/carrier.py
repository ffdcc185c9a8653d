"""The heart of both drivers: moves the bytes of one session between its link and those who use it.

A carrier has a session (the protocol), a lifecycle (what to do when) and, most of the time, a link. In the blocking driver
every thread that sends writes by itself, every thread that receives reads by itself, and the caretaker stands in when no
thread is there; in the asyncio driver the event loop does it all. The carrier decides nothing about the protocol.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from tcpconn.config import Config
from tcpconn.errors import HandshakeError, ProtocolError, TcpconnError, TimedOut
from tcpconn.frames import Code, Frame, goaway
from tcpconn.keeping import Keeper
from tcpconn.lifecycle import Action, Lifecycle, State
from tcpconn.logs import logger
from tcpconn.notices import Notices
from tcpconn.polling import BusyPoll
from tcpconn.session import Session
from tcpconn.sink import LinkSink
from tcpconn.stream import Stream
from tcpconn.tracing import frame_log
from tcpconn.transport import BareLink
from tcpconn.waiting import Seat
from tcpconn.writing import LinkWriter

__all__ = ["Carrier"]

log = logger()


class Carrier(LinkWriter):
    """Carries one session.

    `lock` guards everything below except reading from the channel, which the seat guards. No lock is held while a system call
    may block, nor while a user's callback runs.

    Args:
        config: the settings of the session.
        address: the peer's address as text, for people.
        dials: whether this end makes the links.
        keeper: who calls back when it is time, and reads when nobody else does.
        on_open: called, with the lock held, with each stream that the peer has opened.
        on_end: called, without the lock, once the session is over.

    Attributes:
        session: the protocol's state; None until the first handshake.
        link, seat, sink: the present link; None while there is none.
        reconnects: links that took the place of a lost one.
        leads: whether a thread that waits reads the link itself.
    """

    def __init__(
        self,
        config: Config,
        address: str,
        *,
        dials: bool,
        keeper: Keeper,
        on_open: Callable[[Carrier, Stream], None] | None = None,
        on_end: Callable[[Carrier], None] | None = None,
    ) -> None:
        self.config = config
        super().__init__(address, keeper, config.flush_interval if config.coalesce else 0.0)
        self.sink: LinkSink | None = None
        self.failure: Callable[[], TcpconnError] | None = None
        self.reconnects = 0
        self.dial: Callable[[Carrier], None] | None = None
        self.poll = BusyPoll(config.busy_poll)
        self.leads = config.leader_followers
        self._scheduled = float("inf")
        self._on_open = on_open
        self._notices = Notices(None if on_end is None else partial(on_end, self))
        self.lifecycle = Lifecycle(config, dials=dials, now=time.monotonic(), on_state=self._state_changed)
        keeper.add(self)

    # -- links

    def link_up(
        self, link: BareLink, seat: Seat | None, session: Session, received: int, rest: bytes, proof: Frame | None = None
    ) -> None:
        """Go on over a link whose HELLOs have been exchanged; `rest` is what came after the peer's. The lock is held.

        `proof` is what this end has to say before anything else.

        Raises:
            ProtocolError: the peer claims to have received what was never sent; whatever was is still so.
        """
        session.check_resume(received)
        if self.link is not None:
            # The peer has a new link before this end has noticed the loss of the old one.
            session.link_down()
            self._drop_link()
        session.link_up(received)
        if proof is not None:
            session.prove(proof)
        self.reconnects += self.session is not None
        self.session = session
        self.link = link
        self.sink = LinkSink(self, session, link)
        self.seat = seat
        self.leftover = None
        self._log = frame_log(f"{link.peer} ->")
        self.lifecycle.link_up(time.monotonic())
        link.sink = self.sink
        if rest:
            try:
                session.data_received(rest)
            except ProtocolError as error:
                self.violated(error)
                return
        self.after_read()
        self.pump()
        self.wake_all()
        if seat is not None and not seat.shared:
            self.keeper.attend(seat)
        self.reschedule()

    def link_lost(self, reason: Exception | None) -> None:
        """Let go of the link; the lifecycle decides what follows. The lock is held."""
        if self.link is None or self.session is None:
            return
        if self.session.outbox.under_way:
            # Not to be resumed: see `interrupted`, in which another interrupt has come.
            self.interrupted()
            return
        try:
            self._let_go(self.session, reason)
        except BaseException:
            # An interrupt in its middle, of which nobody would make good what is left to do.
            self._scheduled = float("inf")
            self._let_go(self.session, reason)
            raise

    def _let_go(self, session: Session, reason: Exception | None) -> None:
        session.link_down()
        self._drop_link()
        farewell = session.farewell
        # A peer that is shutting down still has its streams served, over a new link if it loses this one.
        if farewell is not None and farewell[0] != Code.SHUTTING_DOWN:
            code, text = farewell
            self.end(text or Code.describe(code), in_order=code == Code.CLOSED)
            return
        if self.lifecycle.linked:
            log.info("link to %s lost: %s", self.address, reason or "the peer closed it")
            self.lifecycle.link_lost(time.monotonic(), reason)
        self.wake_all()
        self.reschedule()

    def _drop_link(self) -> None:
        link, seat = self.link, self.seat
        if link is not None:
            self.keeper.dismiss(link, seat)
        self.link = self.seat = self.sink = None
        self.leftover = None

    def violated(self, error: ProtocolError) -> None:
        """Say goodbye to a peer that broke the rules, and end the session. The lock is held."""
        log.error("link to %s closed: %s", self.address, error)
        assert self.session is not None
        code = Code(error.code) if error.code in Code.__members__.values() else Code.PROTOCOL_ERROR
        self.session.say_goodbye(code, str(error))
        self.sink = None  # nothing more is taken from this peer
        self._part(partial(self.end, f"protocol error: {error}"))

    def end(self, text: str, *, in_order: bool = False, failure: Callable[[], TcpconnError] | None = None) -> None:
        """End the session for good and wake everybody. The lock is held."""
        self.failure = self.failure or failure
        try:
            self._end(text, in_order=in_order)
        except BaseException:
            # As in `link_lost`.
            self._end(text, in_order=in_order)
            raise

    def _end(self, text: str, *, in_order: bool) -> None:
        if self.session is not None:
            self.session.end(text, in_order=in_order)
        self._drop_link()
        self.lifecycle.close(time.monotonic())
        self.wake_all()
        self.keeper.tell(self)

    def interrupted(self) -> None:
        """End a session that an exception, of a signal's handler perhaps, has left half changed. The lock is held."""
        assert self.session is not None
        text = "an interrupt, an exception of a signal's handler, came in the middle of sending or receiving"
        try:
            if self.link is not None and not self._writing and self.leftover is None:
                # Past the batch, which may be as half done as the rest.
                with suppress(OSError):
                    self.link.write([goaway(Code.INTERNAL_ERROR, text).encode()])
        finally:
            self.end(f"{text}; connect anew")
            # Last, so that where another interrupt comes before that, whoever next writes, reads or loses the link does it.
            self.session.outbox.under_way = False

    def goodbye(self, code: Code, text: str) -> None:
        """Say GOAWAY and close in good order; nothing is left to send. The lock is held."""
        if self.session is not None and self.session.ended is None:
            # What was received counts as delivered, though it was not yet time to say so.
            self.session.acknowledge()
            self.session.say_goodbye(code, text)
        self._part(partial(self.end, text, in_order=True))

    def _part(self, end: Callable[[], None]) -> None:
        """Write the last words, then end. A thread that is writing now does both, as soon as it can. The lock is held."""
        if self._writing:
            self._parting = end
        else:
            self.pump()
            end()

    def announce_end(self, text: str) -> None:
        """Tell the peer that this end takes no more streams, ahead of `finish`. Without the lock."""
        with self.lock:
            if self.session is not None and self.session.ended is None:
                self.session.say_goodbye(Code.SHUTTING_DOWN, text)
                self.pump()

    def after_fork(self) -> None:
        """Make a carrier that a forked child inherited useless there, without touching the parent's link."""
        text = "this process was forked from the one that made the connection; connect anew in the child"
        # The same object, since connections hold it, but free: whoever held it does not exist in the child.
        self.lock._at_fork_reinit()  # type: ignore[attr-defined]
        self._writing = False
        self.link = self.seat = self.sink = None
        if self.session is not None:
            self.session.end(text)

    def tell(self) -> None:
        """Tell the users of changes of state, and the owner of the end. Without the lock; the keeper calls it."""
        with self.lock:
            calls = self._notices.due(ended=self.lifecycle.state is State.CLOSED)
        for call in calls:
            try:
                call()
            except Exception:
                log.exception("a callback for changes of state failed")

    def _state_changed(self, state: State) -> None:
        self._notices.changed(state)
        self.keeper.tell(self)

    def on_state_change(self, callback: Callable[[State], None]) -> None:
        """Call `callback` with each new state, from wherever the keeper works."""
        with self.lock:
            self._notices.callbacks.append(callback)

    # -- time

    def leave_to_keeper(self) -> None:
        """Have the keeper read the link from now on, if the last user of a stream has gone. Without the lock.

        It would do so by itself some ticks later, and let the peer, which is closing the link, wait as long for an answer.
        """
        with self.lock:
            session, seat = self.session, self.seat
            if session is not None and seat is not None and len(session.mux.streams) <= 1 and seat.is_free():
                self.keeper.attend(seat)

    def reschedule(self) -> None:
        """Have the keeper call `tick` when the lifecycle's next deadline comes."""
        deadline = self.lifecycle.deadline
        # An earlier one takes the place of a later one; a timer that is no longer the next one does nothing.
        if deadline >= self._scheduled:
            return
        self._scheduled = deadline

        def due() -> None:
            with self.lock:
                if self._scheduled != deadline:
                    return
                self._scheduled = float("inf")
            self.tick()

        self.keeper.call_at(deadline, due)

    def tick(self) -> list[Action]:
        """Do what is due, and return what only the owner can do (CLOSE_IDLE). The keeper calls it, without the lock."""
        dial = False
        left: list[Action] = []
        with self.lock:
            self.lifecycle.begun = None if self.session is None else self.session.receiver.begun
            for action in self.lifecycle.tick(time.monotonic()):
                match action:
                    case Action.DIAL:
                        dial = True
                    case Action.PING:
                        if self.session is not None:
                            self.session.ping()
                            self.pump()
                    case Action.DECLARE_DEAD:
                        silence = f"nothing heard from {self.address} for two heartbeat intervals"
                        self.link_lost(TimedOut(silence))
                    case Action.DECLARE_STUCK:
                        self.link_lost(TimedOut(f"a frame of {self.address} was not complete after four heartbeat intervals"))
                    case Action.GIVE_UP:
                        self._give_up()
                    case Action.CLOSE_IDLE:
                        left.append(action)
            self.reschedule()
        if dial and self.dial is not None:
            self.dial(self)
        return left

    def _give_up(self) -> None:
        cause = self.lifecycle.cause
        limit = self.config.connect_timeout if self.session is None else self.config.resume_timeout
        name = "connect_timeout" if self.session is None else "resume_timeout"
        if isinstance(cause, HandshakeError):
            self.end(f"the peer does not take this session up again: {cause}")
        else:
            self.end(f"the link could not be restored within {name}={limit} s (last: {cause or 'the peer closed it'})")

    # -- reading

    def after_read(self) -> None:
        """Act on what the session has just decoded. The lock is held."""
        session = self.session
        assert session is not None
        self.lifecycle.heard = True
        mux = session.mux
        if mux.woken:
            self._wake_woken(mux.woken)
        if mux.opened:
            session.outbox.under_way = True
            opened, mux.opened[:] = list(mux.opened), []
            for stream in opened:
                if self._on_open is not None:
                    self._on_open(self, stream)
            session.outbox.under_way = False
        if session.stirred:
            session.stirred = False
            self._wake(self.waiters)
            self._wake(self.milestones.reached(session.acknowledged))
            if session.farewell is not None:
                self._peer_is_going()
            if session.demands.due:
                try:
                    session.demands.settle(time.monotonic(), self.address)
                except ProtocolError as error:
                    self.violated(error)
                    return
        # `has_urgent_output`, without a call on the way of every message.
        outbox = session.outbox
        if outbox.urgent or outbox.ring or session.control:
            self.pump()
        if not self.ack_listed and session.owes_ack:
            self.ack_listed = True
            self.keeper.owe_ack(self)

    def _peer_is_going(self) -> None:
        assert self.session is not None
        assert self.session.farewell is not None
        code, text = self.session.farewell
        if code not in (Code.CLOSED, Code.SHUTTING_DOWN):
            log.error("%s ended the session: %s: %s", self.address, Code.describe(code), text)
        self.retire()

    def retire(self) -> None:
        """Take no more streams; those that are open go on. The lock is held."""
        if self.lifecycle.state in (State.CONNECTED, State.RECONNECTING):
            self.lifecycle.drain(time.monotonic())

    def __repr__(self) -> str:
        return f"<Carrier {self.lifecycle.state} {self.address} {self.session!r}>"

"""Writing: what a session has to send goes out over the link of the moment, by whichever thread finds it first."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence

from tcpconn.keeping import Keeper
from tcpconn.logs import logger
from tcpconn.milestones import Milestones
from tcpconn.outbox import BATCH_BYTES
from tcpconn.payloads import rest_of
from tcpconn.session import Session
from tcpconn.steps import Wakeable
from tcpconn.stream import Stream
from tcpconn.tracing import FrameLog
from tcpconn.transport import BareLink
from tcpconn.waiting import Seat
from tcpconn.yielding import acquire

__all__ = ["LAST_WORDS", "LinkWriter", "wake_next"]

log = logger()

LAST_WORDS = 1.0
"""Seconds for what is said last: for what a peer said before its link broke to be read, for a goodbye to be written."""


def wake_next(waiters: Iterable[Wakeable]) -> None:
    """Wake the first that can go on of those that are woken in turn. The lock is held.

    Eight threads that were all woken for each grant of credit found, but for one, nothing left of it when they came to run.
    """
    for waiter in waiters:
        if waiter.turn is not None and waiter.turn():
            waiter.wake()
            return


class LinkWriter(ABC):
    """The half of a carrier that writes, and that wakes whoever waits. `lock` guards all of it.

    Attributes:
        session: the protocol's state; None until the first handshake.
        link, seat: the present link; None while there is none.
        waiters: those who wait for something of the session as a whole.
        milestones: those who wait for what was sent to be acknowledged.
        leftover: what the link has refused to take for the moment, or None.
        flush_interval: seconds that a burst is gathered for.
    """

    def __init__(self, address: str, keeper: Keeper, flush_interval: float) -> None:
        self.address = address
        self.keeper = keeper
        self.flush_interval = flush_interval
        self.last_write = 0.0
        self.lock = threading.RLock()
        self.session: Session | None = None
        self.link: BareLink | None = None
        self.seat: Seat | None = None
        self.waiters: list[Wakeable] = []
        self.milestones = Milestones()
        self.ack_listed = False
        self.flush_listed = False
        self._writing = False
        self._parting: Callable[[], None] | None = None
        self.leftover: list[bytes | memoryview] | None = None
        self._mute: BareLink | None = None
        self._log: FrameLog | None = None

    @abstractmethod
    def link_lost(self, reason: Exception | None) -> None:
        """Let go of the link. The lock is held."""

    @abstractmethod
    def interrupted(self) -> None:
        """End a session that an interrupt has left half changed. The lock is held."""

    def pump(self) -> None:
        """Write what the session has to send, as far as the link takes it. The lock is held, and released while writing.

        It is kept during a write that the link says is `brief`.
        """
        session = self.session
        if self._writing or session is None:
            return
        if session.outbox.under_way:
            self.interrupted()
            return
        link = self.link
        outbox = session.outbox
        # `has_output`, twice here, without a call on the way of every message.
        output = outbox.batch or outbox.ring or session.control or session.replay or self.leftover
        if link is None or link is self._mute or not output:
            if session.mux.woken:
                self._wake_woken(session.mux.woken)
            return
        self._writing = True
        try:
            buffers = self.leftover or session.take()
            while buffers:
                self._write(link, buffers, session.taken if self.leftover is None else None)
                link = self.link
                if self.leftover is not None or link is None or link is self._mute:
                    return
                if not (outbox.batch or outbox.ring or session.control or session.replay):
                    return
                buffers = session.take()
        except BaseException as error:
            # An interrupt, so what was taken may be written, or not, or a part of it: it is written anew over the next link.
            if not self.lock._is_owned():  # type: ignore[attr-defined]
                self.lock.acquire()
            if link is self.link:
                self.link_lost(error if isinstance(error, Exception) else InterruptedError(f"{error!r} came while writing"))
            raise
        finally:
            self._writing = False
            # Framing may have ended what a thread waits for, a long message's turn for one.
            if session.mux.woken:
                self._wake_woken(session.mux.woken)
            if self._parting is not None:
                end, self._parting = self._parting, None
                end()

    def _write(self, link: BareLink, buffers: Sequence[bytes | memoryview], size: int | None) -> None:
        """Offer buffers to the link; what it does not take is `leftover`, and whoever waits for the link is told.

        Args:
            link: where to write.
            buffers: what to write.
            size: how many bytes that is, if it is known.
        """
        failed: OSError | None = None
        taken = 0
        lock = self.lock
        kept = size is not None and size <= link.brief
        try:
            if not kept:
                lock.release()
            taken = link.write(buffers)
        except OSError as error:
            failed = error
        except Exception as error:
            # A fault of the backend's own: what it was to write is written again over a new link.
            log.exception("the link to %s failed in a way that it should not", self.address)
            failed = OSError(f"the backend failed: {error!r}")
        finally:
            if not kept and not lock.acquire(False):
                acquire(lock)
        if link is not self.link:
            return
        if failed is not None:
            self._cannot_write(link, failed)
            return
        if self._log is not None:
            self._log.passed(buffers, taken)
        was_blocked = self.leftover is not None
        self.leftover = None if taken == size else rest_of(buffers, taken)
        if self.leftover is not None:
            self.keeper.want_write(self)
        elif was_blocked:
            self._wake(self.waiters)

    def _cannot_write(self, link: BareLink, error: OSError) -> None:
        """Stop writing to a link that is broken, but read it to its end first: the peer may have said why. The lock is held."""
        self._mute = link
        self.leftover = None

        def unread() -> None:
            with self.lock:
                if self.link is link:
                    self.link_lost(error)

        self.keeper.call_at(time.monotonic() + LAST_WORDS, unread)
        if self.seat is not None and not self.seat.shared:
            self.keeper.attend(self.seat)

    @property
    def blocked(self) -> bool:
        """Whether the link has refused to take more for the moment."""
        return self.leftover is not None

    def writable(self) -> bool:
        """Try again to write; return whether there is still something left. The keeper calls it, without the lock."""
        with self.lock:
            self.pump()
            return self.blocked

    def write_or_defer(self, stream: Stream) -> bool:
        """Write, or leave it to the end of the burst; return whether the link takes no more for now. The lock is held.

        Args:
            stream: what something was sent on. Not in a burst is whoever has waited for an answer since the last time, which
                others on the link may be nonetheless.
        """
        session = self.session
        # What is in the ring is more than a batch: a long message, or what others have sent behind a full one.
        if session is not None and session.outbox.batch_bytes < BATCH_BYTES and not session.outbox.ring:
            now = time.monotonic()
            if stream.turned or now - self.last_write >= self.flush_interval:
                stream.turned = False
                self.last_write = now
            else:
                if not self.flush_listed:
                    self.flush_listed = True
                    self.keeper.owe_flush(self)
                return False
        self.pump()
        return self.leftover is not None

    def flush(self) -> None:
        """Write what a burst has left in its batch. The keeper calls it, without the lock."""
        lock = self.lock
        try:
            if not lock.acquire(False):
                acquire(lock)
            self.flush_listed = False
            self.pump()
        finally:
            try:  # noqa: SIM105, a third of the time that `suppress` takes
                lock.release()
            except RuntimeError:
                pass  # an interrupt came before it was acquired

    def acknowledge(self) -> None:
        """Acknowledge what was received meanwhile. The keeper calls it, without the lock."""
        with self.lock:
            self.ack_listed = False
            if self.session is not None and self.session.acknowledge():
                self.pump()

    # -- waking

    def wake_all(self) -> None:
        """Make every waiting thread look again. The lock is held."""
        self._wake(self.waiters)
        self._wake(self.milestones)
        if self.session is not None:
            for stream in self.session.mux.streams.values():
                self._wake(stream.waiters)

    @staticmethod
    def _wake_woken(woken: list[Stream]) -> None:
        for stream in woken:
            in_turn = False
            for waiter in stream.waiters:
                if waiter.turn is None:
                    waiter.wake()
                else:
                    in_turn = True
            if in_turn:
                wake_next(stream.waiters)
        woken.clear()

    @staticmethod
    def _wake(waiters: Iterable[Wakeable]) -> None:
        for waiter in waiters:
            waiter.wake()

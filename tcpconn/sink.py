"""Between a link and its session: the sink that a carrier gives to each of its links."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tcpconn.errors import ProtocolError
from tcpconn.session import Session
from tcpconn.tracing import frame_log
from tcpconn.transport import BareLink
from tcpconn.yielding import acquire

if TYPE_CHECKING:
    from tcpconn.carrier import Carrier

__all__ = ["LinkSink"]


class LinkSink:
    """Receives for a carrier from one particular link; what comes from a link that was replaced is dropped."""

    __slots__ = ("_carrier", "_lock", "_log", "_session", "get_buffer", "get_buffers", "link")

    def __init__(self, carrier: Carrier, session: Session, link: BareLink) -> None:
        self._carrier = carrier
        self._lock = carrier.lock
        self._session = session
        self._log = frame_log(f"{link.peer} <-")
        self.link = link
        # The session's buffer; whoever may read the link now is who uses it.
        self.get_buffer = session.receiver.get_buffer
        self.get_buffers = session.receiver.get_buffers

    def buffer_updated(self, count: int) -> None:
        """Let the session decode what came, and wake whoever waits for it."""
        carrier = self._carrier
        lock = self._lock
        try:
            if not lock.acquire(False):
                acquire(lock)
            if carrier.sink is self:
                if self._session.outbox.under_way:
                    carrier.interrupted()
                    return
                if self._log is not None:
                    self._log.passed(self._session.receiver.filled(count), count)
                try:
                    self._session.buffer_updated(count)
                except ProtocolError as error:
                    carrier.violated(error)
                else:
                    carrier.after_read()
        except BaseException:
            self._interrupted()
            raise
        finally:
            try:  # noqa: SIM105, a third of the time that `suppress` takes
                lock.release()
            except RuntimeError:
                pass  # an interrupt came before it was acquired

    def data_received(self, data: bytes | memoryview) -> None:
        """The same, for links with memory of their own."""
        carrier = self._carrier
        lock = self._lock
        try:
            if not lock.acquire(False):
                acquire(lock)
            if carrier.sink is self:
                if self._session.outbox.under_way:
                    carrier.interrupted()
                    return
                if self._log is not None:
                    self._log.passed([data], len(data))
                try:
                    self._session.data_received(data)
                except ProtocolError as error:
                    carrier.violated(error)
                else:
                    carrier.after_read()
        except BaseException:
            self._interrupted()
            raise
        finally:
            try:  # noqa: SIM105, a third of the time that `suppress` takes
                lock.release()
            except RuntimeError:
                pass  # an interrupt came before it was acquired

    def _interrupted(self) -> None:
        """Let go of a link of whose bytes some may be lost; the peer sends them again. The state may be half changed, too."""
        with self._lock:
            carrier = self._carrier
            if carrier.sink is self:
                if self._session.outbox.under_way:
                    carrier.interrupted()
                else:
                    carrier.link_lost(InterruptedError("an exception came while receiving"))

    def link_lost(self, reason: Exception | None) -> None:
        """Tell the carrier, unless it has another link already."""
        with self._lock:
            if self._carrier.sink is self:
                self._carrier.link_lost(reason)

"""A link over one stream socket, which is its own channel."""

from __future__ import annotations

import errno
import os
import select
import socket
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from os import readv
from time import monotonic

from tcpconn.transport import Buffer, Link, Sink
from tcpconn_tcp import held
from tcpconn_tcp.lingering import close_when_the_peer_has
from tcpconn_tcp.waker import Waker

__all__ = ["TcpLink", "join_below", "nothing"]

JOIN_BELOW = 4096
"""Buffers of fewer bytes than this on average are joined before they are written; larger ones are gathered by `sendmsg`.

One `b"".join` of many small buffers costs less than the kernel's walk over as many vectors (DESIGN §4)."""

_DOZE = 0.01
"""Seconds for which a thread sleeps that nobody can wake, as there is no descriptor to be had for it."""

_MOST_BUFFERS = 1024
"""Linux and macOS take no more in one `sendmsg` (IOV_MAX)."""


def nothing() -> None:
    """Do nothing."""


def join_below(gather: bool) -> float:
    """Return the average bytes of buffers below which they are joined: without gathering, always."""
    return JOIN_BELOW if gather else float("inf")


class TcpLink:
    """One thread reads, one thread writes, any thread wakes or closes.

    `_reading` and `_writing` are each set by one thread at a time, before it looks at `_closed`, which is set before they
    are looked at. So the descriptor is given back by whoever comes last, and never while a call is using it, without a lock
    on the way of the messages. `_releasing` guards `_released` alone. `_crowded`, which the writer sets, is how many more
    writes, and the reads meanwhile, are to keep the interpreter.

    Attributes:
        brief: how many bytes `write` takes without letting other threads run; 0 while it lets them.
    """

    sink: Sink
    _closed = False

    def __init__(
        self, connected: socket.socket, peer: str, on_release: Callable[[], None] = nothing, *, gather: bool = True
    ) -> None:
        connected.setblocking(False)
        self._socket = connected
        self._descriptor = connected.fileno()
        self._crowded = self.brief = 0
        self._receive = held.Receiver(self._descriptor).receive
        self._peer = peer
        self._on_release = on_release
        self._join_below = join_below(gather)
        self._pid = os.getpid()
        self._reading = False
        self._writing = False
        self._releasing = threading.Lock()
        self._released = False
        self._lost = False
        self._woken = False
        self._waker: Waker | None = None
        self._writer_waker: Waker | None = None
        self._poll: select.poll | None = None
        # A link with TLS waits for its peer before it may be written for the first time.
        self._writable_at = select.POLLOUT

    @property
    def peer(self) -> str:
        """The peer's address."""
        return self._peer

    @property
    def channel(self) -> TcpLink:
        """The link itself."""
        return self

    def fileno(self) -> int:
        """Return the socket's descriptor, also after `close`."""
        return self._descriptor

    def read(self, timeout: float | None) -> int:
        """Receive once into the sink's buffers; wait up to `timeout` seconds if nothing is there."""
        taking = False
        try:
            self._reading = True
            if self._closed or self._lost:
                return 0
            # Sleeping first costs a read that finds nothing less, and more only if something has come meanwhile.
            if timeout != 0 and not self._sleep(timeout):
                return 0
            sink = self.sink
            taking = True
            try:
                count = self._receive(sink.get_buffers()) if self._crowded else readv(self._descriptor, sink.get_buffers())
            except BlockingIOError:
                return 0
            except OSError as error:
                return self._lose(error)
            if not count:
                return self._lose(None)
            sink.buffer_updated(count)
            return count
        except Exception:
            raise
        except BaseException:
            if taking:
                # An interrupt: what was received may be lost, unless the peer sends it again.
                self._lose(InterruptedError(errno.EINTR, "an exception came while receiving"))
            raise
        finally:
            self._reading = False
            if self._closed:
                self._release()

    def _lose(self, reason: OSError | None) -> int:
        # A thread that closes this end meanwhile is no loss.
        if not self._closed:
            self._lost = True
            self.sink.link_lost(reason)
        return 0

    def _sleep(self, timeout: float | None) -> bool:
        """Sleep until the socket is readable; False after `wake` and when the time has passed."""
        poll = self._poll
        if poll is None:
            poll = select.poll()
            poll.register(self._descriptor, select.POLLIN)
            try:
                poll.register(self._own_waker().fileno(), select.POLLIN)
            except OSError:
                return bool(poll.poll(_doze(timeout) * 1000))
            self._poll = poll
        events = poll.poll(None if timeout is None else timeout * 1000)
        if len(events) == 1 and events[0][0] == self._descriptor:
            return True
        return bool(events) and not _was_woken(events, self._own_waker())

    def _own_waker(self) -> Waker:
        """Return the reader's waker, which only a link has that a thread has slept on: it costs a descriptor."""
        waker = self._waker
        if waker is None:
            waker = self._waker = Waker()
            if self._woken:
                waker.set()
        return waker

    def _own_writer_waker(self) -> Waker:
        waker = self._writer_waker
        if waker is None:
            waker = self._writer_waker = Waker()
            if self._woken:
                waker.set()
        return waker

    def wake(self) -> None:
        """End the waits of the thread that reads and of the one that writes, or the next ones."""
        # Word is left before the look: a waker made in between sees it.
        self._woken = True
        for waker in (self._waker, self._writer_waker):
            if waker is not None:
                waker.set()

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Send what the socket takes, small buffers joined and large ones gathered.

        Raises:
            OSError: the link is broken.
        """
        try:
            self._writing = True
            if self._closed:
                raise OSError(errno.EBADF, f"the link to {self._peer} is closed")
            if len(buffers) == 1 and not self._crowded:
                return self._socket.send(buffers[0])
            size = sum(map(len, buffers))
            if size >= self._join_below * len(buffers) and size > self.brief:
                return self._socket.sendmsg(buffers[:_MOST_BUFFERS])
            data = b"".join(buffers)
            if self._crowded or size > held.MOST:
                return self._send_held(data, size)
            begun = monotonic()
            try:
                return self._socket.send(data)
            finally:
                if monotonic() - begun > held.LONG:
                    self._crowded = held.CALLS
                    self.brief = held.MOST
        except BlockingIOError:
            return 0
        finally:
            self._writing = False
            if self._closed:
                self._release()

    def _send_held(self, data: bytes, size: int) -> int:
        if size > held.MOST:
            return self._socket.send(data)
        self._crowded -= 1
        if not self._crowded:
            self.brief = 0
        return held.send(self._socket, self._descriptor, data)

    def wait(self, timeout: float | None, *, read: bool, write: bool) -> tuple[bool, bool]:
        """Wait until the socket may be read or written."""
        try:
            if read:
                self._reading = True
            else:
                self._writing = True
            if self._closed:
                return False, False
            poll = select.poll()
            poll.register(self._descriptor, (select.POLLIN if read else 0) | (self._writable_at if write else 0))
            waker: Waker | None = None
            try:
                waker = self._own_waker() if read else self._own_writer_waker()
                poll.register(waker.fileno(), select.POLLIN)
            except OSError:
                timeout = _doze(timeout)
            events = poll.poll(None if timeout is None else timeout * 1000)
            if waker is not None and _was_woken(events, waker):
                return False, False
            found = dict(events).get(self._descriptor, 0)
            broken = select.POLLHUP | select.POLLERR
            return (
                read and bool(found & (select.POLLIN | broken)),
                write and bool(found & (self._writable_at | broken)),
            )
        finally:
            if read:
                self._reading = False
            else:
                self._writing = False
            if self._closed:
                self._release()

    def close(self) -> None:
        """End the connection; what was written is still sent. In a forked child only the child's share of it is given back."""
        if self._released:
            return
        inherited = self._pid != os.getpid()
        if not self._closed and not inherited:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)
        self._closed = True
        if inherited:
            self._socket.close()
            return
        # Also if it was closed before: an interrupt may have come in the middle of that.
        self.wake()
        self._release()

    def _release(self) -> None:
        ours = False
        try:
            with self._releasing:
                if self._reading or self._writing or self._released:
                    return
                self._released = ours = True
            for waker in (self._waker, self._writer_waker):
                if waker is not None:
                    waker.close()
            close_when_the_peer_has(self._socket, self._say_released)
        except BaseException:
            # An interrupt. Whoever waits for the peer by now finds the socket closed.
            if ours:
                self._close_at_once()
            raise

    def _close_at_once(self) -> None:
        for waker in (self._waker, self._writer_waker):
            if waker is not None:
                waker.close()
        self._socket.close()
        self._say_released()

    def _say_released(self) -> None:
        say, self._on_release = self._on_release, nothing
        say()

    def __del__(self) -> None:
        # An interrupt came between closing the link and giving its socket back. In a forked child the parent does that. Without
        # the lock of who waits for peers: the garbage collector may run in a thread that has it.
        if self._closed and not self._released and self._pid == os.getpid():
            self._close_at_once()

    def __repr__(self) -> str:
        return f"<TcpLink {'closed' if self._closed else 'lost' if self._lost else 'open'} {self._peer}>"


def _doze(timeout: float | None) -> float:
    """Return how long to sleep without a waker: whoever waits looks again, as after a wake-up for nothing."""
    return _DOZE if timeout is None else min(timeout, _DOZE)


def _was_woken(events: list[tuple[int, int]], waker: Waker) -> bool:
    if any(descriptor == waker.fileno() for descriptor, _ in events):
        waker.clear()
        return True
    return False


def _conforms(link: TcpLink) -> Link:  # checked by mypy
    return link

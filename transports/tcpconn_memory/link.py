"""Two ends joined by two queues."""

from __future__ import annotations

import errno
import threading
import weakref
from collections import deque
from collections.abc import Callable, Sequence

from tcpconn.transport import Buffer, Sink
from tcpconn_memory.signal import Signal

__all__ = ["MemoryLink", "pair"]


class MemoryLink:
    """One end; its own channel. One thread reads, one writes, any wakes or closes.

    The queue takes whatever is written, as the layers above bound by credit what is under way. `_releasing` guards against
    closing the signal while the reader uses it; all else is exchanged by single operations on the queue and on flags.

    Attributes:
        on_close: called with this end when it is closed; again if an interrupt came in the middle of that.
    """

    sink: Sink
    brief = 0

    def __init__(self, peer: str) -> None:
        self.on_close: Callable[[MemoryLink], None] | None = None
        self._inbox: deque[bytes] = deque()
        self._signal = Signal()
        # Of one that an interrupt kept from being released; ahead of the sockets' own finalizers, which would complain.
        weakref.finalize(self, self._signal.close).atexit = False
        self._peer = peer
        self._other: MemoryLink
        self._ended = False
        self._woken = False
        self._lost = False
        self._closed = False
        self._gone = False
        self._reading = False
        self._releasing = threading.Lock()

    def join(self, other: MemoryLink) -> None:
        """Name the other end."""
        self._other = other

    @property
    def peer(self) -> str:
        """The peer's address."""
        return self._peer

    @property
    def channel(self) -> MemoryLink:
        """The link itself."""
        return self

    def fileno(self) -> int:
        """Return a descriptor that is readable while something waits to be read."""
        return self._signal.fileno()

    def read(self, timeout: float | None) -> int:
        """Deliver what has come, waiting for it up to `timeout` seconds."""
        self._reading = True
        try:
            if self._closed or self._lost:
                return 0
            if not self._inbox and not self._ended:
                if timeout == 0 or not self._signal.wait(timeout):
                    return 0
                if self._woken and not self._inbox:
                    self._lower()
                    return 0
            return self._deliver()
        finally:
            self._reading = False
            if self._closed:
                self._release()

    def _deliver(self) -> int:
        inbox = self._inbox
        # Looked at before the queue: what the other end wrote before it went is not overlooked.
        ended = self._ended
        count = 0
        for _ in range(len(inbox)):
            if self._closed:
                return count
            try:
                piece = inbox.popleft()
                count += len(piece)
                self.sink.data_received(piece)
            except Exception:
                raise
            except BaseException:
                # An interrupt: what was taken is lost, unless the other end sends it again.
                self._lost = True
                self.sink.link_lost(InterruptedError(errno.EINTR, "an exception came while receiving"))
                raise
        if ended and not count and not self._closed:
            self._lost = True
            self.sink.link_lost(None)
        self._lower()
        return count

    def _lower(self) -> None:
        self._woken = False
        self._signal.clear()
        # Lowered before the look: whatever comes in between raises it again.
        if self._inbox or (self._ended and not self._lost):
            self._signal.set()

    def wake(self) -> None:
        """End the wait of the thread that reads, or the next one."""
        self._woken = True
        self._signal.set()

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Hand over all of it; what is not `bytes` is copied.

        Raises:
            OSError: one of the ends is closed.
        """
        if self._closed:
            raise OSError(errno.EBADF, f"the link to {self._peer} is closed")
        other = self._other
        if other.closed:
            raise BrokenPipeError(errno.EPIPE, f"{self._peer} has closed the link")
        data = b"".join(buffers)
        other.put(data)
        return len(data)

    def put(self, data: bytes) -> None:
        """Take what the other end writes."""
        if data:
            self._inbox.append(data)
            self._signal.set()

    def end(self) -> None:
        """Take notice that the other end is closed."""
        self._ended = True
        self._signal.set()

    @property
    def closed(self) -> bool:
        """Whether this end has been closed."""
        return self._closed

    def wait(self, timeout: float | None, *, read: bool, write: bool) -> tuple[bool, bool]:
        """Wait until there is something to read; there is always room to write."""
        if not read:
            return False, write
        self._reading = True
        try:
            if not self._closed and not write:
                self._signal.wait(timeout)
            readable = bool(self._inbox or self._ended)
            if not readable and not self._closed:
                self._lower()
            return readable, write
        finally:
            self._reading = False
            if self._closed:
                self._release()

    def close(self) -> None:
        """End the link; what was written is still delivered."""
        if self._gone:
            return
        # Also what was done before: an interrupt may have come in the middle of that.
        self._closed = True
        self._other.end()
        self.wake()
        self._release()
        if self.on_close is not None:
            self.on_close(self)
        self._gone = True

    def _release(self) -> None:
        with self._releasing:
            if not self._reading:
                self._signal.close()

    def __repr__(self) -> str:
        return f"<MemoryLink {'closed' if self._closed else 'open'} {self._peer}>"


def pair(near_peer: str, far_peer: str) -> tuple[MemoryLink, MemoryLink]:
    """Return the two ends of a new link; `near_peer` is what the first one calls the second."""
    near, far = MemoryLink(near_peer), MemoryLink(far_peer)
    near.join(far)
    far.join(near)
    return near, far

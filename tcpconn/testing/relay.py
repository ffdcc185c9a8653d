"""A relay between a client and a server that can cut, stall, slow, spoil and refuse their links, touching neither process.

It forwards bytes over stream sockets and knows nothing of what they mean, so it serves the backends `tcp` and `zmq` alike.
One thread owns all sockets; the public methods hand it a command and wait until it has been carried out.
"""

from __future__ import annotations

import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from types import TracebackType

from tcpconn.address import Address
from tcpconn.testing.relayed import BUFFER_SIZE, Flow, RelayedLink

__all__ = ["Relay"]

_BACKLOG = 1024
_PATIENCE = 10.0
"""Seconds that a command may take; it takes far less unless the machine is overwhelmed."""


class Relay:
    """Listens at `address` and connects each link that it accepts to the target.

    Example:
        >>> with Relay(server_address) as relay:
        ...     connection = tcpconn.connect(relay.address)
        ...     relay.cut()  # the connection resumes over a new link

    Args:
        target: where the links lead, as text or `Address`: `host:port`, `[v6]:port` or `unix:/path`.
        listen: where the relay itself listens.
        buffer_size: bytes that it holds for each direction of a link before it stops reading from the other end.

    Attributes:
        address: where to connect to instead of the target; it stays the same through `refuse` and `accept`.

    Raises:
        OSError: the relay cannot listen there.
    """

    def __init__(self, target: str | Address, *, listen: str | Address = "127.0.0.1:0", buffer_size: int = BUFFER_SIZE) -> None:
        self._target = Address.parse(target)
        self._buffer_size = buffer_size
        self._commands: deque[tuple[Callable[[], int], Future[int]]] = deque()
        self._changed = threading.Condition()
        self._links: set[RelayedLink] = set()
        self._links_made = 0
        self._past_bytes = [0, 0]
        self._stalled = False
        self._piece: int | None = None
        self._interval = 0.0
        self._closed = False
        self._listening: socket.socket | None = None
        where = Address.parse(listen)
        # Bound and never listening: the port stays this relay's while it refuses.
        self._holder = None if where.path is not None else _bound(where)
        if self._holder is not None:
            where = Address(*self._holder.getsockname()[:2])
        self._where = where
        self.address = str(where)
        self._selector = selectors.DefaultSelector()
        self._waker, self._wake_end = socket.socketpair()
        self._waker.setblocking(False)
        self._selector.register(self._waker, selectors.EVENT_READ)
        try:
            self._listen()
        except BaseException:
            self._release()
            raise
        self._thread = threading.Thread(target=self._run, name=f"relay-to-{self._target}", daemon=True)
        self._thread.start()

    # -- what a test does

    def cut(self, *, reset: bool = False) -> int:
        """End all links and return how many there were; what the relay holds of their bytes is lost.

        Args:
            reset: end them by RST, as when a machine is restarted, instead of FIN, as when a process dies.
        """

        def cut() -> int:
            live = [link for link in self._links if not link.cut_off]
            for link in live:
                link.cut(reset=reset)
            return len(live)

        return self._do(cut)

    def cut_after(self, count: int, *, to_client: bool = False, reset: bool = False) -> None:
        """Cut each link that is up when exactly `count` more bytes have passed to the target, or to the client.

        Args:
            count: bytes, 1 or more, so that a link can be cut within a frame.
            to_client: count the bytes that go to the client.
            reset: as for `cut`.
        """

        def plan() -> int:
            for link, flow in self._flows(to_client):
                flow.budget = count
                link.cut_by_reset = reset
            return 0

        self._do(plan)

    def corrupt(self, after: int = 0, *, to_client: bool = False) -> None:
        """Invert one byte of each link that is up, on its way to the target or to the client.

        Args:
            after: bytes that pass unchanged before it.
            to_client: change one that goes to the client.
        """

        def plan() -> int:
            for _, flow in self._flows(to_client):
                flow.spoil = after
            return 0

        self._do(plan)

    def trickle(self, piece: int = 1, interval: float = 0.0) -> None:
        """Forward in small pieces until `resume`, on links that stand and new ones.

        Args:
            piece: bytes of each at the most, each written by itself.
            interval: seconds between two pieces of one direction.
        """
        self._do(lambda: self._set_pace(piece, interval))

    def stall(self) -> None:
        """Forward nothing and accept no link until `resume`, as when a network drops everything; links stay open."""
        self._do(lambda: self._set_stalled(True))

    def resume(self) -> None:
        """Forward as usual again, beginning with what was held."""

        def resume() -> int:
            self._set_pace(None, 0.0)
            return self._set_stalled(False)

        self._do(resume)

    def refuse(self) -> None:
        """Refuse further links until `accept`, as when nobody listens; those that stand go on."""
        self._do(self._stop_listening)

    def accept(self) -> None:
        """Accept links again.

        Raises:
            OSError: the relay cannot listen there any more.
        """
        self._do(self._listen)

    def close(self) -> None:
        """End all links and stop; idempotent."""
        if not self._closed:
            with suppress(RuntimeError):
                self._do(self._stop)
            self._thread.join(_PATIENCE)

    @property
    def links(self) -> int:
        """How many links are up: accepted, and neither cut nor ended by both of their ends."""
        return sum(not link.cut_off for link in list(self._links))

    @property
    def links_made(self) -> int:
        """How many links have been accepted since the beginning."""
        return self._links_made

    @property
    def bytes_to_target(self) -> int:
        """How many bytes have been passed on to the target, over all links."""
        return self._past_bytes[0] + sum(link.to_target.count for link in list(self._links))

    @property
    def bytes_to_client(self) -> int:
        """How many bytes have been passed on to the clients, over all links."""
        return self._past_bytes[1] + sum(link.to_client.count for link in list(self._links))

    def wait_for(self, condition: Callable[[Relay], bool], timeout: float = _PATIENCE) -> bool:
        """Wait up to `timeout` seconds for a condition on the counts above; return whether it holds.

        Example:
            >>> before = relay.bytes_to_target
            >>> assert relay.wait_for(lambda relay: relay.bytes_to_target > before + 100_000)
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not condition(self):
                rest = deadline - time.monotonic()
                if rest <= 0:
                    return False
                self._changed.wait(rest)
            return True

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "stalled" if self._stalled else "open"
        return f"<Relay {state} {self.address} to {self._target} links={self.links}>"

    # -- for the thread

    def _do(self, command: Callable[[], int]) -> int:
        """Have the thread run a command between two rounds, and return its result."""
        if self._closed:
            raise RuntimeError(f"{self!r} can do nothing any more")
        outcome: Future[int] = Future()
        self._commands.append((command, outcome))
        with suppress(OSError):
            # The thread may have been awake, have seen the command and, if it was to stop, have gone.
            self._wake_end.send(b"\0")
        return outcome.result(_PATIENCE)

    def _run(self) -> None:
        try:
            self._update()
            while not self._closed:
                ready = self._selector.select(self._pause())
                for key, events in ready:
                    if isinstance(key.data, RelayedLink):
                        key.data.ready(key.fileobj, events)
                    elif key.fileobj is self._listening:
                        self._accept_one()
                done = self._run_commands()
                self._update()
                # Told only now: a link that was to be reset has been.
                for settle in done:
                    settle()
                with self._changed:
                    self._changed.notify_all()
        finally:
            self._release()

    def _pause(self) -> float | None:
        """Return for how long nothing may pass anywhere that waits for its time, or None if nothing waits."""
        if not self._interval or self._stalled:
            return None
        waiting = [due for link in self._links if (due := link.due) is not None]
        return max(min(waiting) - time.monotonic(), 0.0) if waiting else None

    def _run_commands(self) -> list[Callable[[], None]]:
        with suppress(BlockingIOError):
            self._waker.recv(4096)
        done: list[Callable[[], None]] = []
        while self._commands:
            command, outcome = self._commands.popleft()
            try:
                done.append(partial(outcome.set_result, command()))
            except Exception as error:
                done.append(partial(outcome.set_exception, error))
        return done

    def _update(self) -> None:
        """Watch what each link waits for now, and forget those that are over."""
        for link in list(self._links):
            for watched, events in link.interests(stalled=self._stalled):
                self._watch(watched, events, link)
            if link.over:
                link.close()
                self._past_bytes[0] += link.to_target.count
                self._past_bytes[1] += link.to_client.count
                self._links.discard(link)
        if self._listening is not None:
            self._watch(self._listening, 0 if self._stalled else selectors.EVENT_READ, None)

    def _watch(self, watched: socket.socket, events: int, data: RelayedLink | None) -> None:
        known = self._selector.get_map().get(watched)
        if known is None:
            if events:
                self._selector.register(watched, events, data)
        elif not events:
            self._selector.unregister(watched)
        elif known.events != events:
            self._selector.modify(watched, events, data)

    def _accept_one(self) -> None:
        assert self._listening is not None
        try:
            client, _ = self._listening.accept()
        except OSError:
            return
        self._links_made += 1
        self._links.add(RelayedLink(client, self._target, self._buffer_size))
        self._set_pace(self._piece, self._interval)

    # -- commands

    def _set_stalled(self, stalled: bool) -> int:
        self._stalled = stalled
        return 0

    def _set_pace(self, piece: int | None, interval: float) -> int:
        self._piece, self._interval = piece, interval
        for link in self._links:
            for flow in (link.to_target, link.to_client):
                flow.piece, flow.interval = piece, interval
        return 0

    def _flows(self, to_client: bool) -> list[tuple[RelayedLink, Flow]]:
        live = [link for link in self._links if not link.cut_off]
        return [(link, link.to_client if to_client else link.to_target) for link in live]

    def _listen(self) -> int:
        if self._listening is None:
            listening = _bound(self._where)
            try:
                listening.listen(_BACKLOG)
                listening.setblocking(False)
            except OSError:
                listening.close()
                raise
            self._listening = listening
        return 0

    def _stop_listening(self) -> int:
        if self._listening is not None:
            self._watch(self._listening, 0, None)
            self._listening.close()
            self._listening = None
            if self._where.path is not None:
                with suppress(OSError):
                    os.unlink(self._where.path)
        return 0

    def _stop(self) -> int:
        self._closed = True
        return 0

    def _release(self) -> None:
        self._closed = True
        for link in self._links:
            link.close()
        self._stop_listening()
        self._selector.close()
        for own in (self._holder, self._waker, self._wake_end):
            if own is not None:
                own.close()
        while self._commands:
            self._commands.popleft()[1].set_exception(RuntimeError("the relay was closed"))


def _bound(address: Address) -> socket.socket:
    if address.path is not None:
        bound = socket.socket(socket.AF_UNIX)
        where: str | tuple[str, int] = address.path
    else:
        bound = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        where = (address.host, address.port)
    try:
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    return bound

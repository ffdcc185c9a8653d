"""The listening side of the blocking API: `listen`, `serve` and `wrap`."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

from tcpconn.address import Address
from tcpconn.blocking import Connection
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.delivering import finish
from tcpconn.errors import ConfigError, ConnectError, ConnectionClosed, ConnectionLost, TimedOut
from tcpconn.leading import carry_out
from tcpconn.logs import logger
from tcpconn.process import caretaker
from tcpconn.reception import ACCEPT_PAUSE, Reception, accept_links
from tcpconn.sharing import NO_HANDLER, NO_ROOM, Shares, Verdict
from tcpconn.stream import Stream
from tcpconn.transport import Link, LinkListener, load_transport
from tcpconn.waiting import Seat

__all__ = ["Listener", "listen", "serve", "wrap"]

log = logger()

THREADS = 4096
"""Threads of handlers that `serve` has at most, if nothing is set: one takes some 16 KB and 150 µs to begin."""


class Listener:
    """Accepts the logical connections that peers open; an iterator over them and a context manager that closes it.

    Sessions whose link is lost are kept for `resume_timeout`, so that their peers can come back.

    `_arrived` guards the queue of connections that are not accepted yet and `_closed`; a carrier's lock may be held around it.
    """

    def __init__(self, config: Config, listener: LinkListener | None) -> None:
        self.config = config
        self._listener = listener
        self._queue: deque[Connection] = deque()
        self._arrived = threading.Condition()
        self._closed = False
        self._keeper = caretaker()
        self._seat: Seat | None = None
        self._reception = Reception(config, self._keeper, self._admit, self._empty)
        self._pid = os.getpid()
        if listener is not None:
            channel = listener.channel
            if channel is not None:
                self._seat = Seat(channel, self._keeper.abandoned, shared=True)
                self._keeper.attend(self._seat)
            self._keeper.watch(listener.fileno(), self._accept_links)

    @property
    def address(self) -> str:
        """The bound address, ready for `connect`; with the real port if 0 was asked for."""
        return str(self._listener.address) if self._listener is not None else "(none: wraps an accepted socket)"

    # -- connections

    def accept(self, timeout: float | None = None) -> Connection:
        """Return the next logical connection that a peer has opened.

        Args:
            timeout: seconds to wait; None is for ever.

        Raises:
            TimedOut: nobody opened one in time.
            ConnectionClosed: the listener is closed.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._arrived:
            while not self._queue:
                if self._closed:
                    raise ConnectionClosed(f"the listener at {self.address} is closed")
                rest = None if deadline is None else deadline - time.monotonic()
                if rest is not None and rest <= 0:
                    raise TimedOut(f"nobody opened a connection to {self.address} within {timeout} s")
                self._arrived.wait(None if rest is None else min(rest, threading.TIMEOUT_MAX))
            return self._queue.popleft()

    def __iter__(self) -> Iterator[Connection]:
        """Yield connections as peers open them, until the listener is closed."""
        while True:
            try:
                connection = self.accept()
            except ConnectionClosed:
                return
            yield connection

    def _admit(self, carrier: Carrier, stream: Stream) -> str | None:
        """Queue a stream that a peer has opened, or say why not. The carrier's lock is held."""
        with self._arrived:
            if self._closed:
                return "the listener is closed"
            if len(self._queue) >= self.config.backlog:
                return f"{self.config.backlog} connections wait to be accepted (backlog)"
            self._queue.append(Connection(carrier, stream))
            self._arrived.notify()
            return None

    # -- links

    def _accept_links(self) -> None:
        # Also while it closes: until they are finished, sessions that lose their link may come back.
        listener = self._listener
        if listener is not None and not accept_links(listener, self.greet):
            self._keeper.unwatch(listener.fileno())
            self._keeper.call_at(time.monotonic() + ACCEPT_PAUSE, self._resume_accepting)

    def greet(self, link: Link) -> None:
        """Take a link in."""
        self._reception.greet(link, self._seat or Seat(link.channel, self._keeper.abandoned))

    def _resume_accepting(self) -> None:
        if self._listener is not None and not self._closed:
            self._keeper.watch(self._listener.fileno(), self._accept_links)

    def _empty(self) -> None:
        """End the iteration over the connections of a wrapped socket: there can be no more of them."""
        if self._listener is None:
            with self._arrived:
                self._closed = True
                self._arrived.notify_all()

    @property
    def sessions(self) -> int:
        """How many peers are connected or may still come back."""
        return len(self._reception.sessions)

    # -- the end

    def close(self) -> None:
        """Stop listening and close every connection in good order, waiting up to `linger` for acknowledgements. Idempotent."""
        with self._arrived:
            if self._closed:
                return
            self._closed = True
            self._arrived.notify_all()
        if self._pid != os.getpid():
            # A forked child: the sockets, and the files of Unix sockets, are its parent's.
            return
        self._reception.stop()
        carriers = self._reception.sessions
        limit = self.config.linger
        deadline = None if limit is None else time.monotonic() + limit
        for carrier in carriers:
            carrier.announce_end("the listener was closed")
        for carrier in carriers:
            rest = None if deadline is None else max(deadline - time.monotonic(), 0)
            carry_out(finish(carrier, rest, "the listener was closed"))
        listener = self._listener
        if listener is not None:
            # Only now: until they are finished, sessions that lose their link may come back.
            self._keeper.unwatch(listener.fileno())
        self._reception.turn_all_away()
        if listener is not None:
            if self._seat is not None:
                # Before its descriptor is closed with the listener, and its number given to somebody else.
                self._keeper.forget(self._seat)
            listener.close()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Listener {'closed' if self._closed else 'open'} {self.address} sessions={self.sessions}>"


def listen(address: str | Address, *, config: Config | None = None, **overrides: Any) -> Listener:
    """Listen for logical connections.

    Args:
        address: `host:port` (port 0: a free one, see `Listener.address`), `[v6]:port` or `unix:/path`.
        config: all settings; from keywords, environment and file if left out (see `Config.load`).
        **overrides: single settings by name.

    Raises:
        ConfigError, BackendUnavailable: a setting, the address or the backend cannot be used.
        ConnectError: the address cannot be bound.
    """
    where = Address.parse(address)
    settings = Config.resolve(config, overrides)
    transport = load_transport(settings.backend)
    settings.check_transport(transport, listens=True)
    try:
        listener = transport.listen(where, settings.link_options())
    except OSError as error:
        raise ConnectError(f"cannot listen at {where} by backend {settings.backend!r}: {error}") from error
    return Listener(settings, listener)


def wrap(accepted: socket.socket, *, config: Config | None = None, **overrides: Any) -> Listener:
    """Return a listener over a connected stream socket that was accepted elsewhere; it owns the socket from now on.

    The object that was given is spent, as after its `detach`; closing it does nothing.

    Raises:
        ConfigError: a setting makes no sense, or the backend does not work on a socket of its user's.
    """
    settings = Config.resolve(config, overrides)
    transport = load_transport(settings.backend)
    settings.check_transport(transport, listens=True)
    try:
        link = transport.adopt(accepted, settings.link_options())
    except NotImplementedError as error:
        raise ConfigError(f"backend={settings.backend!r} cannot wrap a socket: {error}; use backend='tcp'") from error
    listener = Listener(settings, None)
    listener.greet(link)
    return listener


def serve(
    handler: Callable[[Connection], object],
    address: str | Address | Listener,
    *,
    config: Config | None = None,
    **overrides: Any,
) -> None:
    """Call `handler` with every logical connection, each in a thread of its own, until interrupted or closed.

    At most `max_handlers` threads run handlers, 4,096 if it is None. Half of them are for peers that have none yet, and of the
    others a peer may have as many as it leaves: a quarter of all if it is alone. What is beyond waits for its turn, with what
    its peer sends meanwhile; as many as `backlog`, shared by the same rule, and others are refused.

    The connection is closed when its handler returns. An exception of a handler is logged and ends only its connection.
    Ctrl-C, or closing the listener from another thread, ends it: no new connections are taken, the open ones are closed,
    and the handlers, whose next call raises `ConnectionClosed`, are waited for up to `linger` seconds.

    Args:
        handler: what to do with a connection.
        address: where to listen, or a listener to use.
        config: as for `listen`.
        **overrides: as for `listen`.
    """
    listener = address if isinstance(address, Listener) else listen(address, config=config, **overrides)
    workers = _Workers(handler, listener.config)
    try:
        for connection in listener:
            workers.take(connection)
    except KeyboardInterrupt:
        log.info("interrupted: closing %s", listener.address)
    finally:
        listener.close()
        workers.join(listener.config.linger)


class _Workers:
    """The threads of a `serve`. `_lock` guards `_shares` and `_threads`; nothing is done while it is held that may wait."""

    def __init__(self, handler: Callable[[Connection], object], config: Config) -> None:
        self._handler = handler
        self._lock = threading.Lock()
        self._shares = Shares[Carrier, Connection](config.max_handlers or THREADS, config.backlog)
        self._threads: set[threading.Thread] = set()

    def take(self, connection: Connection) -> None:
        """Begin a thread for a connection, or let it wait for one."""
        peer = connection.carrier
        with self._lock:
            verdict = self._shares.come(peer, connection)
            first = verdict is Verdict.WAIT and self._shares.waiting == 1
        if first:
            log.warning(NO_HANDLER, connection.id, connection.peer)
        if verdict is Verdict.REFUSE:
            connection.refuse(NO_ROOM)
        elif verdict is Verdict.BEGIN:
            self._begin_with((peer, connection))

    def _begin_with(self, following: tuple[Carrier, Connection] | None) -> None:
        while following is not None and not self._begin(*following):
            following = self._next(following[0])

    def _begin(self, peer: Carrier, connection: Connection) -> bool:
        worker = threading.Thread(target=self._work, args=(peer, connection), daemon=True)
        with self._lock:
            self._threads.add(worker)
        try:
            worker.start()
        except RuntimeError as error:
            with self._lock:
                self._threads.discard(worker)
            log.error("no thread for id %r from %s, which is closed: %s", connection.id, connection.peer, error)
            connection.refuse("the server cannot serve more connections now")
            return False
        return True

    def _work(self, peer: Carrier, connection: Connection) -> None:
        this = threading.current_thread()
        following: tuple[Carrier, Connection] | None = (peer, connection)
        try:
            while following is not None:
                peer, connection = following
                if not connection.spent:
                    this.name = f"tcpconn-{connection.id!r}"
                    _handle(self._handler, connection)
                following = self._next(peer)
        except BaseException:
            # It ends this thread, so whoever is next needs another.
            self._begin_with(self._next(peer))
            raise
        finally:
            with self._lock:
                self._threads.discard(this)

    def _next(self, peer: Carrier) -> tuple[Carrier, Connection] | None:
        """Give back a place, and return whose turn it is now."""
        with self._lock:
            self._shares.leave(peer)
            return self._shares.next()

    def join(self, limit: float | None) -> None:
        """Wait up to `limit` seconds for the handlers, also of what waits; what then still waits is dropped."""
        deadline = None if limit is None else time.monotonic() + limit
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(None if deadline is None else max(deadline - time.monotonic(), 0))
        with self._lock:
            self._shares.clear()


def _handle(handler: Callable[[Connection], object], connection: Connection) -> None:
    try:
        with connection:
            handler(connection)
    except ConnectionClosed as error:
        log.debug("a handler met the end of its connection: %s", error)
    except ConnectionLost as error:
        log.warning("a handler lost its connection: %s", error)
    except Exception:
        log.exception("the handler of id %r from %s failed", connection.id, connection.peer)

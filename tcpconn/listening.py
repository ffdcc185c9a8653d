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
from tcpconn.stream import Stream
from tcpconn.transport import Link, LinkListener, load_transport
from tcpconn.waiting import Seat

__all__ = ["Listener", "listen", "serve", "wrap"]

log = logger()


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
    workers: set[threading.Thread] = set()
    try:
        for connection in listener:
            worker = threading.Thread(
                target=_work, args=(handler, connection, workers), name=f"tcpconn-{connection.id!r}", daemon=True
            )
            workers.add(worker)
            try:
                worker.start()
            except RuntimeError as error:
                workers.discard(worker)
                log.error("no thread for id %r from %s, which is closed: %s", connection.id, connection.peer, error)
                connection.refuse("the server cannot serve more connections now")
    except KeyboardInterrupt:
        log.info("interrupted: closing %s", listener.address)
    finally:
        listener.close()
        limit = listener.config.linger
        deadline = None if limit is None else time.monotonic() + limit
        for worker in list(workers):
            worker.join(None if deadline is None else max(deadline - time.monotonic(), 0))


def _work(handler: Callable[[Connection], object], connection: Connection, workers: set[threading.Thread]) -> None:
    try:
        with connection:
            handler(connection)
    except ConnectionClosed as error:
        log.debug("a handler met the end of its connection: %s", error)
    except ConnectionLost as error:
        log.warning("a handler lost its connection: %s", error)
    except Exception:
        log.exception("the handler of id %r from %s failed", connection.id, connection.peer)
    finally:
        workers.discard(threading.current_thread())

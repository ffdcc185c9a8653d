"""The listening side of the blocking API: `listen`, `serve` and `wrap`."""

from __future__ import annotations

import errno
import logging
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
from tcpconn.errors import ConfigError, ConnectError, ConnectionClosed, HandshakeError, ProtocolError, TimedOut
from tcpconn.frames import Code, goaway
from tcpconn.greeting import Greeting
from tcpconn.handshake import server_hello
from tcpconn.process import caretaker
from tcpconn.session import Session
from tcpconn.stream import Stream
from tcpconn.transport import Link, LinkListener, load_transport
from tcpconn.waiting import Seat

__all__ = ["Listener", "listen", "serve", "wrap"]

log = logging.getLogger("tcpconn")

_ACCEPTS_AT_ONCE = 64
_PAUSE = 0.1
"""Seconds that accepting rests when the process is out of descriptors."""


class Listener:
    """Accepts the logical connections that peers open; an iterator over them and a context manager that closes it.

    Sessions whose link is lost are kept for `resume_timeout`, so that their peers can come back.

    `_lock` guards the table of sessions and the queue of connections not yet accepted. It is taken before a carrier's lock
    where both are needed, except in `_opened`, which therefore takes only the queue's own condition.
    """

    def __init__(self, config: Config, listener: LinkListener | None) -> None:
        self.config = config
        self._listener = listener
        self._lock = threading.Lock()
        self._sessions: dict[bytes, Carrier] = {}
        self._queue: deque[Connection] = deque()
        self._arrived = threading.Condition()
        self._closed = False
        self._keeper = caretaker()
        self._seat: Seat | None = None
        self._greetings: set[Greeting] = set()
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
                self._arrived.wait(rest)
            return self._queue.popleft()

    def __iter__(self) -> Iterator[Connection]:
        """Yield connections as peers open them, until the listener is closed."""
        while True:
            try:
                connection = self.accept()
            except ConnectionClosed:
                return
            yield connection

    def _opened(self, carrier: Carrier, stream: Stream) -> None:
        """Queue a stream that a peer has opened. The carrier's lock is held."""
        with self._arrived:
            if not self._closed and len(self._queue) < self.config.backlog:
                self._queue.append(Connection(carrier, stream))
                self._arrived.notify()
                return
        assert carrier.session is not None
        text = "the listener is closed" if self._closed else f"{self.config.backlog} connections wait to be accepted (backlog)"
        carrier.session.mux.reset(stream, Code.REFUSED, text)

    # -- links

    def _accept_links(self) -> None:
        assert self._listener is not None
        for _ in range(_ACCEPTS_AT_ONCE):
            try:
                link = self._listener.accept()
            except OSError as error:
                if self._closed:
                    return
                log.error("%s cannot accept a link: %s", self.address, error)
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._keeper.unwatch(self._listener.fileno())
                    self._keeper.call_at(time.monotonic() + _PAUSE, self._resume_accepting)
                return
            if link is None:
                return
            self.greet(link)

    def _resume_accepting(self) -> None:
        if self._listener is not None and not self._closed:
            self._keeper.watch(self._listener.fileno(), self._accept_links)

    def greet(self, link: Link) -> None:
        """Wait, in the background, for the HELLO of a link."""
        seat = self._seat if self._seat is not None else Seat(link.channel, self._keeper.abandoned)

        def refused(greeting: Greeting) -> None:
            self._refuse(greeting, seat)

        def came(greeting: Greeting) -> None:
            self._hello(greeting, seat)

        greeting = Greeting(link, came, refused)
        self._greetings.add(greeting)
        if not seat.shared:
            self._keeper.attend(seat)
        limit = self.config.handshake_timeout
        if limit is not None:

            def too_late() -> None:
                if not greeting.done and greeting in self._greetings:
                    error = HandshakeError(f"{link.peer} sent no HELLO within handshake_timeout={limit} s")
                    greeting.fail(error)

            self._keeper.call_at(time.monotonic() + limit, too_late)

    def _refuse(self, greeting: Greeting, seat: Seat) -> None:
        self._greetings.discard(greeting)
        error = greeting.failure
        log.warning("link from %s refused: %s", greeting.link.peer, error)
        self._turn_away(greeting.link, seat, Code.HANDSHAKE_FAILED, str(error))

    def _turn_away(self, link: Link, seat: Seat, code: Code, text: str) -> None:
        try:
            link.write([goaway(code, text).encode()])
        except OSError as error:
            log.debug("%s did not hear why it was refused: %s", link.peer, error)
        if not seat.shared:
            self._keeper.forget(seat)
        link.close()

    def _hello(self, greeting: Greeting, seat: Seat) -> None:
        """Begin a session or resume one. Called by whoever reads the link."""
        self._greetings.discard(greeting)
        link, theirs = greeting.link, greeting.hello
        assert theirs is not None
        with self._lock:
            carrier = self._sessions.get(theirs.session)
            if theirs.resume and carrier is None:
                refusal = "this session is not known here any more, or never was: the listener may have been restarted"
            elif self._closed:
                refusal = "the listener is closed"
            else:
                refusal = ""
                if carrier is None:
                    carrier = Carrier(
                        self.config,
                        link.peer,
                        dials=False,
                        caretaker=self._keeper,
                        on_open=self._opened,
                        on_end=lambda ended: self._forget(theirs.session, ended),
                    )
                    self._sessions[theirs.session] = carrier
        if refusal or carrier is None:
            code = Code.SHUTTING_DOWN if self._closed else Code.UNKNOWN_SESSION
            log.info("link from %s refused: %s", link.peer, refusal)
            self._turn_away(link, seat, code, refusal)
            return
        with carrier.lock:
            session = carrier.session
            if session is None:
                ours = server_hello(self.config, theirs.session)
                session = Session(
                    client=False,
                    accepts=True,
                    ours=ours,
                    theirs=theirs,
                    chunk_size=self.config.chunk_size,
                    peer=link.peer,
                )
            if session.ended is not None:
                self._turn_away(link, seat, Code.UNKNOWN_SESSION, f"this session has ended: {session.ended}")
                return
            try:
                link.write([session.hello(resume=theirs.resume).encode().encode()])
                carrier.link_up(link, seat, session, theirs.received, greeting.rest)
            except (OSError, ProtocolError) as error:
                log.warning("link from %s failed in the handshake: %s", link.peer, error)
                self._turn_away(link, seat, Code.PROTOCOL_ERROR, str(error))
                if carrier.session is None:
                    carrier.end(f"the handshake failed: {error}")

    def _forget(self, session: bytes, carrier: Carrier) -> None:
        with self._lock:
            if self._sessions.get(session) is carrier:
                del self._sessions[session]

    @property
    def sessions(self) -> int:
        """How many peers are connected or may still come back."""
        with self._lock:
            return len(self._sessions)

    # -- the end

    def close(self) -> None:
        """Stop listening and close every connection in good order, waiting up to `linger` for acknowledgements. Idempotent."""
        with self._arrived:
            if self._closed:
                return
            self._closed = True
            self._arrived.notify_all()
        listener = self._listener
        if listener is not None:
            self._keeper.unwatch(listener.fileno())
        with self._lock:
            carriers = list(self._sessions.values())
        limit = self.config.linger
        deadline = None if limit is None else time.monotonic() + limit
        for carrier in carriers:
            carrier.announce_end("the listener was closed")
        for carrier in carriers:
            rest = None if deadline is None else max(deadline - time.monotonic(), 0)
            carrier.finish(rest, "the listener was closed", Code.SHUTTING_DOWN)
        if listener is not None:
            listener.close()
            if self._seat is not None:
                self._keeper.forget(self._seat)

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
    settings = Config.load(**overrides) if config is None else config.replace(**overrides) if overrides else config
    transport = load_transport(settings.backend)
    try:
        listener = transport.listen(where, settings.link_options())
    except OSError as error:
        raise ConnectError(f"cannot listen at {where} by backend {settings.backend!r}: {error}") from error
    return Listener(settings, listener)


def wrap(accepted: socket.socket, *, config: Config | None = None, **overrides: Any) -> Listener:
    """Return a listener over a connected stream socket that was accepted elsewhere; it owns the socket from now on.

    Raises:
        ConfigError: a setting makes no sense, or the backend does not work on a socket of its user's.
    """
    settings = Config.load(**overrides) if config is None else config.replace(**overrides) if overrides else config
    transport = load_transport(settings.backend)
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
            worker.start()
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
    except Exception:
        log.exception("the handler of id %r from %s failed", connection.id, connection.peer)
    finally:
        workers.discard(threading.current_thread())

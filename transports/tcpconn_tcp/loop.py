"""Links for asyncio: each is the `BufferedProtocol` of one of the event loop's own transports, on whatever loop runs."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import cast

from tcpconn.address import Address
from tcpconn.pacing import spare_pacing_of
from tcpconn.resolving import resolve_on_loop
from tcpconn.transport import Buffer, LinkOptions, Sink
from tcpconn_tcp.endpoints import BACKLOG, BoundSocket, describe, prepare, refuse_itself, settle, take_over
from tcpconn_tcp.lingering import LIMIT
from tcpconn_tcp.link import join_below
from tcpconn_tcp.making import check, check_address

__all__ = ["LoopTcpLink", "LoopTcpListener", "LoopTcpTransport"]

_HIGH_WATER = 256 * 1024
"""Bytes that may wait in the transport's own buffer, which copies them, before it says `pause_writing`."""

_DISCARDED = bytearray(64 * 1024)

_ACCEPTS = 1
"""How many connections asyncio accepts before it looks at anything else. Out of descriptors it tries as often all the same, and
logs and sets a timer for each failure, so that a thousand made a million lines a minute and left no time for anything else."""


class LoopTcpLink(asyncio.BufferedProtocol):
    """One end of a stream socket; reading begins when it has a sink.

    Args:
        on_made: called when the transport is there.
        gather: see `LinkOptions`.
    """

    brief = 0

    def __init__(self, on_made: Callable[[LoopTcpLink], None] | None = None, *, gather: bool = True) -> None:
        self.peer = "(not connected)"
        self._loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._on_made = on_made
        self._join_below = join_below(gather)
        self._sink: Sink | None = None
        self._transport: asyncio.Transport
        self._descriptor = -1
        self._paused = False
        self._told = False
        self._closed = False
        self._writable: Callable[[], object] | None = None
        self._overdue: asyncio.TimerHandle | None = None

    @property
    def sink(self) -> Sink:
        """Where received bytes go."""
        if self._sink is None:
            raise AttributeError("the link's sink was not set yet")
        return self._sink

    @sink.setter
    def sink(self, sink: Sink) -> None:
        first = self._sink is None
        self._sink = sink
        if first and not self._transport.is_closing():
            self._transport.resume_reading()

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Hand all of it to the transport, small buffers joined and large ones gathered, or nothing while that is full.

        Raises:
            OSError: the link is broken or closed.
        """
        if self._closed or self._told:
            raise OSError(errno.EPIPE, f"the link to {self.peer} is closed")
        if self._paused:
            return 0
        size = sum(map(len, buffers))
        if len(buffers) == 1:
            self._transport.write(buffers[0])
        elif size < self._join_below * len(buffers):
            self._transport.write(b"".join(buffers))
        else:
            # Without empty ones: in Python 3.12.1 and 3.13.0 the transport would never be done with one at the end.
            self._transport.writelines([buffer for buffer in buffers if buffer])
            if not self._paused and self._transport.get_write_buffer_size() > _HIGH_WATER:
                # There `writelines` forgets to say `pause_writing`, too; this makes the transport look again.
                self._transport.set_write_buffer_limits(_HIGH_WATER)
        return size

    def read(self, timeout: float | None) -> int:
        """Receive once, past the transport, which is content if it then finds nothing. It has read nothing ahead."""
        transport = self._transport
        # A transport that fails may close its descriptor before it says so, and the number be somebody else's.
        if self._closed or self._told or self._sink is None or transport.is_closing():
            return 0
        try:
            count = os.readv(self._descriptor, (self._sink.get_buffer(),))
        except OSError:
            # Nothing is there, or the transport is about to find out.
            return 0
        if count:
            self._sink.buffer_updated(count)
        return count

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call back after `resume_writing`."""
        self._writable = callback
        if not self._paused:
            self._loop.call_soon(self.resume_writing)

    def close(self) -> None:
        """End the connection; it is read, and what comes is dropped, until the peer has ended, too, for `LIMIT` at most."""
        if self._closed:
            return
        self._closed = True
        self._writable = None
        transport = self._transport
        if transport.is_closing():
            return
        if self._over or self._sink is None:
            transport.close()
            return
        try:
            transport.write_eof()
        except OSError:
            transport.abort()
        else:
            self._overdue = self._loop.call_later(LIMIT, transport.abort)

    @property
    def _over(self) -> bool:
        """Whether the peer sends no more."""
        return self._told

    def fileno(self) -> int:
        """Return the socket's descriptor, once the transport is there."""
        return self._descriptor

    async def shake_hands(self) -> None:
        """Do what is to be done before the link can be written; here nothing."""

    # what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, without reading."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(_HIGH_WATER)
        connected = transport.get_extra_info("socket")
        name = transport.get_extra_info("peername")
        self._descriptor = connected.fileno()
        self.peer = describe(connected, name)
        if self._on_made is not None:
            self._on_made(self)

    def get_buffer(self, sizehint: int) -> Buffer:
        """Return the sink's buffer."""
        if self._closed or self._sink is None:
            return _DISCARDED
        return self._sink.get_buffer()

    def buffer_updated(self, nbytes: int) -> None:
        """Pass it on."""
        if not self._closed:
            assert self._sink is not None
            self._sink.buffer_updated(nbytes)

    def eof_received(self) -> bool:
        """Tell the sink that the peer has ended."""
        self._lose(None)
        # The transport closes itself when what was written before is sent.
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the sink, unless it knows."""
        self._lose(exc)
        if self._overdue is not None:
            self._overdue.cancel()
        if not self.gone.done():
            self.gone.set_result(None)

    def _lose(self, reason: Exception | None) -> None:
        if not self._told:
            self._told = True
            if not self._closed and self._sink is not None:
                self._sink.link_lost(reason)

    def pause_writing(self) -> None:
        """Take no more."""
        self._paused = True

    def resume_writing(self) -> None:
        """Take more, and say so."""
        self._paused = False
        callback, self._writable = self._writable, None
        if callback is not None:
            callback()

    def __repr__(self) -> str:
        return f"<LoopTcpLink {'closed' if self._closed else 'lost' if self._told else 'open'} {self.peer}>"


class LoopTcpListener:
    """A listening socket of the loop's; peers beyond `max_links` are turned away."""

    def __init__(self, bound: BoundSocket, options: LinkOptions, on_link: Callable[[LoopTcpLink], None]) -> None:
        self.address = bound.address
        self._bound = bound
        self._options = options
        self._on_link = on_link
        self._open = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begin to accept.

        Raises:
            OSError: it cannot be done.
        """
        loop = asyncio.get_running_loop()
        make = loop.create_server if self.address.path is None else loop.create_unix_server
        try:
            self._server = await make(self._new_link, sock=self._bound.socket, backlog=_ACCEPTS)
            self._bound.socket.listen(BACKLOG)
        except BaseException:
            self._bound.socket.close()
            self._bound.remove_file()
            raise

    def _new_link(self) -> LoopTcpLink:
        return _accepting(self._options, self._made)

    def _made(self, link: LoopTcpLink) -> None:
        if self._open >= self._options.max_links:
            link.close()
            return
        self._open += 1
        if self._options.unpaced_loopback:
            spare_pacing_of(link.fileno())
        link.gone.add_done_callback(self._released)
        self._on_link(link)

    def _released(self, _: object) -> None:
        self._open -= 1

    def close(self) -> None:
        """Stop listening."""
        server, self._server = self._server, None
        if server is not None:
            self._bound.remove_file()
            server.close()


class LoopTcpTransport:
    """Makes links on the event loop that runs."""

    async def connect(self, address: Address, options: LinkOptions) -> LoopTcpLink:
        """Connect to the first of the name's addresses that answers.

        Raises:
            AuthenticationError: by TLS, one end does not accept the other's certificate.
            ConfigError: the certificates cannot be used, or the address cannot have any.
            OSError: none of them did.
        """
        loop = asyncio.get_running_loop()
        link = _dialling(address, options)
        dialled = await _dial(loop, address, options)
        connect = loop.create_connection if address.path is None else loop.create_unix_connection
        try:
            await connect(lambda: link, sock=dialled)
        except BaseException:
            dialled.close()
            raise
        link.peer = str(address)
        try:
            await link.shake_hands()
        except BaseException:
            link.close()
            raise
        return link

    async def listen(self, address: Address, options: LinkOptions, on_link: Callable[[LoopTcpLink], None]) -> LoopTcpListener:
        """Bind and listen.

        Raises:
            ConfigError: the certificates cannot be used, or the address cannot have any.
            OSError: the address cannot be bound.
        """
        check(address, options)
        listener = LoopTcpListener(BoundSocket(address, options), options, on_link)
        await listener.start()
        return listener

    async def adopt(self, accepted: socket.socket, options: LinkOptions) -> LoopTcpLink:
        """Make a link of a connected stream socket; the object that was given is spent, as after its `detach`.

        Raises:
            ConfigError: it has TLS on it already, or the certificates cannot be used.
            NotImplementedError: it is not a stream socket, or not connected.
        """
        own = take_over(accepted, options)
        own.setblocking(False)
        link = _accepting(options)
        try:
            await asyncio.get_running_loop().connect_accepted_socket(lambda: link, own)
        except BaseException:
            own.close()
            raise
        return link


def _dialling(address: Address, options: LinkOptions) -> LoopTcpLink:
    wanted = options.tls
    if wanted is None:
        return LoopTcpLink(gather=options.gather)
    from tcpconn_tcp.certificates import context_for
    from tcpconn_tcp.tls import Tls
    from tcpconn_tcp.tls_loop import LoopTlsLink

    check_address(address)
    context = context_for(wanted, server=False)
    return LoopTlsLink(lambda _: Tls(context, str(address), wanted.hostname or address.host))


def _accepting(options: LinkOptions, on_made: Callable[[LoopTcpLink], None] | None = None) -> LoopTcpLink:
    if options.tls is None:
        return LoopTcpLink(on_made, gather=options.gather)
    from tcpconn_tcp.certificates import context_for
    from tcpconn_tcp.tls import Tls
    from tcpconn_tcp.tls_loop import LoopTlsLink

    context = context_for(options.tls, server=True)
    return LoopTlsLink(lambda peer: Tls(context, peer, None), on_made)


async def _dial(loop: asyncio.AbstractEventLoop, address: Address, options: LinkOptions) -> socket.socket:
    found: list[tuple[int, object]]
    if address.path is not None:
        found = [(socket.AF_UNIX, address.path)]
    else:
        found = [*await resolve_on_loop(address, options.attempt_timeout)]
    failure: OSError | None = None
    for family, where in found:
        dialled = socket.socket(family, socket.SOCK_STREAM)
        try:
            dialled.setblocking(False)
            prepare(dialled, options)
            await loop.sock_connect(dialled, where)  # type: ignore[arg-type]
            refuse_itself(dialled)
            settle(dialled, options)
        except OSError as error:
            dialled.close()
            failure = error
        except BaseException:
            dialled.close()
            raise
        else:
            return dialled
    raise failure or OSError(errno.EADDRNOTAVAIL, f"{address} stands for no address")

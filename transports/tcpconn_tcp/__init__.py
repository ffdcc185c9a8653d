"""Native TCP framing: the backend `tcp`. TCP over IPv4 and IPv6, and Unix stream sockets, on the operating system's sockets."""

from __future__ import annotations

import socket

from tcpconn.address import Address
from tcpconn.transport import Link, LinkListener, LinkOptions, LoopTransport
from tcpconn_tcp.endpoints import describe, dial, take_over
from tcpconn_tcp.listener import TcpListener
from tcpconn_tcp.making import accepted_link, dialled_link

__all__ = ["TcpTransport"]


class TcpTransport:
    """Carries links over stream sockets, with TLS if that is wanted."""

    name = "tcp"
    encryption = "tls"

    def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> Link:
        """Connect to the first of the name's addresses that answers, within `timeout` seconds together.

        With TLS the handshake goes on when the link is written or read, and what it fails by is told there.

        Raises:
            ConfigError: the certificates cannot be used, or the address cannot have any.
            OSError: none of them did.
        """
        make = dialled_link(address, options)
        return make(dial(address, options, timeout))

    def listen(self, address: Address, options: LinkOptions) -> LinkListener:
        """Bind and listen.

        Raises:
            ConfigError: the certificates cannot be used, or the address cannot have any.
            OSError: the address cannot be bound.
        """
        return TcpListener(address, options)

    def adopt(self, accepted: socket.socket, options: LinkOptions) -> Link:
        """Make a link of a connected stream socket; the object that was given is spent, as after its `detach`.

        Raises:
            ConfigError: it has TLS on it already, or the certificates cannot be used.
            NotImplementedError: it is not a stream socket, or not connected.
        """
        own = take_over(accepted, options)
        return accepted_link(own, describe(own, own.getpeername()), options)

    def on_loop(self) -> LoopTransport:
        """Return what makes links for asyncio: they are protocols of the event loop's own transports."""
        # Only here, since a program without asyncio need not load it.
        from tcpconn_tcp.loop import LoopTcpTransport

        return LoopTcpTransport()

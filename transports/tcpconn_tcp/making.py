"""Making links of connected sockets: plain ones, or with TLS on them if the options say so."""

from __future__ import annotations

import socket
from collections.abc import Callable

from tcpconn.address import Address
from tcpconn.errors import ConfigError
from tcpconn.transport import LinkOptions
from tcpconn_tcp.link import TcpLink, nothing

__all__ = ["accepted_link", "check", "check_address", "dialled_link"]


def check(address: Address, options: LinkOptions) -> None:
    """Check, before an address is bound, that its links can be made.

    Raises:
        ConfigError: the certificates cannot be used, or the address cannot have any.
    """
    if options.tls is not None:
        from tcpconn_tcp.certificates import context_for

        check_address(address)
        context_for(options.tls, server=True)


def dialled_link(address: Address, options: LinkOptions) -> Callable[[socket.socket], TcpLink]:
    """Return what makes the client's end of a link of a connected socket.

    Raises:
        ConfigError: the certificates cannot be used, or the address cannot have any.
    """
    peer, wanted = str(address), options.tls
    if wanted is None:
        return lambda connected: TcpLink(connected, peer, gather=options.gather)
    # Only here, and so below, since OpenSSL takes its time to load.
    from tcpconn_tcp.certificates import context_for
    from tcpconn_tcp.tls import Tls
    from tcpconn_tcp.tls_link import TlsLink

    check_address(address)
    context = context_for(wanted, server=False)
    return lambda connected: TlsLink(connected, peer, Tls(context, peer, wanted.hostname or address.host))


def accepted_link(
    connected: socket.socket, peer: str, options: LinkOptions, on_release: Callable[[], None] = nothing
) -> TcpLink:
    """Make the listener's end of a link of a connected socket.

    Raises:
        ConfigError: the certificates cannot be used, and never could.
        OSError: the socket is broken.
    """
    if options.tls is None:
        return TcpLink(connected, peer, on_release, gather=options.gather)
    from tcpconn_tcp.certificates import context_for
    from tcpconn_tcp.tls import Tls
    from tcpconn_tcp.tls_link import TlsLink

    return TlsLink(connected, peer, Tls(context_for(options.tls, server=True), peer, None), on_release)


def check_address(address: Address) -> None:
    """Check that an address can have a certificate.

    Raises:
        ConfigError: it cannot.
    """
    if address.path is not None:
        raise ConfigError(
            f"{address} cannot be encrypted: a Unix socket has no host to be certified, and leaves the machine by no wire; "
            "leave encrypt off for it and let the permissions of its folder say who may connect"
        )

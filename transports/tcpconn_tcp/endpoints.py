"""Making sockets: dialling, binding, options, and the files of Unix sockets."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from contextlib import suppress

from tcpconn.address import Address
from tcpconn.errors import ConfigError
from tcpconn.pacing import spare_pacing
from tcpconn.resolving import resolve
from tcpconn.transport import LinkOptions

__all__ = ["BACKLOG", "BoundSocket", "describe", "dial", "prepare", "refuse_itself", "settle", "take_over"]

BACKLOG = 1024
"""Connections that the system completes before they are accepted."""
_LEAST_FOR_TLS = 64 * 1024


def dial(address: Address, options: LinkOptions, timeout: float | None) -> socket.socket:
    """Return a connected socket.

    Raises:
        OSError: nobody answers at any of the name's addresses, it is unknown, or the time has passed.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    if address.path is not None:
        return _dial_one(socket.AF_UNIX, address.path, options, deadline)
    failure: OSError | None = None
    for family, where in resolve(address, timeout):
        try:
            return _dial_one(family, where, options, deadline)
        except OSError as error:
            failure = error
    raise failure or OSError(errno.EADDRNOTAVAIL, f"{address} stands for no address")


def _dial_one(family: int, where: object, options: LinkOptions, deadline: float | None) -> socket.socket:
    dialled = socket.socket(family, socket.SOCK_STREAM)
    try:
        prepare(dialled, options)
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "no answer in time")
        dialled.settimeout(left)
        dialled.connect(where)  # type: ignore[arg-type]
        refuse_itself(dialled)
        settle(dialled, options)
    except BaseException:
        dialled.close()
        raise
    return dialled


def refuse_itself(dialled: socket.socket) -> None:
    """Refuse a connection of a socket to itself: a free port of this machine's own may be dialled from that very port.

    Raises:
        ConnectionRefusedError: it is one.
    """
    if dialled.family != socket.AF_UNIX and dialled.getsockname() == dialled.getpeername():
        raise ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))


def take_over(accepted: socket.socket, options: LinkOptions) -> socket.socket:
    """Return a socket of our own in place of one that somebody else accepted, which is spent.

    Raises:
        ConfigError: it has TLS on it already.
        NotImplementedError: it is not a stream socket, or not connected.
    """
    if hasattr(accepted, "do_handshake"):
        raise ConfigError("a socket with TLS on it cannot be wrapped: give the plain one, and set encrypt and tls_cert here")
    if accepted.type != socket.SOCK_STREAM:
        raise NotImplementedError(f"{accepted!r} is not a stream socket")
    try:
        accepted.getpeername()
    except OSError as error:
        raise NotImplementedError(f"{accepted!r} is not connected") from error
    prepare(accepted, options)
    settle(accepted, options)
    # Whoever gave it may close it when leaving a `with`, but the link may then still wait for its peer.
    return socket.socket(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())


def prepare(connected: socket.socket, options: LinkOptions) -> None:
    """Set a socket's options, also of one that is not connected yet."""
    if connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if options.send_buffer is not None:
        # With TLS the certificates must fit in: nobody waits for the socket in the middle of a handshake.
        size = options.send_buffer if options.tls is None else max(options.send_buffer, _LEAST_FOR_TLS)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    if options.receive_buffer is not None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, options.receive_buffer)


def settle(connected: socket.socket, options: LinkOptions) -> None:
    """Set the options of a socket that depend on its peer."""
    if options.unpaced_loopback:
        spare_pacing(connected)


def describe(connected: socket.socket, name: object) -> str:
    """Return a peer's name, as the system gives it, in the form of an address."""
    if isinstance(name, tuple):
        return str(Address(str(name[0]), int(name[1])))
    return str(Address(path=str(name or connected.getsockname())))


class BoundSocket:
    """A listening socket, and the file that it has if it is a Unix socket.

    Attributes:
        socket: the socket, which does not block.
        address: where it is bound, with the real port if 0 was asked for.

    Raises:
        OSError: the address cannot be bound, or a live process listens there.
    """

    def __init__(self, address: Address, options: LinkOptions) -> None:
        self.socket = _bind_unix(address.path, options) if address.path is not None else _bind(address, options)
        self.socket.setblocking(False)
        self._pid = os.getpid()
        if address.path is not None:
            self.address = address
            self._inode = os.stat(address.path).st_ino
        else:
            host, port = self.socket.getsockname()[:2]
            self.address = Address(host, port)

    def remove_file(self) -> None:
        """Remove the file of a Unix socket, unless it is another's by now; in a forked child it is the parent's."""
        if self.address.path is not None and self._pid == os.getpid():
            with suppress(OSError):
                if os.stat(self.address.path).st_ino == self._inode:
                    os.unlink(self.address.path)


def _bind(address: Address, options: LinkOptions) -> socket.socket:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, _, _, _, where = found[0]
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets take their buffers from the listening one; later would be too late for TCP's window.
        prepare(listening, options)
        listening.bind(where)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _bind_unix(path: str, options: LinkOptions) -> socket.socket:
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        prepare(listening, options)
        try:
            listening.bind(path)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not _is_stale(path):
                raise
            os.unlink(path)
            listening.bind(path)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _is_stale(path: str) -> bool:
    """Whether a path is a socket that nobody listens at: a process has died and left it."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(1.0)
            probe.connect(path)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False

"""From tcpconn's addresses to ZeroMQ's endpoints and back; names are resolved here, since ZeroMQ binds numbers only."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Any

from tcpconn.address import Address
from tcpconn.resolving import resolve

__all__ = ["bound_address", "inode_of", "is_v6", "remove_file", "to_bind", "to_dial"]


def to_dial(address: Address, timeout: float | None) -> list[str]:
    """Return the endpoints to try within `timeout` seconds, in the system's order of preference.

    Raises:
        OSError: the name is unknown (`socket.gaierror`) or not resolved in time, or there is no such path.
    """
    if address.path is not None:
        if not os.path.exists(address.path):
            raise FileNotFoundError(errno.ENOENT, f"nobody listens at {address}: there is no such path")
        return [_ipc(address.path)]
    return _endpoints(address, resolve(address, timeout))


def to_bind(address: Address) -> str:
    """Return the endpoint to bind; a file left at the path of a Unix socket by a dead listener is no obstacle.

    Raises:
        OSError: the name is unknown, or the path is taken by a living listener or by something that is no socket.
    """
    if address.path is not None:
        _check_path(address, address.path)
        return _ipc(address.path)
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    endpoint = _endpoints(address, [(family, where) for family, *_, where in found])[0]
    return f"{endpoint[:-2]}:*" if address.port == 0 else endpoint


def bound_address(address: Address, last_endpoint: str) -> Address:
    """Return where a socket that was to be bound to `address` is, going by ZeroMQ's option LAST_ENDPOINT."""
    if address.path is not None:
        return address
    host, _, port = last_endpoint.rstrip("\0").removeprefix("tcp://").rpartition(":")
    return Address(host=host.strip("[]"), port=int(port))


def inode_of(address: Address) -> int:
    """Return the number of a Unix socket's file; 0 if it has none."""
    try:
        return 0 if address.path is None else os.stat(address.path).st_ino
    except OSError:
        return 0


def remove_file(address: Address, inode: int) -> None:
    """Remove a Unix socket's file, which ZeroMQ leaves behind, unless it is another's by now."""
    if address.path is not None and inode and inode_of(address) == inode:
        with suppress(OSError):
            os.unlink(address.path)


def is_v6(endpoint: str) -> bool:
    """Say whether the endpoint needs ZeroMQ's option IPV6."""
    return endpoint.startswith("tcp://[")


def _endpoints(address: Address, found: list[tuple[socket.AddressFamily, Any]]) -> list[str]:
    hosts = dict.fromkeys(f"[{where[0]}]" if family == socket.AF_INET6 else str(where[0]) for family, where in found)
    return [f"tcp://{host}:{address.port}" for host in hosts]


def _ipc(path: str) -> str:
    return f"ipc://./{path}" if path.startswith(("@", "*")) else f"ipc://{path}"  # both mean something else to ZeroMQ


def _check_path(address: Address, path: str) -> None:
    # ZeroMQ unlinks whatever is there, be it an ordinary file or the socket of a living listener.
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise OSError(errno.EADDRINUSE, f"cannot listen at {address}: the path exists and is not a socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return  # left behind by a listener that is gone
        except BlockingIOError:
            pass  # its backlog is full: it lives
    raise OSError(errno.EADDRINUSE, f"cannot listen at {address}: somebody else listens there")

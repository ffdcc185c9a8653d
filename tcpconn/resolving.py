"""From names to addresses in bounded time, for backends: the system's own call cannot be given up, so a daemon thread makes it.

Addresses in numbers need no thread. Those who ask for the same name at a time share one thread, also
where it hangs.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from tcpconn.address import Address

__all__ = ["resolve", "resolve_on_loop"]

Found = list[tuple[socket.AddressFamily, Any]]

_SHARE = 0.9
"""Of the time that an attempt has: what is left is for telling what was waited for, before whoever connects gives up."""


def resolve(address: Address, timeout: float | None) -> Found:
    """Return the families and the socket addresses that a host and port stand for, in the system's order of preference.

    Args:
        address: with a host.
        timeout: seconds that the whole attempt may take, or None.

    Raises:
        OSError: the name is unknown (`socket.gaierror`), or is not resolved in nine tenths of the time (`TimeoutError`).
    """
    found = _numeric(address)
    if found is not None:
        return found
    limit = None if timeout is None else timeout * _SHARE
    lookup = _lookup(address)
    try:
        return lookup.result(limit)
    except FutureTimeoutError as error:
        if lookup.done():
            raise  # the system's own
        raise _too_late(address, limit) from error


async def resolve_on_loop(address: Address, timeout: float | None) -> Found:
    """Do what `resolve` does, and let other tasks run meanwhile.

    Raises:
        OSError: as for `resolve`.
    """
    found = _numeric(address)
    if found is not None:
        return found
    limit = None if timeout is None else timeout * _SHARE
    lookup = _lookup(address)
    try:
        async with asyncio.timeout(limit):
            return await asyncio.wrap_future(lookup)
    except TimeoutError as error:
        if lookup.done():
            raise
        raise _too_late(address, limit) from error


def _numeric(address: Address) -> Found | None:
    try:
        return _ask(address, socket.AI_NUMERICHOST)
    except socket.gaierror:
        return None


def _ask(address: Address, flags: int) -> Found:
    infos = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, where) for family, _, _, _, where in infos]


def _too_late(address: Address, limit: float | None) -> TimeoutError:
    return TimeoutError(errno.ETIMEDOUT, f"the name {address.host!r} was not resolved within {limit:.3g} s by the system")


_under_way: dict[Address, Future[Found]] = {}
_lock = threading.Lock()


def _lookup(address: Address) -> Future[Found]:
    """Return the outcome to come of asking the system, which has been asked or is asked now."""
    with _lock:
        lookup = _under_way.get(address)
        if lookup is not None:
            return lookup
        lookup = Future()
        # So that nobody who gives up cancels it for the others.
        lookup.set_running_or_notify_cancel()
        threading.Thread(target=_look_up, args=(address, lookup), name=f"tcpconn-resolve-{address.host}", daemon=True).start()
        _under_way[address] = lookup
        return lookup


def _look_up(address: Address, lookup: Future[Found]) -> None:
    try:
        found = _ask(address, 0)
    except BaseException as error:
        _over(address)
        lookup.set_exception(error)
    else:
        _over(address)
        lookup.set_result(found)


def _over(address: Address) -> None:
    with _lock:
        _under_way.pop(address, None)


def _after_fork() -> None:
    # The threads are the parent's, and one of them may have held the lock.
    global _lock
    _lock = threading.Lock()
    _under_way.clear()


os.register_at_fork(after_in_child=_after_fork)

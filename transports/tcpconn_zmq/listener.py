"""The listener: binds a ROUTER's channel (`router`) and hands out the links that it makes."""

from __future__ import annotations

import errno
import os
import time

from tcpconn.address import Address
from tcpconn.transport import Link, LinkListener, LinkOptions
from tcpconn_zmq.context import SharedContext
from tcpconn_zmq.router import RouterChannel

__all__ = ["RouterListener"]

_PAUSE = 0.002
"""Seconds between two attempts to bind."""


class RouterListener:
    """Hands out the links of a `RouterChannel`. Any thread.

    After `close` with links still open the address stays bound until the last of them is closed, since ZeroMQ would end
    them with its listener; who dials it meanwhile is accepted by the system, and dropped by the channel's next read.
    """

    def __init__(self, context: SharedContext, address: Address, options: LinkOptions) -> None:
        self._context = context
        self._channel = _bind(context, address, options)
        self._pid = os.getpid()
        self._closed = False

    @property
    def address(self) -> Address:
        """The bound address, with the real port."""
        return self._channel.address

    @property
    def channel(self) -> RouterChannel:
        """What must be read for peers to be noticed."""
        return self._channel

    def fileno(self) -> int:
        """Return a descriptor that is readable whenever `accept` may have a link; -1 after the close."""
        return self._channel.acceptable.fileno()

    def accept(self) -> Link | None:
        """Return a new link, or None.

        Raises:
            OSError: a peer could not be accepted, for want of descriptors for one; the listener goes on.
        """
        channel = self._channel
        channel.acceptable.clear()
        try:
            link = channel.accepted.popleft()
        except IndexError:
            number, channel.accept_error = channel.accept_error, 0
            if number:
                raise OSError(number, f"{os.strerror(number)} (a peer of {self.address} was not accepted)") from None
            return None
        if channel.accepted or channel.accept_error:
            channel.acceptable.set()
        return link

    def close(self) -> None:
        """Stop accepting; the links that were accepted live on until each is closed."""
        if not self._closed:
            self._closed = True
            if self._pid == os.getpid():
                # Before the reader of the channel gets to it, since who closed may listen anew at once.
                self._context.note_unbound(self.address)
                self._channel.stop_accepting()

    def __repr__(self) -> str:
        return f"<RouterListener {'closed' if self._closed else 'open'} at {self.address}>"


def _bind(context: SharedContext, address: Address, options: LinkOptions) -> RouterChannel:
    """Make the channel; an address that this process has just given up is waited for."""
    while True:
        try:
            return RouterChannel(context, address, options)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or not context.is_unbinding(address):
                raise
        time.sleep(_PAUSE)


def _conforms(listener: RouterListener) -> LinkListener:  # checked by mypy
    return listener

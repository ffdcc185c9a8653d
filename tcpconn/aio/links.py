"""Where an event loop gets its links from: the backend's own for asyncio if it has some, else its descriptors.

With descriptors the loop is told when a channel is readable, and reads it without waiting; connecting, which may block, is
done by a thread. Any backend works so, also one of somebody else's.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol, cast

from tcpconn.address import Address
from tcpconn.aio.keeper import LoopKeeper, new_seat
from tcpconn.reception import ACCEPT_PAUSE, accept_links
from tcpconn.transport import (
    BareLink,
    Link,
    LinkListener,
    LinkOptions,
    LoopListener,
    LoopTransport,
    OffersLoopTransport,
    Transport,
)
from tcpconn.waiting import Seat

__all__ = ["Links", "links_of"]

Take = Callable[[BareLink, "Seat | None"], None]


class Links(Protocol):
    """Makes links and, for those that the loop must read, their seats."""

    async def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> tuple[BareLink, Seat | None]:
        """Make one attempt to reach `address`, for up to `timeout` seconds.

        Raises:
            OSError: nobody listens there, or the time has passed.
        """
        ...

    async def listen(self, address: Address, options: LinkOptions, take: Take) -> LoopListener:
        """Bind `address`, and call `take` with each link and its seat.

        Raises:
            OSError: the address cannot be bound.
        """
        ...

    async def adopt(self, accepted: socket.socket, options: LinkOptions) -> tuple[BareLink, Seat | None]:
        """Make a link of a socket that somebody else accepted.

        Raises:
            NotImplementedError: the backend cannot.
        """
        ...


def links_of(transport: Transport, keeper: LoopKeeper) -> Links:
    """Return what makes a backend's links for the running event loop."""
    if hasattr(transport, "on_loop"):
        return _OfTheBackend(cast("OffersLoopTransport", transport).on_loop())
    return _ByDescriptors(transport, keeper)


class _OfTheBackend:
    def __init__(self, transport: LoopTransport) -> None:
        self._transport = transport

    async def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> tuple[BareLink, None]:
        try:
            async with asyncio.timeout(timeout):
                return await self._transport.connect(address, replace(options, attempt_timeout=timeout)), None
        except TimeoutError as error:
            raise TimeoutError(errno.ETIMEDOUT, str(error) or "no answer in time") from error

    async def listen(self, address: Address, options: LinkOptions, take: Take) -> LoopListener:
        return await self._transport.listen(address, options, lambda link: take(link, None))

    async def adopt(self, accepted: socket.socket, options: LinkOptions) -> tuple[BareLink, None]:
        return await self._transport.adopt(accepted, options), None


class _ByDescriptors:
    def __init__(self, transport: Transport, keeper: LoopKeeper) -> None:
        self._transport = transport
        self._keeper = keeper

    async def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> tuple[BareLink, Seat]:
        link = await self._connect_in_thread(address, options, timeout)
        return link, new_seat(link.channel)

    async def _connect_in_thread(self, address: Address, options: LinkOptions, timeout: float | None) -> Link:
        loop = self._keeper.loop
        outcome: asyncio.Future[Link] = loop.create_future()

        def settle(link: Link | None, error: BaseException | None) -> None:
            if outcome.done():
                if link is not None:
                    link.close()
            elif error is not None:
                outcome.set_exception(error)
            elif link is not None:
                outcome.set_result(link)

        def connect() -> None:
            link: Link | None = None
            failure: BaseException | None = None
            try:
                link = self._transport.connect(address, options, timeout)
            except BaseException as error:
                failure = error
            try:
                loop.call_soon_threadsafe(settle, link, failure)
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                if link is not None:
                    link.close()

        # Not the loop's executor, for whose threads the end of the loop waits however long they take.
        threading.Thread(target=connect, name=f"tcpconn-dial-{address}", daemon=True).start()
        return await outcome

    async def listen(self, address: Address, options: LinkOptions, take: Take) -> LoopListener:
        return _DescriptorListener(self._transport.listen(address, options), self._keeper, take)

    async def adopt(self, accepted: socket.socket, options: LinkOptions) -> tuple[BareLink, Seat]:
        link = self._transport.adopt(accepted, options)
        return link, new_seat(link.channel)


class _DescriptorListener:
    def __init__(self, listener: LinkListener, keeper: LoopKeeper, take: Take) -> None:
        self._listener = listener
        self._descriptor = listener.fileno()
        self._keeper = keeper
        self._take = take
        self._closed = False
        self._seat: Seat | None = None
        if listener.channel is not None:
            self._seat = new_seat(listener.channel, shared=True)
            keeper.attend(self._seat)
        self._watch()

    @property
    def address(self) -> Address:
        return self._listener.address

    def _watch(self) -> None:
        if not self._closed:
            self._keeper.loop.add_reader(self._descriptor, self._accept)

    def _accept(self) -> None:
        if not accept_links(self._listener, self._take_link):
            self._keeper.loop.remove_reader(self._descriptor)
            self._keeper.loop.call_later(ACCEPT_PAUSE, self._watch)

    def _take_link(self, link: Link) -> None:
        self._take(link, self._seat or new_seat(link.channel))

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._keeper.loop.remove_reader(self._descriptor)
        if self._seat is not None:
            # Before its descriptor is closed with the listener, and its number given to somebody else.
            self._keeper.forget(self._seat)
        self._listener.close()

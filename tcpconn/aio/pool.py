"""The pool of the asyncio API, and how its links are made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from types import TracebackType

from tcpconn.address import Address
from tcpconn.aio.keeper import LoopKeeper, keeper
from tcpconn.aio.links import Links, links_of
from tcpconn.aio.waiting import carry_out
from tcpconn.attempt import Attempt
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.delivering import finish
from tcpconn.errors import TcpconnError
from tcpconn.greeting import Greeting
from tcpconn.leasing import SharedLinks
from tcpconn.transport import Transport

__all__ = ["AsyncPool", "default_pool"]


class AsyncPool(SharedLinks):
    """Shares links between logical connections of one event loop.

    The first `connect()` to an address makes the link; further ones use it; when the last connection over it is closed, it
    stays for `idle_timeout` seconds, for the next. An asynchronous context manager that closes it.

    Args:
        config: the settings of connections made with this pool that bring none of their own.
    """

    def __init__(self, config: Config | None = None) -> None:
        super().__init__(config)
        self._loop_keeper: LoopKeeper | None = None

    def _keeper(self) -> LoopKeeper:
        current = keeper()
        if self._loop_keeper is None:
            self._loop_keeper = current
        elif self._loop_keeper is not current:
            raise RuntimeError("this pool belongs to another event loop; make one for each")
        return current

    def _dialer(self, transport: Transport, address: Address) -> Callable[[Carrier], None]:
        current = self._keeper()
        links = links_of(transport, current)
        return lambda carrier: current.begin(carrier, _dial(carrier, address, links))

    def release(self, carrier: Carrier) -> None:
        """Give a lease back; a session that nobody needs any more, and that has no link, does not go on to look for one."""
        super().release(carrier)
        if not self.in_use(carrier):
            keeper().give_up_unlinked(carrier, "nobody uses the connection any more")

    async def settle(self) -> None:
        """Wait until what was given up has ended."""
        await keeper().settle()

    async def close(self, timeout: float | None = None) -> None:
        """Close every link in good order, after waiting up to `timeout` seconds (default: `linger`) for acknowledgements."""
        current = keeper()
        for carrier in self._take_all():
            limit = carrier.config.linger if timeout is None else timeout
            await carry_out(finish(carrier, limit, "the pool was closed"))
            current.stop(carrier)
        await current.settle()

    async def __aenter__(self) -> AsyncPool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _dial(carrier: Carrier, address: Address, links: Links) -> None:
    attempt = Attempt(carrier, address)
    current = keeper()
    try:
        link, seat = await links.connect(address, carrier.config.link_options(), attempt.patience)
        decided = asyncio.Event()
        tell = partial(_decided, decided)
        words = attempt.greet(Greeting(link, tell, tell), seat)
        if seat is not None:
            current.attend(seat)
        if link.write([words]) < len(words):
            raise OSError("the link takes too little at once even for a HELLO")
        try:
            async with asyncio.timeout(carrier.config.handshake_timeout):
                await decided.wait()
        except TimeoutError:
            raise attempt.silence() from None
        attempt.take_up()
    except (OSError, TcpconnError) as error:
        attempt.failed(error)
    except asyncio.CancelledError:
        attempt.drop()
        raise
    except BaseException as error:
        attempt.broken(error)
        raise


def _decided(event: asyncio.Event, _: Greeting) -> None:
    event.set()


def default_pool() -> AsyncPool:
    """Return the pool of the running event loop for those who bring none."""
    current = keeper()
    if current.pool is None:
        current.pool = AsyncPool()
    assert isinstance(current.pool, AsyncPool)
    return current.pool

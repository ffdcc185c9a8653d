"""The dialling side of the asyncio API: `connect`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from tcpconn.address import Address
from tcpconn.aio.connection import AsyncConnection
from tcpconn.aio.pool import AsyncPool, default_pool
from tcpconn.aio.waiting import Opening, carry_out
from tcpconn.config import Config
from tcpconn.opening import logical_name, opening

__all__ = ["connect"]


def connect(
    address: str | Address,
    id: str | bytes | uuid.UUID | None = None,
    *,
    pool: AsyncPool | None = None,
    config: Config | None = None,
    metadata: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Opening[AsyncConnection]:
    """Open a logical connection; enter it by `async with`, or await it and close it.

    Connections of one event loop to the same address with the same settings share one link.

    Args:
        address: `host:port`, `[v6]:port` or `unix:/path`.
        id: name of the connection, 1 to 255 bytes; a random UUID if left out.
        pool: whose links to use; the event loop's own pool if left out.
        config: all settings; from keywords, environment and file if left out (see `Config.load`).
        metadata: for the peer to see: names, which are text, and anything that msgpack can hold.
        **overrides: single settings by name, such as `backend="zmq"`.

    Raises:
        ConfigError: a setting or the address makes no sense.
        BackendUnavailable: the backend's package is missing.
        ConnectError: nobody answered within `connect_timeout`, or the id is in use.
        HandshakeError: what answered is not tcpconn.
        ValueError, TypeError: the metadata cannot be sent.
    """

    async def open_it() -> AsyncConnection:
        links = pool or default_pool()
        settings = Config.resolve(config or links.config, overrides)
        try:
            carrier, stream = await carry_out(opening(links, Address.parse(address), settings, logical_name(id), metadata))
        except BaseException:
            # An attempt that was given up with it ends before this does.
            await links.settle()
            raise
        return AsyncConnection(carrier, stream, links)

    return Opening(open_it)

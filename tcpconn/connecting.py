"""The dialling side of the blocking API: `connect`."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from tcpconn.address import Address
from tcpconn.blocking import Connection
from tcpconn.config import Config
from tcpconn.leading import carry_out
from tcpconn.opening import logical_name, opening
from tcpconn.pool import Pool, default_pool

__all__ = ["connect"]


def connect(
    address: str | Address,
    id: str | bytes | uuid.UUID | None = None,
    *,
    pool: Pool | None = None,
    config: Config | None = None,
    metadata: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Connection:
    """Open a logical connection; connections of one process to the same address with the same settings share one link.

    Args:
        address: `host:port`, `[v6]:port` or `unix:/path`.
        id: name of the connection, 1 to 255 bytes; a random UUID if left out.
        pool: whose links to use; the process-wide pool if left out.
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
    pool = pool or default_pool()
    settings = Config.resolve(config or pool.config, overrides)
    carrier, stream = carry_out(opening(pool, Address.parse(address), settings, logical_name(id), metadata))
    return Connection(carrier, stream, pool)

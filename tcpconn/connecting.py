"""The dialling side of the blocking API: `connect`."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

from tcpconn.address import Address
from tcpconn.blocking import Connection
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.errors import ConfigError, ConnectError, HandshakeError, ProtocolError, TcpconnError
from tcpconn.leading import wait
from tcpconn.lifecycle import State
from tcpconn.pool import Pool, default_pool

__all__ = ["connect"]

_DECIDED = (State.CONNECTED, State.DRAINING, State.CLOSED)


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
    where = Address.parse(address)
    pool = pool or default_pool()
    config = config or pool.config
    settings = Config.load(**overrides) if config is None else config.replace(**overrides) if overrides else config
    name = _name(id)
    limit = settings.connect_timeout
    deadline = None if limit is None else time.monotonic() + limit
    while True:
        carrier = pool.lease(where, settings)
        try:
            with carrier.lock:
                stood = carrier.session is not None
                decided = wait(carrier, carrier.waiters, lambda: carrier.lifecycle.state in _DECIDED, deadline)  # noqa: B023
                session = carrier.session
                if session is not None and session.mux.exhausted:
                    carrier.retire()
                elif decided and session is not None and session.mux.going_away is None and session.ended is None:
                    connection = Connection(carrier, session.mux.open(name, metadata), pool.release)
                    carrier.pump()
                    return connection
                error = _connect_error(carrier, where, settings)
            if not decided or not (stood or _may_yet_come(error.__cause__)):
                raise error
            # It was given up at the deadline of whoever asked for it first, and ours is later; or it takes no more streams.
        except BaseException:
            pool.release(carrier)
            raise
        pool.release(carrier)


def _may_yet_come(cause: BaseException | None) -> bool:
    """Whether an attempt failed because nobody was there, and not by what somebody said."""
    return isinstance(cause, OSError) and not isinstance(cause, ConnectError | ProtocolError)


def _name(id: str | bytes | uuid.UUID | None) -> str | bytes:
    name = str(uuid.uuid4()) if id is None else str(id) if isinstance(id, uuid.UUID) else id
    if not isinstance(name, str | bytes):
        raise ConfigError(f"id {id!r} is a {type(id).__name__}; use str, bytes or uuid.UUID")
    try:
        length = len(name.encode() if isinstance(name, str) else name)
    except UnicodeEncodeError as error:
        raise ConfigError(f"id {name!r:.40} cannot be encoded: {error}") from error
    if not 1 <= length <= 255:
        raise ConfigError(f"id {name!r:.40} has {length} bytes; 1 to 255 are allowed")
    return name


def _connect_error(carrier: Carrier, address: Address, config: Config) -> TcpconnError:
    cause = carrier.lifecycle.cause
    if isinstance(cause, ConnectError | ProtocolError):
        error: TcpconnError = type(cause)(f"cannot connect to {address} by backend {config.backend!r}: {cause}")
    else:
        error = ConnectError(
            f"cannot connect to {address} by backend {config.backend!r} within connect_timeout={config.connect_timeout} s: "
            f"{cause or 'no answer'}; is the listener running, with the same backend?"
        )
    if isinstance(error, HandshakeError) and isinstance(cause, HandshakeError):
        error.code = cause.code
    error.__cause__ = cause
    return error

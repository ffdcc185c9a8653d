"""What a pool of either flavour is: one session per (backend, address, config), shared and reference-counted."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from tcpconn.address import Address
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.errors import ConnectError
from tcpconn.frames import Code
from tcpconn.keeping import Keeper
from tcpconn.lifecycle import Action, State
from tcpconn.transport import Transport, load_transport

__all__ = ["SharedLinks"]

_USABLE = (State.CONNECTING, State.CONNECTED, State.RECONNECTING)


class SharedLinks(ABC):
    """Shares links between logical connections.

    The first `connect()` to an address makes the link; further ones use it; when the last connection over it is closed, it
    stays for `idle_timeout` seconds, for the next.

    Args:
        config: the settings of connections made with this pool that bring none of their own.

    `_lock` guards the table of carriers and their counts of users; it is taken before a carrier's lock, never after.
    """

    def __init__(self, config: Config | None = None) -> None:
        self.config = config
        self._lock = threading.Lock()
        self._carriers: dict[tuple[Address, Config], Carrier] = {}
        self._users: dict[Carrier, int] = {}
        self._closed = False

    def lease(self, address: Address, config: Config) -> Carrier:
        """Return the carrier for an address, a new one if need be; each lease is given back by `release`.

        Raises:
            ConfigError, BackendUnavailable: the backend cannot be used.
            ConnectError: the pool is closed.
        """
        transport = load_transport(config.backend)
        config.check_transport(transport, listens=False)
        key = (address, config)
        with self._lock:
            if self._closed:
                raise ConnectError(f"cannot connect to {address}: this pool is closed")
            carrier = self._carriers.get(key)
            if carrier is not None and carrier.lifecycle.state in _USABLE:
                users = self._users[carrier]
                self._users[carrier] = users + 1
                if not users:
                    with carrier.lock:
                        carrier.lifecycle.in_use(time.monotonic())
                return carrier
            carrier = _PooledCarrier(self, key, self._keeper())
            carrier.dial = self._dialer(transport, address)
            self._carriers[key] = carrier
            self._users[carrier] = 1
        with carrier.lock:
            carrier.lifecycle.in_use(time.monotonic())
            carrier.reschedule()
        return carrier

    def release(self, carrier: Carrier) -> None:
        """Give a lease back; after the last one the link is closed when it has been idle for `idle_timeout`."""
        with self._lock:
            if carrier not in self._users:
                return
            self._users[carrier] -= 1
            if self._users[carrier] == 0:
                with carrier.lock:
                    carrier.lifecycle.unused(time.monotonic())
                    carrier.reschedule()

    def retire(self, carrier: Carrier, text: str) -> None:
        """Close a link that nobody uses, unless somebody has begun to meanwhile, or it still has something to deliver."""
        with self._lock, carrier.lock:
            if self._users.get(carrier, 0):
                return
            session = carrier.session
            if session is not None and session.ended is None and not session.settled:
                carrier.lifecycle.unused(time.monotonic())
                carrier.reschedule()
                return
            self._drop(carrier)
            carrier.goodbye(Code.CLOSED, text)

    def in_use(self, carrier: Carrier) -> bool:
        """Whether anybody has a lease of it."""
        with self._lock:
            return bool(self._users.get(carrier))

    def forget(self, carrier: Carrier) -> None:
        """Drop a carrier whose session has ended, so that the next `connect()` makes a new one."""
        with self._lock:
            self._drop(carrier)

    def _drop(self, carrier: Carrier) -> None:
        for key, found in list(self._carriers.items()):
            if found is carrier:
                del self._carriers[key]
        self._users.pop(carrier, None)

    @abstractmethod
    def _keeper(self) -> Keeper:
        """Return who keeps the links going."""

    @abstractmethod
    def _dialer(self, transport: Transport, address: Address) -> Callable[[Carrier], None]:
        """Return what begins an attempt to get a link."""

    def _take_all(self) -> list[Carrier]:
        """Lease no more, and return the carriers that are to be closed."""
        with self._lock:
            self._closed = True
            return list(self._users)

    def after_fork(self) -> None:
        """Empty a pool that a forked child inherited; its links are the parent's."""
        self._lock = threading.Lock()
        self._carriers.clear()
        self._users.clear()

    @property
    def links(self) -> int:
        """How many sessions the pool holds."""
        with self._lock:
            return len(self._carriers)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} links={self.links}>"


class _PooledCarrier(Carrier):
    """A carrier that tells its pool when it is idle and when it has ended."""

    def __init__(self, pool: SharedLinks, key: tuple[Address, Config], keeper: Keeper) -> None:
        address, config = key
        super().__init__(config, str(address), dials=True, keeper=keeper, on_end=pool.forget)
        self.pool = pool

    def after_fork(self) -> None:
        """Free the pool, too: it may have been locked."""
        super().after_fork()
        self.pool.after_fork()

    def tick(self) -> list[Action]:
        """Leave the link when the pool finds that it is idle."""
        actions = super().tick()
        if Action.CLOSE_IDLE in actions:
            self.pool.retire(self, f"idle for {self.config.idle_timeout} s")
        return actions

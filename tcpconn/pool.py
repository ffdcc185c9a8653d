"""The pool: one session per (backend, address, config), shared by all logical connections, reference-counted."""

from __future__ import annotations

import os
import threading
import time
from types import TracebackType

from tcpconn.address import Address
from tcpconn.caretaker import Caretaker
from tcpconn.carrier import Carrier
from tcpconn.config import Config
from tcpconn.delivering import finish
from tcpconn.dialing import Dialer
from tcpconn.errors import ConnectError
from tcpconn.frames import Code
from tcpconn.lifecycle import Action, State
from tcpconn.process import caretaker
from tcpconn.transport import load_transport

__all__ = ["Pool", "default_pool"]

_USABLE = (State.CONNECTING, State.CONNECTED, State.RECONNECTING)


class Pool:
    """Shares links between logical connections.

    The first `connect()` to an address makes the link; further ones use it; when the last connection over it is closed, it
    stays for `idle_timeout` seconds, for the next. Any number of threads may use one pool.

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
        key = (address, config)
        with self._lock:
            if self._closed:
                raise ConnectError(f"cannot connect to {address}: this pool is closed")
            carrier = self._carriers.get(key)
            if carrier is not None and carrier.lifecycle.state in _USABLE:
                self._users[carrier] += 1
                with carrier.lock:
                    carrier.lifecycle.in_use(time.monotonic())
                return carrier
            carrier = _PooledCarrier(self, key, caretaker())
            carrier.dial = Dialer(transport, address)
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

    def forget(self, carrier: Carrier) -> None:
        """Drop a carrier whose session has ended, so that the next `connect()` makes a new one."""
        with self._lock:
            self._drop(carrier)

    def _drop(self, carrier: Carrier) -> None:
        for key, found in list(self._carriers.items()):
            if found is carrier:
                del self._carriers[key]
        self._users.pop(carrier, None)

    def close(self, timeout: float | None = None) -> None:
        """Close every link in good order, after waiting up to `timeout` seconds (default: `linger`) for acknowledgements."""
        with self._lock:
            self._closed = True
            carriers = list(self._users)
        for carrier in carriers:
            finish(carrier, carrier.config.linger if timeout is None else timeout, "the pool was closed")

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

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Pool links={self.links}>"


class _PooledCarrier(Carrier):
    """A carrier that tells its pool when it is idle and when it has ended."""

    def __init__(self, pool: Pool, key: tuple[Address, Config], keeper: Caretaker) -> None:
        address, config = key
        super().__init__(config, str(address), dials=True, caretaker=keeper, on_end=pool.forget)
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


_default: Pool | None = None
_default_pid = 0
_default_lock = threading.Lock()


def default_pool() -> Pool:
    """Return the process-wide pool."""
    global _default, _default_pid
    with _default_lock:
        if _default is None or _default_pid != os.getpid():
            _default = Pool()
            _default_pid = os.getpid()
        return _default

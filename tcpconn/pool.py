"""The pool of the blocking API."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import TracebackType

from tcpconn.address import Address
from tcpconn.caretaker import Caretaker
from tcpconn.carrier import Carrier
from tcpconn.delivering import finish
from tcpconn.dialing import Dialer
from tcpconn.leading import carry_out
from tcpconn.leasing import SharedLinks
from tcpconn.process import caretaker
from tcpconn.transport import Transport

__all__ = ["Pool", "default_pool"]


class Pool(SharedLinks):
    """Shares links between logical connections. Any number of threads may use one pool.

    The first `connect()` to an address makes the link; further ones use it; when the last connection over it is closed, it
    stays for `idle_timeout` seconds, for the next. A context manager that closes it.

    Args:
        config: the settings of connections made with this pool that bring none of their own.
    """

    def _keeper(self) -> Caretaker:
        return caretaker()

    def _dialer(self, transport: Transport, address: Address) -> Callable[[Carrier], None]:
        return Dialer(transport, address, caretaker().abandoned)

    def close(self, timeout: float | None = None) -> None:
        """Close every link in good order, after waiting up to `timeout` seconds (default: `linger`) for acknowledgements."""
        for carrier in self._take_all():
            carry_out(finish(carrier, carrier.config.linger if timeout is None else timeout, "the pool was closed"))

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


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

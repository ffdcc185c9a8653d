"""The ZeroMQ backend of tcpconn: a DEALER dials, a ROUTER listens, and one ROUTER serves many peers.

It knows `tcpconn.transport`, `tcpconn.errors` and `tcpconn.address`, and nothing of the frames that it carries: a link is
a stream of bytes, cut into ZeroMQ messages as suits. This package imports without pyzmq; `ZmqTransport` does not start
without it. What of ZeroMQ's own behaviour is turned off, bounded or added is told in `owned`, `dealer` and `router`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from tcpconn.address import Address
from tcpconn.errors import BackendUnavailable
from tcpconn.transport import Link, LinkListener, LinkOptions

if TYPE_CHECKING:
    from tcpconn_zmq.context import SharedContext

__all__ = ["ZmqTransport"]


class ZmqTransport:
    """Carries bytes over ZeroMQ; any thread may call it. It owns one `zmq.Context` with one I/O thread per process."""

    name = "zmq"
    encryption = "curve"

    def __init__(self) -> None:
        """Import pyzmq.

        Raises:
            BackendUnavailable: pyzmq cannot be imported.
        """
        try:
            import zmq  # noqa: F401
        except ImportError as error:
            raise BackendUnavailable(
                f"the backend 'zmq' needs pyzmq, which cannot be imported ({error}); install it with: pip install pyzmq"
            ) from error
        from tcpconn_zmq.context import SharedContext

        self._context: SharedContext = SharedContext()

    def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> Link:
        """Reach the listener at `address` and complete ZeroMQ's handshake with it, within `timeout` seconds.

        Raises:
            OSError: nobody listens there, or what listens does not speak ZeroMQ, or the time has passed (`TimeoutError`).
        """
        from tcpconn_zmq.dealer import dial

        return dial(self._context, address, options, timeout)

    def listen(self, address: Address, options: LinkOptions) -> LinkListener:
        """Bind `address`.

        Raises:
            OSError: the address cannot be bound.
        """
        from tcpconn_zmq.listener import RouterListener

        return RouterListener(self._context, address, options)

    def adopt(self, accepted: socket.socket, options: LinkOptions) -> Link:
        """Refuse: ZeroMQ makes its own connections.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError(
            "the backend 'zmq' cannot take over a socket that was accepted elsewhere, since ZeroMQ makes its connections "
            "itself; use the backend 'tcp' for that, or listen() on an address"
        )

    def __repr__(self) -> str:
        return f"<ZmqTransport {self._context!r}>"

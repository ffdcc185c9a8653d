"""The same connections, awaited: `aio.connect`, `aio.listen`, `aio.serve`, `aio.wrap` and `aio.Pool` for asyncio programs.

Engine, wire, settings and errors are those of the blocking API, and either end may be of either flavour. A connection, a
listener or a pool belongs to the event loop that it was made on. No task is left behind: what works in the background are
callbacks of the loop, and the attempts to get a link back, which end with the last connection that needs it.
"""

from __future__ import annotations

from tcpconn.aio.connecting import connect
from tcpconn.aio.connection import AsyncConnection
from tcpconn.aio.listening import AsyncListener, listen, serve, wrap
from tcpconn.aio.pool import AsyncPool as Pool

__all__ = ["AsyncConnection", "AsyncListener", "Pool", "connect", "listen", "serve", "wrap"]

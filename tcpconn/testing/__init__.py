"""What tests of tcpconn, of services built on it, and of further backends need: links that can be made to fail.

`Relay` stands between two ends and cuts, stalls or refuses their connections, over `tcp` and `zmq` alike; `FaultyTransport`
does the same to a backend within one process, such as `memory`.
`tcpconn.testing.contract` holds the test-suite of a backend; it alone needs pytest and is not imported from here.
"""

from __future__ import annotations

from tcpconn.testing.faulty import FaultyLink, FaultyTransport
from tcpconn.testing.relay import Relay

__all__ = ["FaultyLink", "FaultyTransport", "Relay"]

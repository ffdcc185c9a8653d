"""The zmq backend's monitors: they must never make ZeroMQ's I/O thread wait, as all links of a process share it."""

from __future__ import annotations

import gc

from tcpconn.address import Address
from tcpconn.testing.contract import Ends
from tcpconn.transport import LinkOptions, load_transport


def test_links_that_end_while_they_linger_do_not_stop_the_others() -> None:
    transport = load_transport("zmq")
    for _ in range(60):
        ends = Ends(transport, Address("127.0.0.1", 0), LinkOptions())
        for _ in range(5):
            near, far = ends.join()
            # Written and not read: it lingers. Closed from both sides at once: each sees the other go while it does.
            near.link.write([bytes(200_000)])
            far.link.write([bytes(200_000)])
            near.link.close()
            far.link.close()
        ends.finish()
    gc.collect()
    with_others = Ends(transport, Address("127.0.0.1", 0), LinkOptions())
    near, far = with_others.join()
    with_others.send(near, [b"alive"])
    with_others.drive(lambda: far.sink.data == b"alive")
    with_others.settle()

"""How a session ends while its threads are at work."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Event, Thread

import pytest

import tcpconn
from eventually import eventually
from tcpconn.delivering import finish
from tcpconn.leading import carry_out
from tcpconn.transport import Buffer

DEADLINE = 20.0


def test_the_goodbye_is_written_before_finish_returns_also_while_another_thread_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the process may be gone, and the peer wait for it to come back."""
    with tcpconn.Pool() as pool, tcpconn.listen("127.0.0.1:0", backend="memory") as listener:
        carrier = tcpconn.connect(listener.address, backend="memory", pool=pool)._carrier
        link, session, begun = carrier.link, carrier.session, Event()
        assert link is not None
        assert session is not None
        write = link.write

        def somebody_waits() -> bool:
            with carrier.lock:
                return bool(carrier.waiters)

        def slow(buffers: Sequence[Buffer]) -> int:
            begun.set()
            eventually(somebody_waits)
            return write(buffers)

        def ping() -> None:
            with carrier.lock:
                session.ping()
                carrier.pump()

        assert eventually(lambda: session.settled)
        monkeypatch.setattr(link, "write", slow)
        writing = Thread(target=ping)
        writing.start()
        assert begun.wait(DEADLINE)
        carry_out(finish(carrier, DEADLINE, "the test is over"))
        assert session.ended == "the test is over"
        writing.join(DEADLINE)

"""Waiting until the peer's library has what was sent: over one connection, or over a session that is to end."""

from __future__ import annotations

import time

from tcpconn.carrier import Carrier
from tcpconn.errors import ConnectionLost
from tcpconn.frames import Code
from tcpconn.lifecycle import State
from tcpconn.logs import logger
from tcpconn.steps import Steps, Wait
from tcpconn.stream import Stream
from tcpconn.writing import LAST_WORDS

__all__ = ["finish", "flush"]

log = logger()


def flush(carrier: Carrier, stream: Stream, deadline: float | None) -> Steps[bool]:
    """Wait until the peer has acknowledged all that was accepted on a stream. The lock is held.

    Returns:
        Whether it has; False when the deadline, by `time.monotonic()`, has passed.

    Raises:
        ConnectionLost: the session or the stream has ended without; `undelivered` counts the stream's messages.
    """
    session = carrier.session
    assert session is not None
    stream.turned = True

    def framed() -> bool:
        return session.ended is not None or session.flush_target(stream) is not None

    # Among those whom every acknowledgement wakes: what waits for room is framed without a word to the stream's waiters.
    if not framed() and not (yield Wait(carrier, carrier.waiters, framed, deadline)):
        return False
    target = session.flush_target(stream)
    if target is not None and session.acknowledged < target and session.ended is None:
        session.ping()

        def acknowledged() -> bool:
            return session.acknowledged >= target or session.ended is not None

        if not (yield Wait(carrier, carrier.milestones.at(target), acknowledged, deadline)):
            return False
    lost = session.lost_to(stream)
    if lost:
        why = session.ended if session.ended is not None else "the peer ended the connection"
        raise ConnectionLost(f"id {stream.name!r} at {carrier.address}: {why}; undelivered messages: {lost}", lost)
    return True


def finish(carrier: Carrier, timeout: float | None, text: str, code: Code = Code.CLOSED) -> Steps[None]:
    """Wait up to `timeout` seconds for the peer to acknowledge everything, then close in good order. Without the lock.

    What it has not acknowledged by then is told to whoever uses the connections, and to the log, as nobody may.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    with carrier.lock:
        session = carrier.session
        if session is not None and session.ended is None:
            session.ping()
            yield Wait(carrier, carrier.waiters, lambda: session.settled or session.ended is not None, deadline)
        if session is None or carrier.lifecycle.state is State.CLOSED:
            carrier.end(text)
            return
        lost = session.undelivered().total()
        carrier.goodbye(code, text)
        # A thread that is writing at this moment says it; a process that exits meanwhile would be gone without a word.
        latest = time.monotonic() + LAST_WORDS
        if session.ended is None and not (yield Wait(carrier, carrier.waiters, lambda: session.ended is not None, latest)):
            carrier.end(text, in_order=True)
    if lost:
        log.warning("%d messages to %s were not acknowledged in time: %s", lost, carrier.address, text)

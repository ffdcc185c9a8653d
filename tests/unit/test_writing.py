"""When what was sent is written: at once, or at the end of the burst that it may be a part of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tcpconn
from tcpconn.caretaker import Caretaker
from tcpconn.writing import LinkWriter

DEADLINE = 10.0


@pytest.fixture
def bursting(monkeypatch: pytest.MonkeyPatch) -> Iterator[tcpconn.Connection]:
    """A connection in the middle of a burst that nobody else ends, and that lasts longer than any stop of this process."""
    with (
        tcpconn.listen("127.0.0.1:0", backend="tcp") as listener,
        tcpconn.connect(listener.address, backend="tcp") as near,
        listener.accept(DEADLINE) as far,
    ):
        near.send(b"begins it")
        assert far.receive(DEADLINE) == b"begins it"
        near.carrier.flush_interval = 3600.0
        monkeypatch.setattr(near.carrier.keeper, "owe_flush", lambda carrier: None)
        yield near


def test_a_short_message_of_a_burst_is_left_to_its_end(bursting: tcpconn.Connection) -> None:
    carrier = bursting.carrier
    assert carrier.session is not None
    # Held, lest it go along with an acknowledgement meanwhile.
    with carrier.lock:
        bursting.send(b"short")
        assert carrier.session.outbox.has_output


@pytest.mark.parametrize("length", [70_000, 200_000, 1 << 20])
def test_a_long_message_of_a_burst_is_written_at_once(bursting: tcpconn.Connection, length: int) -> None:
    carrier = bursting.carrier
    assert carrier.session is not None
    bursting.send(b"short")
    bursting.send(bytes(length))
    with carrier.lock:
        # Whoever is writing goes on with all that there is.
        assert carrier.blocked or carrier._writing or not carrier.session.outbox.has_output


class Bursting(LinkWriter):
    """What the caretaker knows of a carrier whose burst it ends."""

    def __init__(self, caretaker: Caretaker, flush_interval: float) -> None:
        super().__init__("nowhere", caretaker, flush_interval)
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1

    def link_lost(self, reason: Exception | None) -> None:
        raise AssertionError(reason)

    def interrupted(self) -> None:
        raise AssertionError


def test_a_burst_does_not_wait_for_one_of_a_connection_with_a_longer_interval() -> None:
    # Its thread does not run: what it does is done here, up to where it sleeps.
    caretaker = Caretaker()
    slow, quick = Bursting(caretaker, 3600.0), Bursting(caretaker, 0.0005)
    caretaker.owe_flush(slow)
    woken = []
    for carrier in (slow, quick):
        caretaker._asleep = True
        assert caretaker._timeout() == 3600.0
        caretaker.owe_flush(carrier)
        woken.append(not caretaker._asleep)
    assert woken == [False, True]
    # It looks anew, and ends them all.
    assert caretaker._timeout() == 0.0005
    caretaker._run_flushes()
    assert quick.flushed == 1
    assert slow.flushed == 2
    for end in (caretaker._waker, caretaker._wake_end, caretaker._selector):
        end.close()

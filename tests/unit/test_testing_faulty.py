"""The faulty transport of `tcpconn.testing`, around the memory backend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tcpconn
from tcpconn.address import Address
from tcpconn.testing import FaultyTransport
from tcpconn.testing.contract import Ends
from tcpconn.testing.contract.ends import LIMIT
from tcpconn.transport import LinkOptions, load_transport


@pytest.fixture
def faults() -> FaultyTransport:
    return FaultyTransport(load_transport("memory"), record=True)


@pytest.fixture
def ends(faults: FaultyTransport) -> Iterator[Ends]:
    ends = Ends(faults, Address("here", 0), LinkOptions())
    yield ends
    ends.settle()


def test_a_cut_is_told_to_both_ends_once_and_loses_what_is_under_way(ends: Ends, faults: FaultyTransport) -> None:
    near, far = ends.join()
    ends.send(near, [b"lost"])
    assert faults.cut() == 2
    assert faults.cut() == 0
    ends.drive(lambda: near.lost and far.lost)
    for end in (near, far):
        assert end.link.channel.read(0) == 0
        assert len(end.sink.losses) == 1
        assert isinstance(end.sink.losses[0], ConnectionResetError)
        assert not end.sink.data
        with pytest.raises(BrokenPipeError):
            end.link.write([b"x"])


def test_a_stalled_link_holds_what_is_written_until_it_resumes(ends: Ends, faults: FaultyTransport) -> None:
    near, far = ends.join()
    faults.stall()
    ends.send(near, [b"held "])
    ends.turn(0.01)
    ends.send(near, [b"back"])
    ends.turn(0.01)
    assert not far.sink.data
    faults.resume()
    ends.drive(lambda: far.sink.data == b"held back")


def test_links_are_refused_until_they_are_accepted_again(ends: Ends, faults: FaultyTransport) -> None:
    faults.refuse()
    with pytest.raises(ConnectionRefusedError):
        ends.dial()
    faults.accept()
    ends.join()


def test_what_is_written_is_recorded(ends: Ends, faults: FaultyTransport) -> None:
    near, _ = ends.join()
    ends.send(near, [b"one ", bytearray(b"two")])
    assert bytes(faults.made[0].written) == b"one two"


def test_a_connection_survives_a_hundred_cuts_of_its_memory_links(faults: FaultyTransport) -> None:
    with (
        faults.installed(),
        tcpconn.listen("there:0", backend="memory") as listener,
        tcpconn.connect(listener.address, backend="memory") as near,
    ):
        far = listener.accept(LIMIT)
        for index in range(100):
            near.send(b"%d" % index)
            faults.cut()
            assert far.receive(timeout=LIMIT) == b"%d" % index
        near.flush(LIMIT)
    assert len(faults.made) > 2
    assert load_transport("memory") is not faults

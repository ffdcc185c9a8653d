"""What a peer may ask for that costs it nothing: how much, how fast, and what happens beyond."""

from __future__ import annotations

import pytest

from engine import Joined, hello, new_session, receive
from tcpconn import frames
from tcpconn.demands import IDLE_AT_ONCE, IDLE_PER_SECOND, OPENS_PER_SECOND, Allowance
from tcpconn.errors import ProtocolError
from tcpconn.frames import FIRST, Code, Frame, FrameType
from tcpconn.session import Session


def test_an_allowance_gives_its_burst_at_once_and_its_rate_for_long() -> None:
    allowance = Allowance(rate=10, burst=5)

    assert allowance.spend(5, now=100.0)
    assert allowance.spend(1, now=100.25)
    assert not allowance.spend(2, now=100.25)
    assert allowance.spend(5, now=101.0), "the debt is paid back, too"
    assert not allowance.spend(6, now=1000.0), "no more than the burst is saved up"


def test_a_clock_that_goes_back_gives_nothing_and_takes_nothing() -> None:
    allowance = Allowance(rate=10, burst=5)

    assert allowance.spend(5, now=100.0)
    assert allowance.spend(0, now=50.0)
    assert not allowance.spend(1, now=50.0)


def server() -> Session:
    session = new_session(client=False)
    session.link_up(0)
    session.stirred = False
    return session


def settle(session: Session, now: float) -> None:
    assert session.stirred
    assert session.demands.due
    session.demands.settle(now, "the client")


def opened(count: int) -> bytes:
    return b"".join(frames.open_stream(2 * number + 1, f"{number}", None).encode() for number in range(count))


IDLE = {
    "PING": frames.ping(1),
    "PONG": frames.pong(1),
    "an ACK of nothing new": frames.ack(0),
    "CREDIT of nothing": frames.credit(0, 0),
    "GOAWAY": frames.goaway(Code.SHUTTING_DOWN, ""),
}


@pytest.mark.parametrize("kind", IDLE)
def test_frames_that_carry_nothing_are_allowed_up_to_the_edge_and_no_further(kind: str) -> None:
    session = server()
    frame = IDLE[kind].encode()

    receive(session, frame * IDLE_AT_ONCE)
    settle(session, 10.0)
    receive(session, frame * IDLE_PER_SECOND)
    settle(session, 11.0)
    receive(session, frame)

    with pytest.raises(ProtocolError, match="frames a second that carry nothing") as caught:
        settle(session, 11.0)
    assert caught.value.code == Code.TOO_FAST


def test_empty_chunks_and_resets_of_what_is_over_count_as_carrying_nothing() -> None:
    session = server()
    begun = frames.open_stream(1, "a", None).encode() + Frame(FrameType.DATA, FIRST, 1, b"\xff" * 8).encode()
    receive(session, begun + Frame(FrameType.DATA, 0, 1).encode() * 1000 + frames.reset(1, Code.CANCELLED, "").encode())
    session.take()
    receive(session, frames.reset(1, Code.CANCELLED, "").encode() * (IDLE_AT_ONCE - 999))

    with pytest.raises(ProtocolError, match="carry nothing"):
        settle(session, 10.0)


def test_empty_messages_and_acknowledgements_are_none_of_them() -> None:
    joined = Joined()
    stream, _ = joined.open()
    joined.client.demands.settle(0.0, "")
    joined.server.demands.settle(0.0, "")

    for _ in range(100):
        assert joined.client.outbox.send(stream, b"")
        joined.settle()
        joined.server.acknowledge()
        joined.settle()

    assert not joined.client.demands.due
    assert not joined.server.demands.due


def test_as_many_streams_may_be_opened_at_once_as_may_be_open_and_a_rate_for_long() -> None:
    session = new_session(client=False, ours=hello(max_streams=100_000))
    session.link_up(0)
    ends = b"".join(frames.close(2 * number + 1).encode() for number in range(OPENS_PER_SECOND))
    receive(session, opened(100_000))
    settle(session, 5.0)
    # Room for others.
    for number in range(OPENS_PER_SECOND):
        session.mux.close(session.mux.streams[2 * number + 1])
    receive(session, ends)
    more = opened(100_000 + 2 * OPENS_PER_SECOND)[len(opened(100_000)) :]
    half = len(opened(100_000 + OPENS_PER_SECOND)) - len(opened(100_000))

    receive(session, more[:half])
    settle(session, 5.0)
    session.mux.ours = hello(max_streams=1_000_000)
    receive(session, more[half:])
    with pytest.raises(ProtocolError, match="connections a second") as caught:
        settle(session, 5.5)
    assert caught.value.code == Code.TOO_FAST


def test_a_session_without_a_link_holds_no_buffer_to_receive_into() -> None:
    session = server()
    assert len(session.get_buffer()) > 0
    session.link_down()
    assert len(session.get_buffer()) == 0
    session.link_up(0)
    assert len(session.get_buffer()) > 0
    session.end("enough")
    assert len(session.get_buffer()) == 0

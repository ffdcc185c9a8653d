"""One session over many links: acknowledgement, replay, goodbyes, and what is lost at the end."""

from __future__ import annotations

import random

import pytest

from engine import Joined, frames_of, hello, new_session, receive, take_all
from tcpconn import frames
from tcpconn.errors import ConnectError, ConnectionClosed, ConnectionLost, ProtocolError
from tcpconn.frames import LAST, Code, Frame, FrameType
from tcpconn.session import ACK_BYTES, ACK_FRAMES, Session

MIB = 1 << 20


@pytest.fixture
def joined() -> Joined:
    return Joined()


def kinds(session: Session) -> list[str]:
    """Return the types of the frames that a session gives to write at once."""
    return [FrameType(frame.type).name for frame in frames_of(session.take())]


def send(session: Session, number: int, *messages: bytes) -> None:
    for message in messages:
        assert session.outbox.send(session.mux.streams[number], message)


def acknowledge(joined: Joined) -> None:
    """Have both ends receive what is to be sent, and acknowledge it."""
    joined.settle()
    for client in (True, False):
        joined.end(client).acknowledge()
    joined.settle()


# -- acknowledging


def test_what_is_received_is_acknowledged_when_the_driver_says_so(joined: Joined) -> None:
    joined.open()
    send(joined.client, 1, b"one", b"two")
    joined.settle()
    assert (joined.server.owes_ack, joined.client.acknowledged) == (True, 0)

    assert joined.server.acknowledge()
    joined.settle()

    assert (joined.server.owes_ack, joined.server.acknowledge()) == (False, False)
    assert joined.client.acknowledged == 3
    assert joined.client.kept.bytes == 0
    assert joined.client.settled


def test_many_frames_are_acknowledged_without_being_asked(joined: Joined) -> None:
    joined.open()
    for _ in range(ACK_FRAMES - 1):
        send(joined.client, 1, b"")
    joined.settle()

    assert joined.client.acknowledged == ACK_FRAMES


def test_many_bytes_are_acknowledged_without_being_asked() -> None:
    joined = Joined(server=hello(credit=2 * ACK_BYTES))
    joined.open()
    send(joined.client, 1, bytes(ACK_BYTES))
    joined.settle()

    assert joined.client.acknowledged > 1


def test_bytes_are_acknowledged_along_with_an_answer_of_any_length() -> None:
    joined = Joined(server=hello(credit=2 * ACK_BYTES))
    joined.open()
    send(joined.client, 1, bytes(ACK_BYTES // 2))
    joined.settle()
    assert joined.client.acknowledged == 0

    send(joined.server, 1, bytes(ACK_BYTES // 4))
    joined.settle()

    assert joined.client.acknowledged == joined.server.receiver.count


def test_nothing_is_acknowledged_without_a_link(joined: Joined) -> None:
    joined.open()
    joined.cut()

    assert not joined.server.acknowledge()
    assert joined.server.owes_ack


def test_a_ping_is_answered_and_what_came_before_it_acknowledged_also_in_the_same_read(joined: Joined) -> None:
    joined.open()
    acknowledge(joined)
    send(joined.client, 1, b"one", b"two")
    joined.client.ping()
    joined.settle()

    assert joined.client.settled


def test_a_ping_without_a_link_is_not_sent_later(joined: Joined) -> None:
    joined.cut()
    joined.client.ping()
    joined.resume()

    assert joined.client.take() is None


def test_answers_that_cannot_be_written_do_not_pile_up(joined: Joined) -> None:
    joined.open()
    acknowledge(joined)
    for token in range(1000):
        receive(joined.server, frames.ping(token).encode() + frames.credit(1, 0).encode())

    assert frames_of(joined.server.take()) == [frames.pong(999), frames.ack(1000)]


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (Frame(FrameType.ACK, 0, 0, b"1234567"), "sent a ACK of 7 bytes instead of 8"),
        (Frame(FrameType.PING, 0, 0, b""), "sent a PING of 0 bytes instead of 8"),
        (Frame(FrameType.PONG, 0, 0, bytes(9)), "sent a PONG of 9 bytes instead of 8"),
        (hello().encode(), "sent a second HELLO on one link"),
        (frames.proof(bytes(32)), "sent a PROOF that was not asked for"),
        (Frame(42), "sent a frame of the unknown type 42"),
        (Frame(0), "sent a frame of the unknown type 0"),
        (frames.ack(2), "acknowledged 2 frames; 1 were sent"),
        (Frame(FrameType.GOAWAY, 0, 0, b"1"), "too short for its code"),
    ],
    ids=str,
)
def test_a_frame_of_the_session_that_makes_no_sense_breaks_the_rules(joined: Joined, frame: Frame, text: str) -> None:
    joined.open()

    with pytest.raises(ProtocolError, match=text):
        receive(joined.client, frame.encode())


def test_an_acknowledgement_that_came_before_changes_nothing(joined: Joined) -> None:
    joined.open()
    acknowledge(joined)
    joined.client.stirred = False
    receive(joined.client, frames.ack(0).encode() + frames.ack(1).encode() + frames.pong(5).encode())

    assert joined.client.acknowledged == 1
    assert joined.client.settled


def test_a_peer_that_never_acknowledges_makes_this_end_stop_instead_of_keeping_more_and_more() -> None:
    joined = Joined(client=hello(session_credit=1 << 16))
    mine, theirs = joined.open()
    receive(joined.server, joined_ack(joined))
    limit = 4 * MIB
    most = 0

    for _ in range(200):
        # The peer grants credit for what it reads, but its ACKs get lost on the way.
        while joined.client.outbox.send(mine, bytes(60_000)):
            pass
        joined.write(client=True)
        joined.deliver(client=True)
        take_all(joined.server, theirs)
        most = max(most, joined.client.kept.bytes)
        grants = [frame for frame in frames_of(joined.server.take()) if frame.type == FrameType.CREDIT]
        receive(joined.client, b"".join(frame.encode() for frame in grants))
    assert limit <= most < limit + MIB
    assert joined.client.has_output
    assert not joined.client.outbox.urgent

    receive(joined.client, frames.ack(joined.server.receiver.count).encode())
    assert joined.client.kept.bytes == 0
    assert joined.client.has_urgent_output
    assert joined.client.take()


def joined_ack(joined: Joined) -> bytes:
    return frames.ack(joined.server.kept.framed).encode()


def test_an_answer_to_a_ping_is_written_also_while_the_rest_has_to_stop(joined: Joined) -> None:
    joined.open()
    joined.client.kept.bytes = 1 << 30
    send(joined.client, 1, b"waits")
    receive(joined.client, frames.ping(1).encode())

    assert kinds(joined.client) == ["PONG"]
    assert joined.client.take() is None


def test_a_peer_that_opens_and_closes_without_ever_acknowledging_breaks_the_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tcpconn.session._ENDS_KEPT", 5000)
    session = new_session(client=False, ours=hello(max_streams=1))
    session.link_up(0)
    session.mux.going_away = "closing"

    def flood() -> None:
        for number in range(1, 1 << 20, 2):
            receive(session, frames.open_stream(number, "x", None).encode() + frames.close(number).encode())
            if number % 1000 == 1:
                session.take()

    with pytest.raises(ProtocolError, match="opens and closes connections without acknowledging the answers"):
        flood()
    assert session.receiver.count < 20_000


def test_answers_that_are_acknowledged_may_go_on_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpconn.session._ENDS_KEPT", 5000)
    session = new_session(client=False, ours=hello(max_streams=1))
    session.link_up(0)
    session.mux.going_away = "closing"
    for number in range(1, 14_001, 2):
        receive(session, frames.open_stream(number, "x", None).encode() + frames.close(number).encode())
        if number % 1000 == 1:
            session.take()
            receive(session, frames.ack(session.hello(resume=True).received // 2).encode())

    assert session.receiver.count == 14_000


# -- links that are lost


def test_the_hello_of_the_next_link_says_what_was_received_and_repeats_the_limits() -> None:
    session = new_session(client=False, ours=hello(credit=5000, max_message=77))
    session.link_up(0)
    receive(session, frames.open_stream(1, "a", None).encode())

    assert session.hello(resume=True) == hello(credit=5000, max_message=77, resume=True, received=1)


def test_a_proof_is_said_before_anything_else_on_a_new_link_and_only_there() -> None:
    session = new_session(client=True)
    session.say_goodbye(Code.SHUTTING_DOWN, "soon")
    session.link_up(0)
    session.prove(frames.proof(b"p" * 32))
    assert [frame.type for frame in frames_of(session.take())] == [FrameType.PROOF, FrameType.GOAWAY]
    session.link_down()
    session.link_up(0)
    assert [frame.type for frame in frames_of(session.take())] == [FrameType.GOAWAY]


def test_without_a_link_there_is_nothing_to_write_and_everything_is_kept(joined: Joined) -> None:
    joined.open()
    joined.cut()
    send(joined.client, 1, b"one")

    assert joined.client.take() is None
    assert not joined.client.has_output
    joined.resume()
    joined.settle()
    assert take_all(joined.server, joined.server.mux.streams[1]) == [b"one"]


def conversation() -> tuple[Joined, list[bytes]]:
    """Return two ends with messages of every kind to be written, and what they are."""
    joined = Joined(chunk_size=64, client=hello(max_chunk=256), server=hello(max_chunk=256))
    joined.open()
    stream = joined.client.mux.streams[1]
    send(joined.client, 1, b"", b"one", bytes(range(250)) * 3)
    joined.client.outbox.fill()
    joined.client.outbox.begin_message(stream)
    joined.client.outbox.send_chunk(stream, b"chunk")
    joined.client.outbox.end_message(stream)
    joined.client.mux.close_sending(stream)
    return joined, [b"", b"one", bytes(range(250)) * 3, b"chunk"]


def test_a_link_lost_at_any_byte_loses_and_repeats_nothing() -> None:
    for cut in range(1200):
        joined, messages = conversation()
        theirs = joined.server.mux.streams[1]
        joined.write(client=True)
        size = len(joined.wires[True])
        joined.deliver(cut, client=True)
        joined.cut()
        joined.resume()
        joined.settle()

        received = [joined.server.mux.take(theirs) for _ in messages]
        assert received == messages, f"cut after {cut} bytes"
        with pytest.raises(ConnectionClosed):
            joined.server.mux.take(theirs)
        acknowledge(joined)
        assert joined.client.settled
        if cut > size:
            break
    else:
        pytest.fail("the conversation is longer than was tried")


def test_many_cuts_lose_and_repeat_nothing() -> None:
    generator = random.Random(3)
    joined = Joined()
    mine, theirs = joined.open()
    sent: list[bytes] = []
    received: list[bytes] = []
    for _ in range(300):
        message = generator.randbytes(generator.choice((0, 10, 5000, 200_000)))
        if joined.client.outbox.send(mine, message):
            sent.append(message)
        joined.write(client=True)
        joined.deliver(generator.randrange(300_000), client=True)
        received += take_all(joined.server, theirs)
        joined.write(client=False)
        joined.deliver(generator.randrange(100), client=False)
        if generator.random() < 0.5:
            joined.cut()
            joined.resume()
    joined.settle()
    received += take_all(joined.server, theirs)

    assert received == sent
    assert len(sent) > 50


def test_what_the_peer_has_acknowledged_is_not_sent_again(joined: Joined) -> None:
    joined.open()
    send(joined.client, 1, b"one")
    acknowledge(joined)
    send(joined.client, 1, b"two")
    joined.write(client=True)
    joined.cut()
    joined.resume()

    assert [frame.body for frame in frames_of(joined.client.take())] == [b"two"]


def test_a_batch_that_is_acknowledged_in_part_is_sent_again_in_part(joined: Joined) -> None:
    joined.open()
    send(joined.client, 1, b"one", b"two", b"three")
    joined.write(client=True)
    joined.deliver(15 * 2, client=True)
    joined.cut()
    joined.resume()

    assert [frame.body for frame in frames_of(joined.client.take())] == [b"three"]


def test_what_is_acknowledged_while_it_waits_to_be_sent_again_is_not(joined: Joined) -> None:
    joined.open()
    for index in range(5000):
        send(joined.client, 1, b"%d" % index)
        joined.client.take()
    joined.cut()
    joined.resume()
    receive(joined.client, frames.ack(5000).encode())

    assert [frame.body for frame in frames_of(joined.client.take())] == [b"4999"]
    assert joined.client.take() is None


def test_when_all_that_waits_to_be_sent_again_is_acknowledged_only_what_is_new_is_sent(joined: Joined) -> None:
    joined.open()
    send(joined.client, 1, b"old")
    joined.client.take()
    joined.cut()
    joined.resume()
    receive(joined.client, frames.ack(2).encode())
    assert joined.client.take() is None
    send(joined.client, 1, b"new")

    assert [frame.body for frame in frames_of(joined.client.take())] == [b"new"]


def test_what_is_new_follows_what_is_sent_again(joined: Joined) -> None:
    joined.open()
    send(joined.client, 1, b"old")
    joined.write(client=True)
    joined.cut()
    send(joined.client, 1, b"new")
    joined.resume()
    joined.server.acknowledge()
    receive(joined.client, frames.ping(1).encode())

    assert kinds(joined.client) == ["PONG", "DATA"]
    assert [frame.body for frame in frames_of(joined.client.take())] == [b"new"]


@pytest.mark.parametrize("received", [0, 4])
def test_a_peer_that_resumes_where_it_cannot_be_breaks_the_rules(joined: Joined, received: int) -> None:
    joined.open()
    send(joined.client, 1, b"one", b"two")
    acknowledge(joined)
    joined.cut()

    with pytest.raises(ProtocolError, match=f"resumes after {received} frames; between 3 and 3 can be"):
        joined.client.link_up(received)


def test_an_acknowledgement_of_the_lost_link_is_not_repeated_on_the_next(joined: Joined) -> None:
    joined.open()
    joined.server.acknowledge()
    joined.cut()
    joined.resume()

    assert joined.server.take() is None
    assert joined.client.acknowledged == 1


# -- goodbye


def test_a_goodbye_is_heard_and_nothing_is_opened_any_more(joined: Joined) -> None:
    joined.server.say_goodbye(Code.SHUTTING_DOWN, "closing time")
    joined.settle()

    assert joined.client.farewell == (Code.SHUTTING_DOWN, "closing time")
    assert joined.client.stirred
    for session in (joined.client, joined.server):
        with pytest.raises(ConnectError, match="closing time"):
            session.mux.open("a")


def test_a_goodbye_without_text_is_told_by_its_code(joined: Joined) -> None:
    joined.server.say_goodbye(Code.SHUTTING_DOWN, "")
    joined.settle()

    assert joined.client.mux.going_away == "shutting down"


def test_open_streams_go_on_after_a_goodbye(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.server.say_goodbye(Code.SHUTTING_DOWN, "closing time")
    joined.settle()
    send(joined.client, 1, b"still here")
    joined.settle()

    assert joined.server.mux.take(theirs) == b"still here"
    assert mine.send_failure is None


@pytest.mark.parametrize("delivered", [0, 5, None])
def test_a_goodbye_that_was_lost_with_its_link_is_said_again_on_the_next(joined: Joined, delivered: int | None) -> None:
    joined.server.say_goodbye(Code.SHUTTING_DOWN, "closing time")
    joined.write(client=False)
    joined.deliver(delivered, client=False)
    joined.cut()
    joined.resume()
    joined.settle()

    assert joined.client.farewell == (Code.SHUTTING_DOWN, "closing time")


def test_a_goodbye_without_a_link_is_said_on_the_next(joined: Joined) -> None:
    joined.cut()
    joined.server.say_goodbye(Code.SHUTTING_DOWN, "closing time")
    assert joined.server.take() is None
    joined.resume()
    joined.settle()

    assert joined.client.farewell == (Code.SHUTTING_DOWN, "closing time")


# -- what is there to do


def test_a_session_knows_what_is_urgent(joined: Joined) -> None:
    mine, _ = joined.open()
    acknowledge(joined)
    client = joined.client

    def has() -> tuple[bool, bool]:
        return client.has_output, client.has_urgent_output

    assert has() == (False, False)
    send(client, 1, b"a lone message may wait for others")
    assert has() == (True, False)
    client.ping()
    assert has() == (True, True)
    client.take()
    send(client, 1, bytes(500_000))
    assert has() == (True, True), "a stream waits for its turn"
    while client.take():
        pass
    assert has() == (False, False)
    client.mux.close(mine)
    assert has() == (True, True)


def test_flushing_waits_for_the_frames_that_were_made_so_far(joined: Joined) -> None:
    mine, _ = joined.open()
    assert joined.client.flush_target(mine) == 1
    send(joined.client, 1, b"batched")
    assert joined.client.flush_target(mine) == 2
    send(joined.client, 1, bytes(100_000))
    assert joined.client.flush_target(mine) is None
    joined.settle()
    assert joined.client.flush_target(mine) == 3


def test_flushing_waits_for_a_close_that_has_to_wait() -> None:
    joined = Joined(server=hello(credit=4096))
    mine, theirs = joined.open()
    send(joined.client, 1, b"unread", bytes(10_000))
    joined.client.mux.close(mine)
    joined.settle()
    assert joined.client.flush_target(mine) is None
    assert not joined.client.settled

    while not theirs.got_end:
        take_all(joined.server, theirs)
        joined.settle()
    acknowledge(joined)
    target = joined.client.flush_target(mine)
    assert target is not None
    assert joined.client.acknowledged >= target


def test_a_session_is_settled_when_all_is_acknowledged_and_nothing_waits() -> None:
    joined = Joined(server=hello(credit=4096))
    joined.open()
    settled = []
    for message in (b"unread", bytes(10_000)):
        acknowledge(joined)
        settled.append(joined.client.settled)
        send(joined.client, 1, message)
        settled.append(joined.client.settled)
    acknowledge(joined)
    settled.append(joined.client.settled)

    assert settled == [True, False, True, False, False], "in the end the rest of the message waits for credit"


# -- what is lost


def test_messages_that_were_never_acknowledged_are_counted_for_each_stream(joined: Joined) -> None:
    joined.open("a")
    joined.open("b")
    acknowledge(joined)
    send(joined.client, 1, b"one", b"two")
    send(joined.client, 3, b"three")
    assert joined.client.undelivered() == {1: 2, 3: 1}
    joined.client.take()
    assert joined.client.undelivered() == {1: 2, 3: 1}
    receive(joined.client, frames.ack(3).encode())

    assert joined.client.undelivered() == {1: 1, 3: 1}


def test_a_message_of_many_chunks_counts_as_one_until_its_last_is_acknowledged() -> None:
    joined = Joined(chunk_size=1024, server=hello(max_chunk=1024, credit=8192))
    mine, theirs = joined.open()
    acknowledge(joined)
    send(joined.client, 1, bytes(20_000))
    assert joined.client.undelivered() == {1: 1}
    joined.write(client=True)
    assert joined.client.undelivered() == {1: 1}, "half framed"
    joined.deliver(5000, client=True)
    joined.server.acknowledge()
    joined.settle()
    joined.settle()
    assert not mine.sendq
    count = joined.server.receiver.count
    receive(joined.client, frames.ack(count - 1).encode())
    assert joined.client.undelivered() == {1: 1}, "all but the last chunk are there"
    receive(joined.client, frames.ack(count).encode())

    assert joined.client.undelivered().total() == 0
    assert joined.server.mux.take(theirs) == bytes(20_000)


def test_a_streamed_message_counts_as_one_once_it_has_ended(joined: Joined) -> None:
    mine, _ = joined.open()
    outbox = joined.client.outbox
    outbox.begin_message(mine)
    outbox.send_chunk(mine, b"chunk")
    assert joined.client.undelivered().total() == 0
    outbox.end_message(mine)
    assert joined.client.undelivered() == {1: 1}


def test_queued_messages_of_every_kind_are_counted(joined: Joined) -> None:
    mine, _ = joined.open("a")
    joined.open("b")
    send(joined.client, 3, bytes(500_000))
    send(joined.client, 1, b"whole")
    joined.client.outbox.begin_message(mine)
    joined.client.outbox.send_chunk(mine, b"chunk")
    joined.client.outbox.end_message(mine)

    assert joined.client.undelivered() == {1: 2, 3: 1}


def test_the_end_of_a_session_tells_each_stream_what_is_lost_to_it(joined: Joined) -> None:
    lossy, _ = joined.open("a")
    idle, _ = joined.open("b")
    acknowledge(joined)
    send(joined.client, 1, b"one", b"two")
    joined.write(client=True)
    joined.cut()
    joined.client.end("the link could not be restored")

    with pytest.raises(ConnectionLost, match=r"id 'a' at the server: the link .* undelivered messages: 2") as caught:
        joined.client.mux.take(lossy)
    assert caught.value.undelivered == 2
    assert (joined.client.lost_to(lossy), joined.client.lost_to(idle)) == (2, 0)
    with pytest.raises(ConnectionLost, match="undelivered messages: 0"):
        joined.client.outbox.send(idle, b"")


def test_the_end_in_good_order_closes_the_streams_that_have_lost_nothing(joined: Joined) -> None:
    lossy, _ = joined.open("a")
    idle, _ = joined.open("b")
    acknowledge(joined)
    send(joined.client, 1, b"one")
    joined.client.end("the server has gone", in_order=True)

    with pytest.raises(ConnectionLost):
        joined.client.mux.take(lossy)
    with pytest.raises(ConnectionClosed, match="id 'b' at the server: the server has gone"):
        joined.client.mux.take(idle)


def test_messages_that_arrived_before_the_end_are_still_received(joined: Joined) -> None:
    _, theirs = joined.open()
    send(joined.client, 1, b"before")
    joined.settle()
    joined.server.end("over")

    assert joined.server.mux.take(theirs) == b"before"
    with pytest.raises(ConnectionLost):
        joined.server.mux.take(theirs)


@pytest.mark.parametrize("linked", [True, False])
def test_an_ended_session_has_nothing_to_write_and_ends_only_once(joined: Joined, linked: bool) -> None:
    mine, _ = joined.open()
    send(joined.client, 1, b"one", bytes(300_000))
    joined.client.ping()
    if not linked:
        joined.cut()
    joined.client.stirred = False
    joined.client.end("first")
    joined.client.end("second", in_order=True)

    assert joined.client.ended == "first"
    assert joined.client.stirred
    assert not joined.client.has_output
    assert joined.client.take() is None
    assert joined.client.kept.bytes == 0
    assert joined.client.lost_to(mine) == 2
    assert not joined.client.acknowledge()


def test_an_end_before_the_first_link_harms_nothing() -> None:
    session = new_session(client=True)
    session.mux.open("a")
    session.end("never connected")

    assert session.lost.total() == 0
    assert repr(session) == "<Session 00010203 ended streams=1 unacked=0>"


def test_a_session_shows_its_state(joined: Joined) -> None:
    joined.open()
    assert repr(joined.client) == "<Session 00010203 linked streams=1 unacked=1>"
    joined.cut()
    assert repr(joined.client) == "<Session 00010203 unlinked streams=1 unacked=1>"


def test_bytes_that_come_in_memory_of_their_own_are_acknowledged_as_well(joined: Joined) -> None:
    joined.open()
    joined.server.data_received(b"".join(Frame(FrameType.DATA, 3, 1, b"x").encode() for _ in range(ACK_FRAMES)))

    assert kinds(joined.server) == ["ACK"]


def test_the_end_of_a_message_is_what_counts_it() -> None:
    session = new_session(client=True)
    session.link_up(0)
    session.mux.open("a")
    send(session, 1, bytes(400_000))
    written = frames_of(session.take()) + frames_of(session.take())

    assert sum(frame.flags & LAST == LAST and frame.type == FrameType.DATA for frame in written) == 1
    assert session.undelivered() == {1: 1}

"""The receiving half of the multiplexer: what users take, and the credit that it gives back."""

from __future__ import annotations

from collections import deque

import pytest

from engine import Joined, assert_no_credit_is_lost, hello, receiving, said, send, take_all
from tcpconn.errors import ConnectionClosed, ConnectionLost, MessageTooLarge
from tcpconn.frames import HEADER_SIZE, Code
from tcpconn.stream import Assembled, Stream

SMALL = hello(credit=4096, session_credit=1 << 20)


@pytest.fixture
def joined() -> Joined:
    return Joined()


def test_messages_are_taken_in_order_and_counted(joined: Joined) -> None:
    mine, theirs = joined.open()
    messages = [b"", b"one", bytes(200_000), b"two"]
    for message in messages:
        send(joined.client, mine, message)
        joined.settle()

    assert take_all(joined.server, theirs) == messages
    assert (theirs.messages_received, theirs.bytes_received) == (4, 200_006)
    assert joined.server.mux.take(theirs) is None


@pytest.mark.parametrize("at_once", [1, 7])
def test_many_that_wait_are_taken_in_order(joined: Joined, at_once: int) -> None:
    mine, theirs = joined.open()
    messages = [b"%d" % number for number in range(1000)]
    send(joined.client, mine, *messages[:500])
    joined.settle()
    inbox = joined.server.mux.inbox

    taken: list[bytes] = []
    while len(taken) < 1000:
        if len(taken) >= 250 and mine.messages_sent == 500:
            send(joined.client, mine, *messages[500:])
            joined.settle()
            message = inbox.take(theirs)
            assert message is not None
            inbox.put_back(theirs, message)
        first = inbox.take(theirs)
        assert first is not None
        taken += [first, *inbox.take_run(theirs, at_once - 1)]

    assert taken == messages
    assert (theirs.messages_received, theirs.bytes_received) == (1000, sum(map(len, messages)))


@pytest.mark.parametrize("first", [b"first", Assembled(b"first", 0)], ids=["of one frame", "of several chunks"])
def test_the_first_of_many_is_taken_without_moving_the_others(joined: Joined, first: bytes | Assembled) -> None:
    mine, theirs = joined.open()
    send(joined.client, mine, *[b"behind"] * 100)
    joined.settle()
    theirs.inbox.insert(0, first)
    assert joined.server.mux.take(theirs) == b"first"

    assert isinstance(theirs.inbox, deque)
    assert take_all(joined.server, theirs) == [b"behind"] * 100


def test_credit_is_granted_anew_when_half_of_it_is_consumed() -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open()
    send(joined.client, mine, bytes(1000), bytes(1000), bytes(1000))
    joined.settle()
    joined.server.mux.take(theirs)
    joined.server.mux.take(theirs)
    assert said(joined.server.mux) == []
    joined.server.mux.take(theirs)

    assert said(joined.server.mux) == [f"CREDIT stream=1 +{3 * 1012}"]
    assert theirs.window == 4096


def test_credit_of_the_session_is_granted_when_a_quarter_of_it_is_consumed() -> None:
    joined = Joined(server=hello(credit=65536, session_credit=65536))
    mine, theirs = joined.open()
    send(joined.client, mine, bytes(16_384 - HEADER_SIZE))
    joined.settle()
    assert joined.server.mux.inbox.unconsumed == 16_384
    joined.server.mux.take(theirs)

    assert said(joined.server.mux) == ["CREDIT +16384"]
    assert joined.server.mux.inbox.unconsumed == 0


def test_nothing_is_granted_on_a_stream_that_the_peer_has_ended() -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open()
    send(joined.client, mine, bytes(1500), bytes(1500))
    joined.client.mux.close(mine)
    joined.settle()

    assert len(take_all_but_the_end(joined, theirs)) == 2
    assert said(joined.server.mux) == []
    assert joined.server.mux.inbox.consumed == 3024


def take_all_but_the_end(joined: Joined, stream: Stream) -> list[bytes]:
    messages = []
    while stream.inbox:
        message = joined.server.mux.take(stream)
        assert message is not None
        messages.append(message)
    return messages


def test_a_message_longer_than_the_window_is_granted_as_it_arrives_once_it_is_the_next() -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open()
    send(joined.client, mine, b"first", bytes(20_000))
    joined.settle()
    assert joined.client.outbox.credit >= (1 << 20) - 4096, "a reader that does not read holds one window at most"

    assert joined.server.mux.take(theirs) == b"first"
    joined.settle()
    assert joined.server.mux.take(theirs) == bytes(20_000)
    joined.settle()
    assert_no_credit_is_lost(joined)


def test_a_message_that_was_put_back_is_the_next_and_costs_nothing_more(joined: Joined) -> None:
    mine, theirs = joined.open()
    send(joined.client, mine, b"one", b"two")
    joined.settle()
    theirs.waiting_list().append(object())
    message = joined.server.mux.take(theirs)
    assert message is not None
    consumed = joined.server.mux.inbox.consumed
    joined.server.mux.put_back(theirs, message)

    assert joined.server.mux.woken == [theirs]
    assert (theirs.messages_received, theirs.bytes_received) == (0, 0)
    assert joined.server.mux.take(theirs) == b"one"
    assert joined.server.mux.inbox.consumed == consumed
    assert joined.server.mux.take(theirs) == b"two"


def test_a_message_that_was_put_back_is_dropped_with_the_rest_at_no_cost(joined: Joined) -> None:
    mine, theirs = joined.open()
    send(joined.client, mine, b"one")
    joined.settle()
    message = joined.server.mux.take(theirs)
    assert message is not None
    joined.server.mux.put_back(theirs, message)
    joined.server.mux.close(theirs)

    assert joined.server.mux.inbox.consumed == joined.server.mux.inbox.unconsumed


def test_a_reader_of_pieces_gets_a_whole_message_as_one(joined: Joined) -> None:
    mine, theirs = joined.open()
    assert joined.server.mux.take_piece(theirs) is None
    send(joined.client, mine, b"whole")
    joined.settle()

    assert joined.server.mux.take_piece(theirs) == (b"whole", True)


def test_a_streamed_message_is_read_piece_by_piece_as_it_comes(joined: Joined) -> None:
    mine, theirs = joined.open()
    mux, outbox = joined.server.mux, joined.client.outbox
    outbox.begin_message(mine)
    joined.settle()
    assert mux.take_piece(theirs) is None
    outbox.send_chunk(mine, b"one")
    outbox.send_chunk(mine, b"two")
    joined.settle()
    assert [mux.take_piece(theirs), mux.take_piece(theirs), mux.take_piece(theirs)] == [(b"one", False), (b"two", False), None]
    outbox.send_chunk(mine, b"three")
    outbox.end_message(mine)
    send(joined.client, mine, b"next")
    joined.settle()

    assert [mux.take_piece(theirs), mux.take_piece(theirs)] == [(b"three", True), (b"next", True)]
    assert (theirs.messages_received, theirs.bytes_received) == (2, 15)
    assert joined.server.mux.inbox.consumed == joined.server.mux.inbox.unconsumed


def test_a_streamed_message_is_taken_whole_when_it_is_whole(joined: Joined) -> None:
    mine, theirs = joined.open()
    outbox = joined.client.outbox
    outbox.begin_message(mine)
    outbox.send_chunk(mine, b"one")
    joined.settle()
    assert joined.server.mux.take(theirs) is None
    outbox.send_chunk(mine, b"two")
    outbox.end_message(mine)
    joined.settle()

    assert joined.server.mux.take(theirs) == b"onetwo"
    assert joined.server.mux.inbox.consumed == joined.server.mux.inbox.unconsumed


def test_an_empty_streamed_message_is_an_empty_message(joined: Joined) -> None:
    mine, theirs = joined.open()
    for _ in range(2):
        joined.client.outbox.begin_message(mine)
        joined.client.outbox.end_message(mine)
    joined.settle()

    assert joined.server.mux.take(theirs) == b""
    assert joined.server.mux.take_piece(theirs) == (b"", True)


def test_what_a_reader_of_whole_messages_has_gathered_is_there_for_a_reader_of_pieces(joined: Joined) -> None:
    mine, theirs = joined.open()
    outbox = joined.client.outbox
    outbox.begin_message(mine)
    outbox.send_chunk(mine, b"one")
    outbox.send_chunk(mine, b"two")
    joined.settle()
    assert joined.server.mux.take(theirs) is None

    assert joined.server.mux.take_piece(theirs) == (b"onetwo", False)


def stream_in(joined: Joined, stream: Stream, *chunks: bytes) -> None:
    joined.client.outbox.begin_message(stream)
    for chunk in chunks:
        joined.client.outbox.send_chunk(stream, chunk)
    joined.client.outbox.end_message(stream)
    joined.settle()


def test_a_streamed_message_beyond_max_message_is_skipped_with_an_error_and_the_next_one_follows() -> None:
    joined = Joined(server=hello(max_message=100))
    mine, theirs = joined.open()
    stream_in(joined, mine, bytes(60), bytes(60), bytes(10))
    send(joined.client, mine, b"next")
    joined.settle()

    with pytest.raises(MessageTooLarge, match="a streamed message grew beyond max_message=100 bytes and was skipped"):
        joined.server.mux.take(theirs)
    assert joined.server.mux.take(theirs) == b"next"
    assert joined.server.mux.inbox.consumed == joined.server.mux.inbox.unconsumed


def test_a_streamed_message_beyond_max_message_is_read_piece_by_piece() -> None:
    joined = Joined(server=hello(max_message=100))
    mine, theirs = joined.open()
    stream_in(joined, mine, bytes(60), bytes(60))

    assert [joined.server.mux.take_piece(theirs) for _ in range(2)] == [(bytes(60), False), (bytes(60), True)]


def test_a_message_that_is_being_skipped_does_not_turn_up_without_its_beginning() -> None:
    joined = Joined(server=hello(max_message=100))
    mine, theirs = joined.open()
    joined.client.outbox.begin_message(mine)
    joined.client.outbox.send_chunk(mine, bytes(101))
    joined.settle()
    assert joined.server.mux.take(theirs) is None
    joined.client.outbox.send_chunk(mine, b"the rest")
    joined.settle()
    assert joined.server.mux.take_piece(theirs) is None
    joined.client.outbox.end_message(mine)
    joined.settle()

    with pytest.raises(MessageTooLarge, match="was skipped"):
        joined.server.mux.take_piece(theirs)


def test_a_long_message_behind_a_streamed_one_is_granted_once_that_is_read() -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open()
    stream_in(joined, mine, bytes(500))
    send(joined.client, mine, bytes(20_000))
    joined.settle()
    assert receiving(theirs)

    assert joined.server.mux.take(theirs) == bytes(500)
    joined.settle()
    assert joined.server.mux.take(theirs) == bytes(20_000)


# -- dropping


def test_closing_drops_what_was_received_and_gives_its_credit_back() -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open()
    send(joined.client, mine, bytes(1500), bytes(1500))
    joined.settle()
    joined.server.mux.close(theirs)
    joined.server.mux.close(theirs)

    assert not theirs.inbox
    assert (theirs.consumed, joined.server.mux.inbox.consumed) == (0, 3024)
    with pytest.raises(ConnectionClosed, match="this end has closed it"):
        joined.server.mux.take(theirs)


def test_dropping_a_streamed_message_gives_back_what_was_not_taken_of_it(joined: Joined) -> None:
    mine, theirs = joined.open()
    outbox = joined.client.outbox
    outbox.begin_message(mine)
    for chunk in (b"one", b"two", b"three"):
        outbox.send_chunk(mine, chunk)
    joined.settle()
    assert joined.server.mux.take_piece(theirs) == (b"one", False)
    joined.server.mux.inbox.drop(theirs)

    assert not theirs.inbox
    assert not receiving(theirs)
    assert joined.server.mux.inbox.consumed == joined.server.mux.inbox.unconsumed


def test_dropping_nothing_gives_nothing_back(joined: Joined) -> None:
    _, theirs = joined.open()
    joined.server.mux.inbox.drop(theirs)

    assert joined.server.mux.inbox.consumed == 0
    assert said(joined.server.mux) == []


def test_the_end_of_a_stream_is_told_once_everything_is_taken(joined: Joined) -> None:
    mine, theirs = joined.open()
    stream_in(joined, mine, b"chunk")
    joined.client.outbox.begin_message(mine)
    joined.client.outbox.send_chunk(mine, b"half")
    joined.client.mux.reset(mine, Code.CANCELLED, "gave up")
    joined.settle()

    assert joined.server.mux.take(theirs) == b"chunk"
    assert joined.server.mux.take_piece(theirs) == (b"half", False)
    for take in (joined.server.mux.take, joined.server.mux.take_piece):
        with pytest.raises(ConnectionLost, match="gave up"):
            take(theirs)


def test_a_run_is_what_is_whole_in_one_frame_up_to_a_limit(joined: Joined) -> None:
    mine, theirs = joined.open()
    send(joined.client, mine, b"one", b"", b"three")
    send(joined.client, mine, bytes(1_500_000))
    joined.settle()
    inbox = joined.server.mux.inbox

    assert inbox.take_run(theirs, 2) == [b"one", b""]
    assert inbox.take_run(theirs, 10) == [b"three"]
    assert inbox.take_run(theirs, 10) == []
    assert (theirs.messages_received, theirs.bytes_received) == (3, 8)
    assert take_all(joined.server, theirs) == [bytes(1_500_000)]
    joined.settle()
    assert_no_credit_is_lost(joined)


def test_a_run_gives_way_to_the_message_that_is_being_received_behind_it() -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open()
    send(joined.client, mine, b"one")
    send(joined.client, mine, bytes(20_000))
    joined.settle()
    assert receiving(theirs)
    assert joined.server.mux.inbox.take_run(theirs, 10) == [b"one"]
    joined.settle()

    assert joined.server.mux.take(theirs) == bytes(20_000)


# -- messages longer than their credit


def long_messages(count: int, size: int, **limits: int) -> tuple[Joined, list[tuple[Stream, Stream]]]:
    """Join two ends and have the client send one message on each of several streams."""
    joined = Joined(server=hello(credit=2000, session_credit=16_000, **limits), chunk_size=500)
    streams = [joined.open(f"{number}") for number in range(count)]
    for sending, _ in streams:
        send(joined.client, sending, bytes(size))
    return joined, streams


def received(receiving: Stream) -> int:
    """How many bytes of a stream's messages lie here, whole or not."""
    whole = sum(len(item.data) for item in receiving.inbox if isinstance(item, Assembled))
    return whole + (receiving.assembly.filled if receiving.assembly is not None else 0)


def test_long_messages_together_hold_no_more_than_the_longest_may_be_and_their_credit() -> None:
    joined, streams = long_messages(6, 50_000, max_message=50_000)
    joined.settle()

    inbox = joined.server.mux.inbox
    assert inbox.reserved == 50_000
    held = [received(theirs) for _, theirs in streams]
    assert held[0] == 50_000, "the first has come whole"
    assert max(held[1:]) <= 2000, "the others have used up their credit"

    for _, theirs in streams:
        assert take_all(joined.server, theirs) == [bytes(50_000)], "each in its turn"
        joined.settle()
    assert inbox.reserved == 0
    assert_no_credit_is_lost(joined)


def test_as_many_long_messages_come_at_once_as_there_is_room_for() -> None:
    joined, streams = long_messages(3, 25_000, max_message=50_000)
    joined.settle()

    assert [received(theirs) for _, theirs in streams][:2] == [25_000, 25_000]
    assert received(streams[2][1]) <= 2000


def test_one_byte_more_than_there_is_room_for_waits() -> None:
    joined, streams = long_messages(2, 25_001, max_message=50_001)
    joined.settle()

    assert received(streams[0][1]) == 25_001
    assert received(streams[1][1]) <= 2000


def test_a_message_that_waits_goes_on_when_the_one_before_it_is_given_up() -> None:
    for end in ("closed here", "reset by the peer", "the waiting one"):
        joined, streams = long_messages(3, 50_000, max_message=50_000)
        joined.write(client=True)
        joined.deliver(3000, client=True)
        if end == "closed here":
            joined.server.mux.close(streams[0][1])
        elif end == "reset by the peer":
            joined.client.mux.reset(streams[0][0], Code.CANCELLED, "no more")
        else:
            joined.client.mux.reset(streams[1][0], Code.CANCELLED, "no more")
        joined.settle()
        if end == "the waiting one":
            assert take_all(joined.server, streams[0][1]) == [bytes(50_000)]
        else:
            assert take_all(joined.server, streams[1][1]) == [bytes(50_000)]
        joined.settle()
        assert take_all(joined.server, streams[2][1]) == [bytes(50_000)], end
        joined.settle()
        assert joined.server.mux.inbox.reserved == 0
        assert_no_credit_is_lost(joined)

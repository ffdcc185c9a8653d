"""Streams over one session: opening, closing, consuming, and what the peer says about them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from engine import Joined, assert_no_credit_is_lost, hello, receive, receiving, said, send
from tcpconn import frames
from tcpconn.errors import ConnectError, ConnectionClosed, ConnectionLost, ProtocolError, TcpconnError
from tcpconn.frames import FIRST, HEADER_SIZE, RESET, Code, FrameType
from tcpconn.multiplexer import Multiplexer

SMALL = hello(credit=4096, session_credit=1 << 20)


@pytest.fixture
def joined() -> Joined:
    return Joined()


def new_mux(*, client: bool = False, accepts: bool = True, **limits: Any) -> Multiplexer:
    return Multiplexer(client=client, accepts=accepts, ours=hello(**limits), theirs=hello(), chunk_size=65536, peer="the peer")


def open_body(name: str) -> bytes:
    return frames.open_stream(1, name, None).body


# -- opening


def test_an_opened_stream_appears_at_the_other_end_with_its_name_and_metadata(joined: Joined) -> None:
    joined.client.mux.open("orders", {"tier": 2})
    joined.settle()

    (stream,) = joined.server.mux.opened
    assert (stream.name, stream.metadata, stream.number) == ("orders", {"tier": 2}, 1)


def test_the_client_numbers_its_streams_odd_and_the_server_even() -> None:
    assert [new_mux(client=True).open(name).number for name in "ab"] == [1, 1]
    mux = new_mux()
    assert [mux.open(name).number for name in "ab"] == [2, 4]


def test_an_id_that_is_open_cannot_be_opened_again(joined: Joined) -> None:
    joined.client.mux.open("a")

    with pytest.raises(ConnectError, match="id 'a' is open already in this process's session with the server"):
        joined.client.mux.open("a")


def test_text_and_bytes_are_different_ids(joined: Joined) -> None:
    joined.client.mux.open("a")
    joined.client.mux.open(b"a")
    joined.settle()

    assert [stream.name for stream in joined.server.mux.opened] == ["a", b"a"]


def test_both_ends_may_open_the_same_id(joined: Joined) -> None:
    mine = joined.client.mux.open("a")
    joined.client.mux.accepts = True
    theirs = joined.server.mux.open("a")
    joined.settle()

    assert (mine.send_failure, theirs.send_failure) == (None, None)


def test_no_more_streams_are_opened_than_the_peer_allows() -> None:
    joined = Joined(server=hello(max_streams=2))
    joined.open("a")
    joined.open("b")

    with pytest.raises(ConnectError, match="the server allows 2 connections on one link and they are all open"):
        joined.client.mux.open("c")


def test_a_stream_counts_until_both_ends_have_closed_it_as_the_peer_counts_too() -> None:
    joined = Joined(server=hello(max_streams=1))
    mine, theirs = joined.open("a")
    joined.client.mux.close(mine)
    joined.settle()
    with pytest.raises(ConnectError, match="close some at both ends"):
        joined.client.mux.open("b")

    joined.server.mux.close(theirs)
    joined.settle()

    assert joined.open("b")[1].name == "b"


def test_metadata_that_is_too_large_opens_nothing(joined: Joined) -> None:
    with pytest.raises(ValueError, match="metadata"):
        joined.client.mux.open("a", {"x": bytes(70_000)})

    assert joined.open("a")[0].number == 1


def test_an_open_that_the_peer_does_not_take_ends_with_the_reason() -> None:
    joined = Joined()
    stream = joined.server.mux.open("a")
    joined.settle()

    with pytest.raises(ConnectError, match="the client ended it: nobody listens for connections at this end"):
        joined.server.outbox.send(stream, b"")
    assert joined.server.mux.streams == joined.client.mux.streams == {}


def test_an_id_that_the_peer_has_open_is_refused_to_it_and_the_first_stream_is_unharmed() -> None:
    mux = new_mux()
    mux.peer_opened(1, open_body("a"))
    mux.peer_opened(3, open_body("a"))

    assert said(mux) == ["CLOSE stream=3 reset duplicate id: the id 'a' is open already in this session"]
    assert [stream.number for stream in mux.opened] == [1]
    assert mux.peer_names["a"].number == 1


def test_streams_beyond_max_streams_are_refused_and_the_others_unharmed() -> None:
    mux = new_mux(max_streams=1)
    mux.peer_opened(1, open_body("a"))
    mux.peer_opened(3, open_body("b"))
    assert said(mux) == ["CLOSE stream=3 reset refused: all 1 connections of this link (max_streams) are open"]

    mux.peer_closed(3, 0, b"")
    mux.close(mux.streams[1])
    mux.peer_closed(1, 0, b"")
    mux.peer_opened(5, open_body("c"))

    assert [stream.number for stream in mux.opened] == [1, 5]


def test_a_peer_that_opens_on_and_on_in_spite_of_refusals_breaks_the_rules() -> None:
    mux = new_mux(max_streams=1)

    def open_for_ever() -> None:
        for number in itertools.count(1, 2):
            mux.peer_opened(number, open_body(f"s{number}"))

    with pytest.raises(ProtocolError, match="more than the 1 connections of one link"):
        open_for_ever()
    assert len(mux.streams) < 1100


@pytest.mark.parametrize(("number", "last"), [(2, 0), (0, 0), (1, 1), (3, 5)])
def test_a_number_that_is_not_the_peers_or_not_fresh_breaks_the_rules(number: int, last: int) -> None:
    mux = new_mux()
    if last:
        mux.peer_opened(last, open_body("first"))

    with pytest.raises(ProtocolError, match=rf"opened stream {number} after {last}"):
        mux.peer_opened(number, open_body("a"))


# -- closing


def test_a_half_close_ends_one_direction_and_the_other_goes_on(joined: Joined) -> None:
    mine, theirs = joined.open()
    send(joined.client, mine, b"last")
    joined.client.mux.close_sending(mine)
    joined.client.mux.close_sending(mine)
    with pytest.raises(ConnectionClosed, match="this end has closed it"):
        joined.client.outbox.send(mine, b"more")
    joined.settle()

    assert joined.server.mux.take(theirs) == b"last"
    with pytest.raises(ConnectionClosed, match="the client has closed it"):
        joined.server.mux.take(theirs)
    send(joined.server, theirs, b"answer")
    joined.settle()
    assert joined.client.mux.take(mine) == b"answer"


def test_close_comes_behind_the_messages_that_wait_for_their_turn(joined: Joined) -> None:
    mine, theirs = joined.open()
    send(joined.client, mine, bytes(300_000))
    joined.client.mux.close(mine)
    joined.settle()

    assert joined.server.mux.take(theirs) == bytes(300_000)
    with pytest.raises(ConnectionClosed):
        joined.server.mux.take(theirs)


def test_a_stream_that_both_ends_have_closed_is_forgotten_by_both(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.client.mux.close(mine)
    joined.client.mux.close(mine)
    joined.server.mux.close(theirs)
    joined.settle()

    for session in (joined.client, joined.server):
        assert not session.mux.streams
        assert session.mux.names == session.mux.peer_names == {}


def test_an_id_is_free_again_as_soon_as_it_is_closed(joined: Joined) -> None:
    mine, _ = joined.open("a")
    joined.client.mux.close(mine)

    again, theirs = joined.open("a")

    assert again.number == 3
    send(joined.client, again, b"anew")
    joined.settle()
    assert joined.server.mux.take(theirs) == b"anew"


def test_an_id_is_not_free_while_messages_from_before_its_close_wait_to_be_sent() -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open("a")
    send(joined.client, mine, bytes(10_000))
    joined.client.mux.close(mine)
    with pytest.raises(ConnectError, match="id 'a' is still sending what was sent before it was closed"):
        joined.client.mux.open("a")

    while joined.server.mux.take(theirs) is None:
        joined.settle()
    joined.settle()

    _, fresh = joined.open("a")
    assert fresh.receive_failure is None


def test_whoever_sends_to_a_closed_connection_is_told(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.server.mux.close(theirs)
    joined.settle()
    send(joined.client, mine, b"into the void", b"and more")
    joined.settle()

    with pytest.raises(ConnectionClosed, match="the connection was closed at this end"):
        joined.client.outbox.send(mine, b"")
    assert joined.client.mux.streams == joined.server.mux.streams == {}
    assert_no_credit_is_lost(joined)


def test_closing_in_the_middle_of_a_message_from_the_peer_harms_nothing_else(joined: Joined) -> None:
    joined = Joined(chunk_size=1024, server=hello(max_chunk=1024))
    mine, theirs = joined.open("a")
    other, other_theirs = joined.open("b")
    send(joined.client, mine, bytes(10_000))
    joined.client.mux.close_sending(mine)
    joined.write(client=True)
    joined.deliver(3000, client=True)
    assert receiving(theirs)
    joined.server.mux.close(theirs)
    assert not receiving(theirs)

    send(joined.client, other, b"goes on")
    joined.settle()

    assert joined.server.mux.take(other_theirs) == b"goes on"
    assert 1 not in joined.client.mux.streams
    assert_no_credit_is_lost(joined)


def test_closing_in_the_middle_of_a_streamed_message_from_the_peer_harms_nothing_else(joined: Joined) -> None:
    mine, theirs = joined.open("a")
    joined.client.outbox.begin_message(mine)
    joined.client.outbox.send_chunk(mine, b"chunk")
    joined.settle()
    assert receiving(theirs)
    joined.server.mux.close(theirs)
    assert not receiving(theirs)
    joined.client.outbox.send_chunk(mine, b"chunk")
    joined.client.outbox.end_message(mine)
    joined.client.mux.close_sending(mine)
    joined.settle()

    assert joined.client.mux.streams == joined.server.mux.streams == {}
    assert_no_credit_is_lost(joined)


def test_close_wakes_whoever_waits_on_the_stream(joined: Joined) -> None:
    mine, theirs = joined.open()
    for stream in (mine, theirs):
        stream.waiting_list().append(object())
    joined.client.mux.close(mine)
    assert mine in joined.client.mux.woken
    joined.settle()

    assert theirs in joined.server.mux.woken


# -- resets


def test_a_reset_ends_both_directions_at_both_ends_with_its_text(joined: Joined) -> None:
    mine, theirs = joined.open()
    send(joined.server, theirs, b"unread")
    joined.settle()
    joined.client.mux.reset(mine, Code.CANCELLED, "changed my mind")
    joined.settle()

    with pytest.raises(ConnectionLost, match="id 'a' to the server: changed my mind"):
        joined.client.mux.take(mine)
    for attempt in (joined.server.mux.take, lambda stream: joined.server.outbox.send(stream, b"")):
        with pytest.raises(ConnectionLost, match="the client ended it: changed my mind"):
            attempt(theirs)
    assert joined.client.mux.streams == joined.server.mux.streams == {}
    assert_no_credit_is_lost(joined)


def test_what_arrived_before_a_reset_is_still_received(joined: Joined) -> None:
    mine, theirs = joined.open()
    send(joined.client, mine, b"before")
    joined.client.mux.reset(mine, Code.CANCELLED, "")
    joined.settle()

    assert joined.server.mux.take(theirs) == b"before"
    with pytest.raises(ConnectionLost, match="the client ended it: cancelled"):
        joined.server.mux.take(theirs)


def test_a_second_reset_says_nothing_more(joined: Joined) -> None:
    mine, _ = joined.open()
    joined.client.mux.reset(mine, Code.CANCELLED, "first")
    said(joined.client.mux)
    joined.client.mux.reset(mine, Code.CANCELLED, "second")

    assert said(joined.client.mux) == []
    with pytest.raises(ConnectionLost, match="first"):
        joined.client.mux.take(mine)


def test_a_reset_after_a_half_close_tells_the_peer_to_stop_sending(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.client.mux.close_sending(mine)
    joined.settle()
    joined.client.mux.reset(mine, Code.CANCELLED, "enough")
    joined.settle()

    with pytest.raises(ConnectionLost, match="enough"):
        joined.server.outbox.send(theirs, b"")
    assert joined.client.mux.streams == joined.server.mux.streams == {}


def test_a_reset_of_a_stream_that_is_over_says_nothing(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.client.mux.close_sending(mine)
    joined.server.mux.close_sending(theirs)
    joined.settle()
    joined.client.mux.reset(mine, Code.CANCELLED, "late")

    assert said(joined.client.mux) == []


def test_a_reset_that_crosses_the_peers_close_is_ignored_by_it(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.client.mux.close_sending(mine)
    joined.settle()
    joined.client.mux.reset(mine, Code.CANCELLED, "crossing")
    joined.server.mux.close_sending(theirs)
    joined.settle()

    assert joined.client.mux.streams == joined.server.mux.streams == {}


def test_resets_that_cross_leave_nothing_behind(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.client.mux.reset(mine, Code.CANCELLED, "one")
    joined.server.mux.reset(theirs, Code.CANCELLED, "other")
    joined.settle()

    for session in (joined.client, joined.server):
        assert not session.mux.streams
        assert session.mux.names == session.mux.peer_names == {}


def test_messages_that_a_reset_leaves_unsent_are_counted_as_lost(joined: Joined) -> None:
    joined = Joined(server=SMALL)
    mine, theirs = joined.open()
    send(joined.client, mine, b"sent", bytes(20_000))
    joined.settle()
    joined.server.mux.close(theirs)
    joined.settle()

    with pytest.raises(ConnectionLost, match="undelivered messages: 1") as caught:
        joined.client.outbox.send(mine, b"")
    assert caught.value.undelivered == 1
    assert joined.client.lost_to(mine) == 1
    assert_no_credit_is_lost(joined)


def test_messages_that_this_ends_own_reset_leaves_unsent_are_counted_too() -> None:
    joined = Joined(server=SMALL)
    mine, _ = joined.open()
    send(joined.client, mine, b"sent", bytes(20_000))
    joined.settle()
    joined.client.mux.reset(mine, Code.CANCELLED, "enough")

    with pytest.raises(ConnectionLost, match="enough; undelivered messages: 1") as caught:
        joined.client.outbox.send(mine, b"")
    assert caught.value.undelivered == 1


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.CLOSED, ConnectionClosed),
        (Code.REFUSED, ConnectError),
        (Code.DUPLICATE_ID, ConnectError),
        (Code.INTERNAL_ERROR, ConnectionLost),
        (99, ConnectionLost),
    ],
)
def test_the_code_of_a_reset_decides_the_error(code: int, kind: type[TcpconnError]) -> None:
    mux = new_mux()
    mux.peer_opened(1, open_body("a"))
    mux.peer_closed(1, RESET, frames.reset(1, code, "").body)

    with pytest.raises(kind, match="the peer ended it"):
        mux.take(mux.opened[0])


def test_what_the_peer_says_first_about_the_end_of_a_stream_stays() -> None:
    mux = new_mux()
    mux.peer_opened(1, open_body("a"))
    mux.peer_closed(1, 0, b"")
    mux.peer_closed(1, RESET, frames.reset(1, Code.CANCELLED, "later").body)

    with pytest.raises(ConnectionClosed, match="the peer has closed it"):
        mux.take(mux.opened[0])
    assert mux.streams == {}


@pytest.mark.parametrize(("number", "flags"), [(1, 0), (3, 0), (3, RESET), (2, RESET)])
def test_closing_what_is_not_open_breaks_the_rules(number: int, flags: int) -> None:
    mux = new_mux()
    mux.peer_opened(1, open_body("a"))
    mux.peer_closed(1, 0, b"")

    with pytest.raises(ProtocolError, match=rf"the peer closed stream {number}, which it does not have open"):
        mux.peer_closed(number, flags, frames.reset(number, Code.CLOSED, "").body)


def test_a_reset_of_a_stream_that_is_over_already_is_ignored() -> None:
    mux = new_mux()
    mux.peer_opened(1, open_body("a"))
    mux.close(mux.opened[0])
    mux.peer_closed(1, 0, b"")
    mux.peer_closed(1, RESET, frames.reset(1, Code.CANCELLED, "").body)

    assert mux.streams == {}


@pytest.mark.parametrize("total", [100, frames.UNKNOWN_TOTAL])
def test_closing_in_the_middle_of_its_own_message_breaks_the_rules(joined: Joined, total: int) -> None:
    joined.open()
    beginning = frames.Frame(FrameType.DATA, FIRST, 1, frames.U64.pack(total) + b"chunk")

    with pytest.raises(ProtocolError, match="the client closed stream 1 in the middle of a message"):
        joined.server.data_received(beginning.encode() + frames.close(1).encode())


@pytest.mark.parametrize("total", [100, frames.UNKNOWN_TOTAL])
def test_a_reset_in_the_middle_of_a_message_gives_its_credit_back(total: int) -> None:
    joined = Joined()
    _, theirs = joined.open()
    beginning = frames.Frame(FrameType.DATA, FIRST, 1, frames.U64.pack(total) + b"chunk")
    joined.server.data_received(beginning.encode())
    joined.server.data_received(frames.reset(1, Code.CANCELLED, "gave up").encode())

    for take in (joined.server.mux.take, joined.server.mux.take_piece):
        if total == frames.UNKNOWN_TOTAL and take == joined.server.mux.take_piece:
            # `take` has gathered what came; it is not lost to whoever goes on piece by piece.
            assert take(theirs) == (b"chunk", False)
        with pytest.raises(ConnectionLost, match="gave up"):
            take(theirs)
    assert joined.server.mux.inbox.consumed == joined.server.mux.inbox.unconsumed == len(beginning.body) + HEADER_SIZE
    assert not receiving(theirs)


# -- grants, goodbyes and the end


def test_a_reset_after_the_end_of_the_session_does_not_hide_what_was_lost(joined: Joined) -> None:
    mine, _ = joined.open()
    send(joined.client, mine, b"lost")
    joined.client.outbox.begin_message(mine)
    joined.client.end("the link could not be restored")
    joined.client.mux.reset(mine, Code.CANCELLED, "the sender gave up")

    for attempt in (joined.client.mux.take, lambda stream: joined.client.outbox.send(stream, b"")):
        with pytest.raises(ConnectionLost, match="could not be restored") as caught:
            attempt(mine)
        assert caught.value.undelivered == 1


def test_credit_for_a_stream_that_is_over_means_nothing_and_for_one_that_never_was_breaks_the_rules(joined: Joined) -> None:
    mine, theirs = joined.open()
    joined.client.mux.close(mine)
    joined.server.mux.close(theirs)
    joined.settle()
    joined.client.mux.granted(1, 100)

    for session, number in ((joined.client, 3), (joined.client, 2), (joined.server, 2)):
        with pytest.raises(ProtocolError, match=f"credit on stream {number}, which was never open"):
            session.mux.granted(number, 100)


def test_credit_on_stream_zero_is_for_the_session(joined: Joined) -> None:
    mine, _ = joined.open()
    send(joined.client, mine, bytes(88))
    joined.client.mux.granted(0, 40)
    assert joined.client.outbox.credit == joined.client.mux.theirs.session_credit - 60

    mine.send_credit -= 100
    joined.client.mux.granted(1, 100)
    assert mine.send_credit == joined.client.mux.theirs.credit - 100


def test_nothing_is_opened_to_or_by_a_peer_that_is_told_goodbye() -> None:
    mux = new_mux()
    mux.going_away = "closing time"
    with pytest.raises(ConnectError, match="takes no new connections: closing time"):
        mux.open("a")
    mux.peer_opened(1, open_body("b"))

    assert said(mux) == ["CLOSE stream=1 reset refused: going away: closing time"]


def test_the_end_of_the_session_ends_every_stream_but_keeps_what_was_said_of_its_end(joined: Joined) -> None:
    mine, _ = joined.open("a")
    closed, _ = joined.open("b")
    half, half_theirs = joined.open("c")
    joined.client.mux.close(closed)
    joined.server.mux.close_sending(half_theirs)
    joined.settle()
    mine.waiting_list().append(object())
    failure: Callable[[], TcpconnError] = lambda: ConnectionLost("all is lost")  # noqa: E731
    joined.client.mux.fail(lambda _: failure)

    for stream, kind in ((mine, ConnectionLost), (closed, ConnectionClosed), (half, ConnectionClosed)):
        with pytest.raises(kind):
            joined.client.mux.take(stream)
    for stream, kind in ((mine, ConnectionLost), (closed, ConnectionClosed), (half, ConnectionLost)):
        with pytest.raises(kind):
            joined.client.outbox.send(stream, b"")
    assert joined.client.mux.woken == [mine]


def test_data_after_its_own_close_breaks_the_rules_however_small_it_is(joined: Joined) -> None:
    joined.open()
    data = frames.Frame(FrameType.DATA, 3, 1, b"late").encode()

    with pytest.raises(ProtocolError, match="DATA on stream 1, which it does not have open"):
        receive(joined.server, frames.close(1).encode() + data)

"""The sending half of the multiplexer: accepting, chunking, credit, turns."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import CHUNK, frames_of, hello
from tcpconn import frames
from tcpconn.errors import ConnectionClosed, MessageTooLarge, ProtocolError
from tcpconn.frames import FIRST, HEADER_SIZE, LAST, UNKNOWN_TOTAL, Frame, FrameType
from tcpconn.outbox import BATCH_BYTES, GATHERED_BATCH_BYTES, LONE_BATCH_BYTES, TURN_BYTES, Outbox
from tcpconn.stream import Outgoing, Stream

TOTAL_SIZE = 8
WHOLE = FIRST | LAST


class Box:
    """An outbox with streams; each limit is the peer's."""

    def __init__(self, *, chunk_size: int = CHUNK, **limits: Any) -> None:
        self.theirs = hello(**limits)
        self.woken: list[Stream] = []
        self.ended: list[Stream] = []
        self.outbox = Outbox(self.theirs, chunk_size, "the peer", self.woken, self.ended.append)

    def stream(self, number: int = 1, *, waited_for: bool = False) -> Stream:
        stream = Stream(number, f"s{number}", {}, send_credit=self.theirs.credit, window=0)
        if waited_for:
            stream.waiting_list().append(object())
        return stream

    def written(self) -> list[Frame]:
        """Frame what waits, up to a batch, and take it."""
        outbox = self.outbox
        outbox.fill()
        written = frames_of(outbox.batch)
        assert outbox.batch_frames == len(written)
        assert outbox.batch_bytes == sum(len(frame.encode()) for frame in written)
        outbox.batch = []
        outbox.batch_bytes = outbox.batch_frames = 0
        return written

    def all_written(self) -> Iterator[Frame]:
        while written := self.written():
            yield from written


@pytest.fixture
def box() -> Box:
    return Box()


def spend(box: Box, stream: Stream, left: int) -> None:
    """Use the session's credit up, but for `left` bytes, by messages of a stream."""
    while (rest := box.outbox.credit - left) > 0:
        stream.send_credit = box.theirs.credit
        assert box.outbox.send(stream, bytes(min(rest, box.outbox.frame_limit) - HEADER_SIZE))
    list(box.all_written())


# -- messages of one frame


def test_a_short_message_is_one_frame_and_kept_by_reference(box: Box) -> None:
    payload = b"payload"
    assert box.outbox.send(box.stream(9), payload)

    assert box.outbox.batch[1] is payload
    assert box.written() == [Frame(FrameType.DATA, WHOLE, 9, b"payload")]


def test_an_empty_message_is_a_frame_too_and_costs_its_header(box: Box) -> None:
    stream = box.stream()
    assert box.outbox.send(stream, b"")

    assert box.written() == [Frame(FrameType.DATA, WHOLE, 1, b"")]
    assert stream.send_credit == box.theirs.credit - HEADER_SIZE


def test_a_message_without_credit_on_its_stream_is_refused_and_nothing_of_it_is_taken(box: Box) -> None:
    stream = box.stream()
    stream.send_credit = 100 + HEADER_SIZE - 1

    assert not box.outbox.may_send(stream, 100)
    assert not box.outbox.send(stream, bytes(100))
    assert (stream.send_credit, box.outbox.credit) == (111, box.theirs.session_credit)
    assert box.written() == []
    assert box.outbox.may_send(stream, 99)
    assert box.outbox.send(stream, bytes(99))


def test_a_message_without_credit_of_the_session_waits_and_its_stream_is_told_when_there_is_some() -> None:
    box = Box(credit=4096, session_credit=4096)
    greedy, other = box.stream(1), box.stream(2, waited_for=True)
    spend(box, greedy, 10)

    assert not box.outbox.send(other, b"")
    assert not box.outbox.may_step(other, 0)
    assert box.woken == []
    box.outbox.granted_to_all(500)
    assert box.woken == [other]
    assert box.outbox.send(other, b"")


def test_a_waiting_stream_is_told_again_when_others_took_the_credit_that_it_was_told_of() -> None:
    box = Box(credit=4096, session_credit=4096)
    greedy, other = box.stream(1), box.stream(2, waited_for=True)
    spend(box, greedy, 0)
    assert not box.outbox.send(other, b"")

    box.outbox.granted_to_all(100)
    spend(box, greedy, 0)
    assert not box.outbox.may_send(other, 0)
    box.woken.clear()
    box.outbox.granted_to_all(100)

    assert box.woken == [other]


def test_a_stream_that_waited_for_its_own_credit_is_told_when_the_session_has_some_that_it_lacks_by_then() -> None:
    box = Box(credit=4096, session_credit=4096)
    greedy, other = box.stream(1), box.stream(2, waited_for=True)
    other.send_credit = 0
    assert not box.outbox.send(other, b"")

    spend(box, greedy, 0)
    box.outbox.granted(other, 2048)
    assert not box.outbox.may_send(other, 0)
    box.woken.clear()
    box.outbox.granted_to_all(100)

    assert box.woken == [other]


def test_a_stream_that_nobody_waits_for_is_not_kept_on_the_list_of_the_starved() -> None:
    box = Box(credit=4096, session_credit=4096)
    stream = box.stream()
    spend(box, stream, 0)
    stream.send_credit = 100
    assert not box.outbox.send(stream, b"")
    box.outbox.granted_to_all(0)

    stream.waiting_list().append(object())
    box.outbox.granted_to_all(100)

    assert box.woken == []


def test_the_starved_are_told_in_the_order_in_which_they_were_refused() -> None:
    box = Box(credit=4096, session_credit=4096)
    spend(box, box.stream(1), 0)
    starved = [box.stream(number, waited_for=True) for number in range(2, 40)]
    for stream in starved:
        assert not box.outbox.send(stream, b"")

    box.outbox.granted_to_all(100)

    assert box.woken == starved


def test_sending_on_an_ended_stream_raises_why(box: Box) -> None:
    stream = box.stream()
    stream.send_failure = lambda: ConnectionClosed("it is over")
    outbox = box.outbox

    attempts: list[Callable[[], bool]] = [
        lambda: outbox.send(stream, b""),
        lambda: outbox.send(stream, bytes(1 << 20)),
        lambda: outbox.begin_message(stream),
        lambda: outbox.send_chunk(stream, b""),
        lambda: outbox.end_message(stream),
    ]
    for attempt in attempts:
        with pytest.raises(ConnectionClosed, match="it is over"):
            attempt()
    assert outbox.may_send(stream, 1)
    assert outbox.may_step(stream, 1)
    assert box.written() == []


@pytest.mark.parametrize("length", [1001, 100_000])
def test_a_message_longer_than_the_peer_takes_is_refused_before_anything_is_sent(length: int) -> None:
    box = Box(max_message=1000)
    stream = box.stream()

    with pytest.raises(MessageTooLarge, match=rf"id 's1' to the peer: a message of {length} bytes .* 1000 .*send_stream"):
        box.outbox.send(stream, bytes(length))

    assert box.written() == []
    assert stream.messages_sent == 0
    assert box.outbox.send(stream, bytes(1000))


# -- messages of several frames


def test_a_long_message_announces_its_total_and_is_cut_into_chunks() -> None:
    box = Box(chunk_size=1000, max_chunk=1000)
    message = bytes(range(256)) * 10
    assert box.outbox.send(box.stream(), message)

    first, *rest = box.written()
    assert first.flags == FIRST
    assert frames.U64.unpack(first.body[:TOTAL_SIZE]) == (len(message),)
    assert [frame.flags for frame in rest] == [0] * (len(rest) - 1) + [LAST]
    assert first.body[TOTAL_SIZE:] + b"".join(frame.body for frame in rest) == message
    assert all(len(frame.body) <= 1000 for frame in [first, *rest])


def test_chunks_are_large_while_the_stream_is_alone_and_usual_while_others_wait(box: Box) -> None:
    box.outbox.send(box.stream(1), bytes(300_000))
    alone = box.written()
    assert len(alone[0].body) > 3 * CHUNK

    box.outbox.send(box.stream(3), bytes(300_000))
    box.outbox.send(box.stream(5), bytes(300_000))
    shared = [frame for frame in box.all_written() if frame.stream == 3]
    assert max(len(frame.body) for frame in shared[:-1]) <= CHUNK + len(frames.U64.pack(0))


def test_a_message_of_one_frame_more_than_fits_is_whole_in_one_large_chunk_when_alone(box: Box) -> None:
    message = bytes(box.outbox.frame_limit + 1)
    box.outbox.send(box.stream(), message)

    assert box.written() == [Frame(FrameType.DATA, WHOLE, 1, message)]


def test_nothing_else_of_a_stream_is_accepted_while_a_long_message_is_under_way(box: Box) -> None:
    stream = box.stream(waited_for=True)
    assert box.outbox.send(stream, bytes(1 << 21))
    box.written()

    assert not box.outbox.send(stream, b"short")
    assert not box.outbox.send(stream, bytes(1 << 21))
    assert not box.outbox.begin_message(stream)
    assert not box.outbox.may_send(stream, 1)
    assert not box.outbox.may_send(stream, 1 << 21)


def test_a_long_message_needs_credit_for_one_chunk_to_be_accepted(box: Box) -> None:
    stream = box.stream()
    stream.send_credit = box.outbox.frame_limit - 1

    assert not box.outbox.may_send(stream, 1 << 20)
    assert not box.outbox.send(stream, bytes(1 << 20))


def test_a_message_longer_than_the_window_goes_on_as_credit_comes_and_its_sender_is_told_of_its_end() -> None:
    box = Box(credit=8192, chunk_size=1024)
    stream = box.stream(waited_for=True)
    message = bytes(range(250)) * 200
    assert box.outbox.send(stream, message)

    received = b""
    while not box.woken or stream.held:
        box.woken.clear()
        written = list(box.all_written())
        received += b"".join(frame.body for frame in written)
        used = sum(len(frame.body) + HEADER_SIZE for frame in written)
        assert 0 < used <= 8192
        box.outbox.granted(stream, used)
        box.outbox.granted_to_all(used)

    assert received[TOTAL_SIZE:] == message
    assert stream.send_credit == 8192
    assert box.outbox.credit == box.theirs.session_credit


def test_no_crumbs_are_sent_for_crumbs_of_credit() -> None:
    box = Box(credit=8192, chunk_size=1024)
    stream = box.stream()
    box.outbox.send(stream, bytes(100_000))
    list(box.all_written())

    box.outbox.granted(stream, 500)
    assert box.written() == []
    box.outbox.granted(stream, 1500)
    assert sum(len(frame.body) for frame in box.written()) >= box.outbox.frame_limit


def test_a_long_message_that_lacks_the_sessions_credit_goes_on_when_it_comes() -> None:
    box = Box(credit=8192, session_credit=8192, chunk_size=1024)
    spend(box, box.stream(1), 100)
    assert box.outbox.send(box.stream(2), bytes(5000))
    assert list(box.all_written()) == []

    box.outbox.granted_to_all(8000)

    assert sum(len(frame.body) for frame in box.all_written()) == 5000 + TOTAL_SIZE


def test_a_frame_fits_into_half_the_sessions_credit_since_the_peer_grants_no_sooner() -> None:
    box = Box(credit=1 << 20, session_credit=4096)
    stream = box.stream()
    assert box.outbox.send(stream, bytes(60_000))

    sent = 0
    while stream.held:
        written = list(box.all_written())
        assert written
        used = sum(len(frame.body) + HEADER_SIZE for frame in written)
        sent += used
        box.outbox.granted_to_all(used // 2)
        box.outbox.granted_to_all(used - used // 2)
    assert sent > 60_000


def test_a_message_of_more_than_4_gib_is_announced_and_cut_up() -> None:
    total = (5 << 30) + 1
    box = Box(max_message=1 << 40)
    stream = box.stream()
    # Address space that is never touched: only slices of it are made.
    payload = mmap.mmap(-1, total, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0))
    outgoing = Outgoing(cast(bytes, payload))
    stream.held = True
    stream.enqueue(outgoing)
    outbox = box.outbox
    outbox.granted(stream, 0)

    sizes: list[int] = []
    while stream.held:
        outbox.fill()
        header = outbox.batch[-2]
        if not sizes:
            assert frames.U64.unpack(outbox.batch[0][HEADER_SIZE:]) == (total,)
        sizes += map(len, outbox.batch[1::2])
        outbox.batch.clear()
        outbox.batch_bytes = 0
        used = box.theirs.credit - stream.send_credit
        outbox.granted(stream, used)
        outbox.granted_to_all(used)

    assert sum(sizes) == outgoing.offset == total
    assert frames.HEADER.unpack(header)[1] == LAST
    del outgoing
    stream.sendq = ()


# -- many at once


@given(
    st.lists(st.binary(max_size=40) | st.integers(1000, 5000).map(bytes) | st.just(bytearray(b"x")), max_size=40),
    st.integers(256, 20_000),
    st.integers(256, 20_000),
    st.booleans(),
)
@settings(deadline=None)
def test_a_run_of_messages_is_accepted_as_far_and_accounted_as_if_they_came_one_by_one(
    messages: list[Any], credit: int, session_credit: int, busy: bool
) -> None:
    limits = {"credit": credit, "session_credit": max(credit, session_credit)}
    one, run = Box(**limits), Box(**limits)
    streams = one.stream(), run.stream()
    if busy:
        for box in (one, run):
            other = box.stream(3)
            other.enqueue(b"waits")
            box.outbox.granted(other, 0)
    accepted = -1
    while (further := run.outbox.send_run(streams[1], messages, max(accepted, 0))) != accepted:
        accepted = further
    for message in messages[:accepted]:
        assert one.outbox.send(streams[0], message)
    if accepted < len(messages) and not busy and type(messages[accepted]) is bytes:
        # It stopped for a reason: no credit, or too long for one frame.
        message = messages[accepted]
        assert not one.outbox.may_send(streams[0], len(message)) or len(message) > one.outbox.frame_limit

    for box, stream in zip((one, run), streams, strict=True):
        found = (stream.send_credit, box.outbox.credit, stream.messages_sent, stream.bytes_sent)
        assert found == (streams[0].send_credit, one.outbox.credit, accepted, sum(map(len, messages[:accepted])))
    assert list(run.all_written()) == list(one.all_written())
    assert not (busy and accepted)


def test_a_run_ends_when_the_batch_is_large_enough_to_be_written(box: Box) -> None:
    stream = box.stream()
    messages = [bytes(1000)] * 200

    accepted = box.outbox.send_run(stream, messages, 0)
    accepted = box.outbox.send_run(stream, messages, accepted)
    assert accepted == 65
    assert box.outbox.batch_bytes >= BATCH_BYTES
    assert box.outbox.send_run(stream, messages, 65) == 65
    assert len(box.written()) == 65
    assert box.outbox.send_run(stream, messages, 65) == 130


def test_a_run_of_messages_that_are_gathered_makes_a_larger_batch(box: Box) -> None:
    stream = box.stream()
    messages = [bytes(16 * 1024)] * 40
    accepted = box.outbox.send_run(stream, messages, 0)
    box.written()

    further = box.outbox.send_run(stream, messages, accepted) - accepted
    assert GATHERED_BATCH_BYTES // (16 * 1024) == 16
    assert further == 16
    assert box.outbox.send_run(stream, messages, accepted + further) == accepted + further


def test_a_long_message_that_fits_half_a_window_is_one_frame_when_alone() -> None:
    box = Box(credit=1 << 20)
    most = (1 << 19) - HEADER_SIZE - TOTAL_SIZE
    box.outbox.send(box.stream(1), bytes(most))
    assert [len(frame.body) for frame in box.all_written()] == [most]

    box.outbox.send(box.stream(3), bytes(most + 1))
    bodies = [len(frame.body) for frame in box.all_written()]
    assert len(bodies) > 1
    assert max(bodies) <= (1 << 18) + HEADER_SIZE


def test_no_run_begins_within_a_message_nor_after_the_end(box: Box) -> None:
    stream = box.stream()
    assert box.outbox.begin_message(stream)
    assert box.outbox.send_run(stream, [b"x"], 0) == 0
    ended = box.stream(3)
    ended.send_failure = lambda: ConnectionClosed("over")
    assert box.outbox.send_run(ended, [b"x"], 0) == 0


# -- turns


def test_a_short_message_waits_for_no_more_than_a_batch_of_a_long_one() -> None:
    box = Box(credit=1 << 30, session_credit=1 << 30)
    box.outbox.send(box.stream(1), bytes(100 << 20))
    box.written()
    box.outbox.send(box.stream(3), b"short")

    order = [frame.stream for frame in box.written() + box.written()]
    assert 3 in order
    assert order.index(3) <= 2


def test_streams_take_turns_by_one_frame_each() -> None:
    box = Box(chunk_size=1024, max_chunk=1024)
    for number in (1, 3, 5):
        box.outbox.send(box.stream(number), bytes(10_000))

    order = [frame.stream for frame in box.all_written()]
    assert order[:9] == [1, 3, 5] * 3


def test_of_small_messages_a_stream_frames_so_many_bytes_in_its_turn() -> None:
    box = Box(credit=1 << 30, session_credit=1 << 30)
    streams = [box.stream(number) for number in (1, 3)]
    box.outbox.send(streams[0], bytes(BATCH_BYTES))
    bodies = [number.to_bytes(4, "big") * 250 for number in range(60)]
    for body in bodies:
        for stream in streams:
            assert box.outbox.send(stream, body)
    box.outbox.send(streams[1], bytes(2 * CHUNK))
    box.written()

    in_turn = -(-TURN_BYTES // (1000 + HEADER_SIZE))
    framed = [frame for frame in box.all_written() if len(frame.body) == 1000]
    assert [frame.stream for frame in framed[: 3 * in_turn]] == [1] * in_turn + [3] * in_turn + [1] * in_turn
    for stream in streams:
        assert [frame.body for frame in framed if frame.stream == stream.number] == bodies
    assert all(frame.flags == WHOLE for frame in framed)


def test_a_batch_is_not_filled_further_than_its_size_and_what_comes_then_waits_for_its_turn(box: Box) -> None:
    stream, other = box.stream(1), box.stream(3)
    small = bytes(1000)
    while box.outbox.batch_bytes < BATCH_BYTES:
        assert box.outbox.send(stream, small)
        assert not box.outbox.backlogged

    assert box.outbox.send(stream, b"late")
    assert box.outbox.send(other, b"later")
    assert [box.outbox.backlogged, box.outbox.has_output] == [True, True]
    assert [frame.body for frame in box.written()] == [small] * 65
    assert [frame.body for frame in box.written()] == [b"late", b"later"]
    assert not box.outbox.has_output


def test_a_stream_that_is_alone_fills_a_larger_batch() -> None:
    box = Box(credit=1 << 30, session_credit=1 << 30)
    stream = box.stream()
    small = bytes(100_000)
    for _ in range(30):
        stream.enqueue(small)
    box.outbox.granted(stream, 0)

    assert [len(box.written()), len(box.written())] == [11, 11]
    assert LONE_BATCH_BYTES // len(small) == 10


def test_messages_of_a_stream_stay_in_order_whatever_their_length(box: Box) -> None:
    stream, other = box.stream(1), box.stream(3)
    box.outbox.send(other, bytes(200_000))
    for length in (10, 50_000, 20):
        assert box.outbox.send(stream, bytes(length))
    assert box.outbox.send(stream, bytes(1_200_000))

    bodies = [len(frame.body) for frame in box.all_written() if frame.stream == 1]
    assert bodies[:3] == [10, 50_000, 20]
    assert sum(bodies[3:]) == 1_200_000 + TOTAL_SIZE


# -- messages of unknown total


def test_a_streamed_message_is_chunks_between_a_beginning_and_an_end(box: Box) -> None:
    stream = box.stream(waited_for=True)
    assert box.outbox.begin_message(stream)
    assert box.outbox.send_chunk(stream, b"one")
    assert not box.outbox.send(stream, b"another message")
    assert stream.messages_sent == 0
    assert box.outbox.end_message(stream)

    unknown = frames.U64.pack(UNKNOWN_TOTAL)
    assert [(frame.flags, frame.body) for frame in box.written()] == [(FIRST, unknown), (0, b"one"), (LAST, b"")]
    assert box.woken == [stream]
    assert (stream.messages_sent, stream.bytes_sent) == (1, 3)
    assert stream.send_credit == box.theirs.credit - 3 * HEADER_SIZE - TOTAL_SIZE - 3
    assert box.outbox.send(stream, b"another message")


def test_each_step_of_a_streamed_message_waits_for_credit(box: Box) -> None:
    stream = box.stream()
    stream.send_credit = HEADER_SIZE + TOTAL_SIZE - 1
    assert not box.outbox.begin_message(stream)
    stream.send_credit = HEADER_SIZE + TOTAL_SIZE
    assert box.outbox.begin_message(stream)
    assert not box.outbox.send_chunk(stream, b"chunk")
    assert not box.outbox.end_message(stream)

    stream.send_credit = 2 * HEADER_SIZE + 5
    assert box.outbox.send_chunk(stream, b"chunk")
    assert box.outbox.end_message(stream)
    assert len(box.written()) == 3


def test_a_streamed_message_goes_behind_the_messages_of_its_stream_that_wait_for_their_turn(box: Box) -> None:
    stream, other = box.stream(1), box.stream(3)
    box.outbox.send(other, bytes(200_000))
    assert box.outbox.send(stream, b"before")
    assert box.outbox.begin_message(stream)
    assert box.outbox.send_chunk(stream, b"chunk")
    assert box.outbox.end_message(stream)
    assert box.outbox.send(stream, b"behind")

    bodies = [frame.body for frame in box.all_written() if frame.stream == 1]
    assert bodies == [b"before", frames.U64.pack(UNKNOWN_TOTAL), b"chunk", b"", b"behind"]


# -- the end


def test_close_is_a_frame_and_the_multiplexer_is_told(box: Box) -> None:
    stream = box.stream()
    box.outbox.emit_close(stream)

    assert stream.sent_end
    assert box.ended == [stream]
    assert box.outbox.urgent
    assert box.written() == [frames.close(1)]


def test_close_follows_the_messages_that_wait(box: Box) -> None:
    stream = box.stream()
    box.outbox.send(stream, bytes(200_000))
    stream.closing = True

    assert [frame.type for frame in box.all_written()][-2:] == [FrameType.DATA, FrameType.CLOSE]
    assert box.ended == [stream]


def test_close_does_not_come_into_the_middle_of_a_streamed_message(box: Box) -> None:
    stream = box.stream()
    box.outbox.send(box.stream(3), bytes(200_000))
    box.outbox.begin_message(stream)
    stream.closing = True

    assert [frame.type for frame in box.all_written() if frame.stream == 1] == [FrameType.DATA]
    assert box.ended == []


def test_what_is_abandoned_gives_its_credit_back_to_the_session_and_is_counted(box: Box) -> None:
    filler, waiting = box.stream(3), box.stream(5, waited_for=True)
    stream = box.stream(1, waited_for=True)
    box.outbox.send(filler, bytes(200_000))
    credit = box.outbox.credit
    for length in (10, 20_000):
        assert box.outbox.send(stream, bytes(length))
    box.outbox.begin_message(stream)
    box.outbox.send_chunk(stream, b"chunk")
    box.outbox.end_message(stream)
    assert box.outbox.send(stream, bytes(1 << 20))
    waiting.send_credit = 0
    assert not box.outbox.send(waiting, b"")
    box.woken.clear()

    box.outbox.abandon(stream)

    assert box.outbox.credit == credit
    assert stream.abandoned == 4
    assert box.woken == [stream, waiting]
    assert all(frame.stream == 3 for frame in box.all_written())


def test_abandoning_nothing_changes_nothing(box: Box) -> None:
    stream = box.stream()
    box.outbox.abandon(stream)

    assert stream.abandoned == 0
    assert box.outbox.credit == box.theirs.session_credit
    assert not box.outbox.has_output


# -- the peer's grants


def test_more_credit_than_announced_is_against_the_rules(box: Box) -> None:
    with pytest.raises(ProtocolError, match="granted more credit on stream 1"):
        box.outbox.granted(box.stream(), 1)
    with pytest.raises(ProtocolError, match="granted more than the session credit"):
        box.outbox.granted_to_all(1)


def test_credit_wakes_whoever_waits_on_the_stream(box: Box) -> None:
    stream = box.stream(waited_for=True)
    stream.send_credit = 0
    box.outbox.granted(stream, 10)

    assert box.woken == [stream]
    assert not box.outbox.has_output


def test_other_frames_are_counted_and_urgent(box: Box) -> None:
    box.outbox.emit(frames.credit(3, 100))

    assert box.outbox.urgent
    assert box.outbox.has_output
    assert box.written() == [frames.credit(3, 100)]

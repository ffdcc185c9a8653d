"""The state of one stream and the memory of messages that are under way."""

from __future__ import annotations

import gc
import sys
import tracemalloc

import pytest

from tcpconn.errors import ConnectionClosed
from tcpconn.stream import Assembled, Assembly, Incoming, Outgoing, Piece, Stream


def new_stream() -> Stream:
    return Stream(7, "orders", {"tier": 1}, send_credit=100, window=200)


def test_an_assembly_becomes_the_bytes_that_were_received_into_it() -> None:
    assembly = Assembly(8)
    assembly.write(0, b"he")
    assembly.room(2, 5)[:] = b"llo"
    assembly.write(5, memoryview(b"abc"))

    assert assembly.finish() == b"helloabc"


def test_a_part_that_is_still_being_filled_when_the_message_is_finished_stays_the_same_memory() -> None:
    assembly = Assembly(4)
    late = assembly.room(0, 2)
    assembly.write(0, b"abcd")
    message = assembly.finish()
    late[:] = b"ab"

    assert message == b"abcd"


@pytest.mark.parametrize("total", [0, 1, 2, 300])
def test_the_memory_of_an_assembly_is_its_own_however_small_it_is(total: int) -> None:
    first, second = Assembly(total), Assembly(total)
    first.write(0, b"x" * total)

    assert second.finish() == bytes(total)
    assert first.finish() == b"x" * total


PIECE = Assembly.LEAST_KEPT


def test_a_piece_that_is_the_whole_message_becomes_it_without_a_copy() -> None:
    piece = bytes(PIECE)
    assembly = Assembly(PIECE)
    assembly.keep(0, piece)

    assert assembly.finish() is piece


def test_pieces_and_what_is_copied_between_them_make_one_message() -> None:
    large, view = b"a" * PIECE, memoryview(b"c" * PIECE)
    assembly = Assembly(2 * PIECE + 8)
    assembly.keep(0, large)
    assembly.write(PIECE, b"bbbb")
    assembly.keep(PIECE + 4, view)
    assembly.room(2 * PIECE + 4, 2 * PIECE + 8)[:] = b"dddd"

    assert assembly.finish() == large + b"bbbb" + view + b"dddd"


def test_a_piece_that_comes_again_over_a_new_link_takes_the_place_of_the_first() -> None:
    assembly = Assembly(2 * PIECE)
    assembly.keep(0, b"a" * PIECE)
    assembly.keep(0, b"b" * PIECE)
    assembly.keep(PIECE, b"c" * PIECE)

    assert assembly.finish() == b"b" * PIECE + b"c" * PIECE


def test_what_may_change_or_is_small_is_not_kept() -> None:
    buffer = bytearray(b"x" * PIECE)
    assembly = Assembly(PIECE + 10)
    assembly.write(0, memoryview(buffer)[:5])
    assembly.keep(5, memoryview(buffer)[:5])
    assembly.write(10, memoryview(buffer))
    buffer[:] = bytes(PIECE)

    assert assembly.finish() == b"x" * (PIECE + 10)


def test_a_long_message_is_not_kept_in_pieces_as_it_would_take_its_length_twice() -> None:
    buffer = bytearray(b"x" * PIECE)
    assembly = Assembly(Assembly.MOST_KEPT + 1)
    assembly.keep(0, memoryview(buffer))
    buffer[:] = bytes(PIECE)

    assert assembly.finish() == b"x" * PIECE + bytes(Assembly.MOST_KEPT + 1 - PIECE)


def test_a_message_of_many_small_pieces_is_put_together_as_they_come() -> None:
    tracemalloc.start()
    try:
        assembly = Assembly(20_000)
        for start in range(20_000):
            assembly.keep(start, b"x")
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert held < 40_000
    assert assembly.finish() == b"x" * 20_000


def test_an_assembly_that_is_never_finished_goes_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    complaints: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", complaints.append)
    # In a cycle, as a session and its owner are: then its parts are finalized in any order.
    cycle: list[object] = [Assembly(100_000), Assembly(5)]
    cycle[0].room(0, 50)[:] = bytes(50)  # type: ignore[attr-defined]
    cycle.append(cycle)
    del cycle
    gc.collect()

    assert complaints == []


def test_an_outgoing_message_is_kept_by_reference() -> None:
    payload = b"payload"
    outgoing = Outgoing(payload)

    assert outgoing.view.obj is payload
    assert (outgoing.total, outgoing.offset, outgoing.started) == (7, 0, False)


def test_a_fresh_stream_has_its_credit_and_nothing_else() -> None:
    stream = new_stream()

    assert (stream.send_credit, stream.window) == (100, 200)
    assert stream.metadata == {"tier": 1}
    assert not stream.readable()
    assert repr(stream) == "<Stream 7 id='orders'>"


def test_a_stream_shows_its_state() -> None:
    stream = new_stream()
    stream.inbox += [b"one", Assembled(b"two", 3)]
    stream.enqueue(Piece(0, b"three"))
    stream.held = stream.got_end = True

    assert repr(stream) == "<Stream 7 id='orders' inbox=2 sendq=1 held got_end>"


def test_a_stream_with_a_whole_message_is_readable() -> None:
    stream = new_stream()
    stream.inbox.append(b"")

    assert stream.readable()


def test_a_stream_that_has_failed_is_readable_since_receiving_raises() -> None:
    stream = new_stream()
    stream.receive_failure = lambda: ConnectionClosed("over")

    assert stream.readable()


def test_a_streamed_message_is_readable_once_it_has_a_chunk_or_its_end_or_never_will() -> None:
    streams = [new_stream() for _ in range(4)]
    waiting, begun, ended, failed = streams
    for stream in streams:
        stream.inbox.append(incoming := Incoming())
        if stream is begun:
            incoming.chunks.append(b"chunk")
        incoming.whole = stream is ended
    failed.receive_failure = lambda: ConnectionClosed("over")

    assert [stream for stream in streams if not stream.readable()] == [waiting]

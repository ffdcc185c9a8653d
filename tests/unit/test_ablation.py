"""Receivers that do without some techniques: the same messages, got in the plainer way that their switches say."""

from __future__ import annotations

import itertools
import random
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tcpconn
from engine import Joined
from receiving import End, conversations, data, fed, split
from tcpconn import frames
from tcpconn.ablation import MakeReceiver, PlainerReceiver, receiver_for
from tcpconn.receiver import RECEIVE_BUFFER, Receiver

SWITCHES = ("receive_in_place", "read_ahead", "reuse_buffers")
PLAINER = [
    receiver_for(tcpconn.Config().replace(**dict(zip(SWITCHES, on, strict=True))))
    for on in itertools.product((True, False), repeat=3)
    if not all(on)
]


def without(switch: str) -> MakeReceiver:
    return receiver_for(tcpconn.Config().replace(**{switch: False}))


def begin_large(end: End, size: int) -> None:
    """Receive the header of a message of `size` bytes and its first bytes."""
    end.receive(data(bytes(size))[:5000])


def test_a_config_that_switches_nothing_off_has_the_plain_receiver() -> None:
    assert receiver_for(tcpconn.Config()) is Receiver


@settings(deadline=None, max_examples=60)
@given(conversation=conversations(), seed=st.integers(0, 1 << 32), make=st.sampled_from(PLAINER))
def test_any_split_of_the_bytes_gives_what_the_usual_receiver_gives(conversation: bytes, seed: int, make: MakeReceiver) -> None:
    def in_pieces(end: End) -> None:
        for piece in split(conversation, random.Random(seed)):
            end.receive(piece)

    def scattered(end: End) -> None:
        for piece in split(conversation, random.Random(seed)):
            end.scatter(piece)

    def either_way(end: End) -> None:
        generator = random.Random(seed)
        for piece in split(conversation, generator):
            generator.choice((end.receive, end.scatter, end.receiver.data_received))(piece)

    usual = fed(conversation, lambda end: end.receive(conversation))
    for feed in (in_pieces, scattered, either_way, lambda end: end.scatter(conversation)):
        assert fed(conversation, feed, make) == usual


@pytest.mark.parametrize("size", [10_000, RECEIVE_BUFFER + 5000, 3 * RECEIVE_BUFFER])
def test_not_in_place_a_large_body_comes_into_a_buffer_that_is_not_its_message(size: int) -> None:
    end = End(1, without("receive_in_place"), credit=8 << 20, max_chunk=8 << 20)
    body = random.Random(size).randbytes(size)
    written = data(body)
    end.receive(written[:5000])
    staging = end.receiver.get_buffer()
    assert staging.obj is end.receiver.get_buffer().obj
    rest = memoryview(written)[5000:]
    while rest:
        staging = end.receiver.get_buffers()[0]
        count = min(len(staging), len(rest))
        staging[:count] = rest[:count]
        end.receiver.buffer_updated(count)
        staging[:count] = bytes(count)
        rest = rest[count:]
    assert end.take() == [body]


def test_not_ahead_a_call_ends_with_the_body() -> None:
    usual, other = End(1, max_chunk=8 << 20, credit=8 << 20), End(1, without("read_ahead"), max_chunk=8 << 20, credit=8 << 20)
    for end in (usual, other):
        begin_large(end, 300_000)
    assert [len(end.receiver.get_buffers()) for end in (usual, other)] == [2, 1]


def test_not_reused_every_read_that_leaves_nothing_is_followed_by_a_new_buffer() -> None:
    end = End(1, without("reuse_buffers"))
    whole, half = data(b"abc"), data(b"abc")[:7]
    before = end.receiver.get_buffer().obj
    end.receive(half)
    assert end.receiver.get_buffer().obj is before
    end.receive(whole[7:])
    assert end.receiver.get_buffer().obj is not before
    assert end.take() == [b"abc"]


def test_a_link_lost_in_the_middle_of_a_staged_body_forgets_it() -> None:
    make = partial(PlainerReceiver, in_place=False, ahead=False, reuse=False)
    end = End(1, make, max_chunk=8 << 20)
    begin_large(end, 300_000)
    end.receiver.link_lost()
    end.receiver.link_up()
    end.receive(data(b"x" * 300_000) + frames.ping(1).encode())
    assert end.take() == [b"x" * 300_000]
    assert len(end.control) == 1


def test_a_session_leaves_also_a_lone_message_to_the_plainer_way() -> None:
    joined = Joined(receiver=without("reuse_buffers"))
    stream, _ = joined.open()
    before = joined.server.get_buffer().obj
    joined.client.mux.outbox.send(stream, b"alone")
    joined.settle()
    assert joined.server.get_buffer().obj is not before

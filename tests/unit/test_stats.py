"""The figures of one logical connection."""

from __future__ import annotations

import dataclasses

import pytest

from tcpconn.frames import HEADER_SIZE
from tcpconn.stats import Stats
from tcpconn.stream import Assembled, Incoming, Stream


def stream() -> Stream:
    return Stream(1, "orders", {}, send_credit=1000, window=1000)


def test_the_figures_are_those_of_the_stream() -> None:
    of = stream()
    of.messages_sent, of.messages_received, of.consumed = 1, 3, 40 + 3 * HEADER_SIZE
    of.send_credit -= 20 + HEADER_SIZE
    of.inbox += [b"small", Assembled(b"large", 0)]
    assert Stats.of(of, reconnects=5) == Stats(
        messages_sent=1, bytes_sent=20, messages_received=3, bytes_received=40, waiting=2, reconnects=5
    )


def test_a_new_connection_has_only_zeros() -> None:
    assert dataclasses.astuple(Stats.of(stream(), 0)) == (0, 0, 0, 0, 0, 0)


def test_a_streamed_message_waits_once_it_is_whole() -> None:
    of = stream()
    incoming = Incoming()
    of.inbox += [b"before", incoming]
    assert Stats.of(of, 0).waiting == 1
    incoming.whole = True
    assert Stats.of(of, 0).waiting == 2


def test_figures_once_read_do_not_change() -> None:
    of = stream()
    read = Stats.of(of, 0)
    of.messages_sent = 9
    assert read.messages_sent == 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        read.messages_sent = 1  # type: ignore[misc]

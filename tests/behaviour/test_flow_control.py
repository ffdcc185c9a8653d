"""Credit: a slow reader stops its own sender and nobody else, and whoever waits to write goes on reading."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Listen, Pair

pytestmark = pytest.mark.flavours("blocking", "asyncio", "uvloop")


def fill(connection: tcpconn.Connection, message: bytes) -> int:
    """Send until the peer's credit is used up, and return how many messages went out."""
    count = 0
    while True:
        try:
            connection.send(message, timeout=0.05)
        except tcpconn.TimedOut:
            return count
        count += 1


def test_a_send_without_credit_times_out_and_has_sent_nothing(pair: Pair) -> None:
    client, server = pair(credit=8192)
    sent = fill(client, bytes(1000))
    assert sent == 8192 // 1012
    with pytest.raises(tcpconn.TimedOut, match=r"granted no credit for 1000 bytes within 0 s; nothing was sent"):
        client.send(bytes(1000), timeout=0)
    assert [len(server.receive(DEADLINE)) for _ in range(sent)] == [1000] * sent
    client.send(b"last", DEADLINE)
    assert server.receive(DEADLINE) == b"last"


def test_a_sender_that_waits_goes_on_when_its_reader_does(pair: Pair) -> None:
    client, server = pair(credit=8192)
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_many, [b"%d" % number + bytes(1000) for number in range(200)])
        for number in range(200):
            assert server.receive(DEADLINE) == b"%d" % number + bytes(1000)
        assert sending.result(DEADLINE) == 200


@pytest.mark.parametrize("how", ["receive", "receive_many", "receive_into"])
def test_a_streamed_message_that_is_too_long_gives_its_credit_back_at_once(listen: Listen, connect: Connect, how: str) -> None:
    settings = {"credit": 8192, "session_credit": 8192, "max_message": 4096, "heartbeat_interval": None}
    listener = listen(**settings)
    client, other = connect(listener.address, **settings), connect(listener.address, **settings)
    server, _ = listener.accept(DEADLINE), listener.accept(DEADLINE)
    client.send_stream([bytes(1000)] * 7)
    client.flush(DEADLINE)
    ways: dict[str, Callable[[], object]] = {
        "receive": lambda: server.receive(DEADLINE),
        "receive_many": lambda: server.receive_many(3, DEADLINE),
        "receive_into": lambda: server.receive_into(bytearray(10_000), DEADLINE),
    }
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(other.send, bytes(4000), DEADLINE)
        with pytest.raises(tcpconn.MessageTooLarge, match="was skipped"):
            ways[how]()
        # And nothing is done at this end any more.
        sending.result(DEADLINE)


def test_many_senders_that_wait_for_credit_all_go_on_also_when_some_give_up(pair: Pair) -> None:
    client, server = pair(credit=8192)
    senders, each = 8, 60

    def send(sender: int) -> int:
        given_up = 0
        for number in range(each):
            message = b"%d %d" % (sender, number) + bytes(100 * (sender + 1))
            while True:
                try:
                    # Some of them time out again and again, also just when it is their turn.
                    client.send(message, 0.001 if sender % 2 else None)
                    break
                except tcpconn.TimedOut:
                    given_up += 1
        return given_up

    with ThreadPoolExecutor(senders) as threads:
        sending = [threads.submit(send, sender) for sender in range(senders)]
        expected = dict.fromkeys(range(senders), 0)
        for _ in range(senders * each):
            sender, number = map(int, server.receive(DEADLINE).rstrip(b"\0").split())
            assert number == expected[sender]
            expected[sender] += 1
        for done in sending:
            done.result(DEADLINE)
    assert set(expected.values()) == {each}


def test_a_message_longer_than_the_credit_passes(pair: Pair) -> None:
    client, server = pair(credit=8192, session_credit=16_384)
    payload = bytes(range(256)) * 1000
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_many, [payload, b"after"])
        assert server.receive(DEADLINE) == payload
        assert server.receive(DEADLINE) == b"after"
        sending.result(DEADLINE)


def test_a_slow_reader_stops_its_own_sender_and_nobody_else(listen: Listen, connect: Connect) -> None:
    listener = listen(credit=16_384)
    slow, fast = connect(listener.address, "slow"), connect(listener.address, "fast")
    ends = {end.id: end for end in (listener.accept(DEADLINE), listener.accept(DEADLINE))}
    stopped_after = fill(slow, bytes(1000))
    for number in range(100):
        fast.send(b"%d" % number)
        assert ends["fast"].receive(DEADLINE) == b"%d" % number
    assert ends["slow"].stats().waiting == stopped_after
    ends["slow"].receive_many(stopped_after, DEADLINE)
    ends["slow"].send(b"thanks")
    assert slow.receive(DEADLINE) == b"thanks"


def test_a_slow_reader_of_the_session_credit_stops_all_and_loses_nothing(listen: Listen, connect: Connect) -> None:
    settings = {"credit": 16_384, "session_credit": 32_768}
    listener = listen(**settings)
    clients = [connect(listener.address, f"{number}", **settings) for number in range(4)]
    sent = {client.id: fill(client, bytes(1000)) for client in clients}
    assert sum(sent.values()) == 32_768 // 1012
    for _ in clients:
        end = listener.accept(DEADLINE)
        for _ in range(sent[end.id]):
            assert end.receive(DEADLINE) == bytes(1000)
    for client in clients:
        client.send(b"room again", DEADLINE)


@pytest.mark.parametrize("size", [100, 60_000, 900_000])
def test_two_ends_that_both_send_before_they_receive_do_not_block_each_other(pair: Pair, size: int) -> None:
    client, server = pair(send_buffer=8192, receive_buffer=8192, credit=4 << 20)
    sent = [b"%d" % number + bytes(size) for number in range(min(2000, 3_000_000 // size))]
    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(end.send_many, sent) for end in (client, server)]:
            assert done.result(DEADLINE) == len(sent)
        receiving = [threads.submit(lambda end: [end.receive(DEADLINE) for _ in sent], end) for end in (client, server)]
        assert [one.result(DEADLINE) for one in receiving] == [sent, sent]


def test_a_large_message_does_not_hold_up_small_ones_of_another_connection(listen: Listen, connect: Connect) -> None:
    listener = listen()
    large, small = connect(listener.address, "large"), connect(listener.address, "small")
    ends = {end.id: end for end in (listener.accept(DEADLINE), listener.accept(DEADLINE))}
    # Nobody receives it, so it is under way for as long as the test lasts.
    large.send(bytes(50_000_000))
    for number in range(50):
        small.send(b"%d" % number)
        assert ends["small"].receive(DEADLINE) == b"%d" % number
    assert ends["large"].receive(DEADLINE) == bytes(50_000_000)

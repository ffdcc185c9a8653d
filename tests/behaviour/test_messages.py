"""Messages: whole, in order, of every size, however they are handed over and taken."""

from __future__ import annotations

import io
import logging
import random
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Echo, Pair

pytestmark = pytest.mark.flavours("blocking", "asyncio", "uvloop", "blocking to asyncio", "asyncio to blocking")

CHUNK = tcpconn.Config().chunk_size
SIZES = [0, 1, 100, 4095, 4096, CHUNK - 21, CHUNK - 20, CHUNK - 19, CHUNK, CHUNK + 1, 300_000, 1 << 20, (1 << 20) + 1, 5 << 20]


def message(size: int) -> bytes:
    return random.Random(size).randbytes(size)


@pytest.mark.parametrize("size", SIZES)
def test_a_message_of_any_size_arrives_whole(pair: Pair, size: int) -> None:
    client, server = pair()
    client.send(message(size))
    assert server.receive(DEADLINE) == message(size)
    server.send(message(size))
    assert client.receive(DEADLINE) == message(size)


def test_messages_of_mixed_sizes_arrive_in_order(echo: Echo, connect: Connect) -> None:
    client = connect(echo().address)
    sent = [message(size) for size in random.Random(7).choices(SIZES[:-2], k=100)]
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_many, sent)
        assert [client.receive(DEADLINE) for _ in sent] == sent
        assert sending.result(DEADLINE) == len(sent)


def test_a_mutable_buffer_may_be_reused_as_soon_as_it_was_sent(pair: Pair) -> None:
    client, server = pair()
    for size in (10, 1_000_000):
        buffer = bytearray(b"a" * size)
        client.send(buffer)
        buffer[:] = b"b" * size
        assert server.receive(DEADLINE) == b"a" * size


def test_any_bytes_like_object_is_a_message(pair: Pair) -> None:
    client, server = pair()
    for payload in (memoryview(b"abcdef")[::2], array("H", [1, 2, 3]), memoryview(bytearray(6)).cast("B", (2, 3))):
        client.send(payload)  # type: ignore[arg-type]
        assert server.receive(DEADLINE) == memoryview(payload).tobytes()


@pytest.mark.parametrize("wrong", ["text", 5, None, [b"x"]])
def test_what_is_no_bytes_like_object_is_refused_and_nothing_is_sent(pair: Pair, wrong: object) -> None:
    client, server = pair()
    with pytest.raises(TypeError, match="bytes-like"):
        client.send(wrong)  # type: ignore[arg-type]
    client.send(b"next")
    assert server.receive(DEADLINE) == b"next"


def test_a_str_is_refused_with_the_remedy(pair: Pair) -> None:
    client, _ = pair()
    with pytest.raises(TypeError, match=r"message\.encode\(\)"):
        client.send("text")  # type: ignore[arg-type]


def test_receive_many_returns_what_has_arrived_and_no_more_than_asked_for(pair: Pair) -> None:
    client, server = pair()
    sent = [b"%d" % number for number in range(50)]
    client.send_many(sent)
    client.flush(DEADLINE)
    assert server.receive_many(20, DEADLINE) == sent[:20]
    assert server.receive_many(1000, DEADLINE) == sent[20:]
    with pytest.raises(ValueError, match="max_messages=0"):
        server.receive_many(0)


def test_receive_with_a_timeout_of_zero_takes_what_has_arrived(pair: Pair) -> None:
    client, server = pair()
    with pytest.raises(tcpconn.TimedOut, match="no message came within 0 s"):
        server.receive(timeout=0)
    client.send(b"here")
    client.flush(DEADLINE)
    assert server.receive(timeout=0) == b"here"


def test_a_receive_that_times_out_loses_nothing(pair: Pair) -> None:
    client, server = pair()
    with pytest.raises(TimeoutError, match=r"no message came within 0\.01 s"):
        server.receive(timeout=0.01)
    client.send(b"late")
    assert server.receive(DEADLINE) == b"late"


def test_receive_into_fills_the_callers_buffer(pair: Pair) -> None:
    client, server = pair()
    buffer = bytearray(200_000)
    for size in (0, 5, 200_000):
        client.send(message(size))
        assert server.receive_into(buffer, DEADLINE) == size
        assert buffer[:size] == message(size)


def test_a_message_longer_than_the_buffer_is_still_there_for_a_larger_one(pair: Pair) -> None:
    client, server = pair()
    client.send_many([b"x" * 100, b"next"])
    with pytest.raises(tcpconn.MessageTooLarge, match="has 100 bytes, the buffer 99"):
        server.receive_into(bytearray(99), DEADLINE)
    assert server.receive_into(bytearray(100), DEADLINE) == 100
    assert server.receive(DEADLINE) == b"next"


def test_receive_view_gives_a_read_only_view(pair: Pair) -> None:
    client, server = pair()
    for size in (5, 1_000_000):
        client.send(message(size))
        view = server.receive_view(DEADLINE)
        assert view == message(size)
        assert view.readonly


def test_a_stream_of_chunks_is_one_message(pair: Pair) -> None:
    client, server = pair()
    with ThreadPoolExecutor(1) as thread:
        chunks: list[bytes | bytearray] = [b"ab", b"", bytearray(b"cd"), message(200_000)]
        sending = thread.submit(client.send_stream, chunks)
        assert server.receive(DEADLINE) == b"abcd" + message(200_000)
        assert sending.result(DEADLINE) == 200_004


def test_an_empty_stream_is_an_empty_message(pair: Pair) -> None:
    client, server = pair()
    assert client.send_stream([]) == 0
    client.send(b"next")
    assert server.receive(DEADLINE) == b""
    assert server.receive(DEADLINE) == b"next"
    client.send_stream(iter(()))
    assert list(server.receive_stream(DEADLINE)) == []


def test_a_file_larger_than_all_credit_is_streamed_in_pieces(pair: Pair) -> None:
    client, server = pair(credit=65_536, session_credit=131_072)
    payload = message(3_000_000)
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_stream, io.BytesIO(payload))
        pieces = list(server.receive_stream(DEADLINE))
        assert sending.result(DEADLINE) == len(payload)
    assert b"".join(pieces) == payload
    assert max(map(len, pieces)) <= 65_536


def test_an_ordinary_message_can_be_received_as_a_stream(pair: Pair) -> None:
    client, server = pair()
    client.send(b"one piece")
    assert list(server.receive_stream(DEADLINE)) == [b"one piece"]


def test_a_receive_stream_that_was_left_off_is_gone_on_with(pair: Pair) -> None:
    client, server = pair()
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_stream, [b"a", b"b", b"c"])
        first = next(server.receive_stream(DEADLINE))
        assert first + b"".join(server.receive_stream(DEADLINE)) == b"abc"
        sending.result(DEADLINE)


def test_a_message_longer_than_the_peer_takes_is_refused_and_nothing_is_sent(pair: Pair) -> None:
    client, server = pair(max_message=1000)
    with pytest.raises(tcpconn.MessageTooLarge, match=r"1001 bytes is longer than the 1000.*max_message.*send_stream"):
        client.send(bytes(1001))
    client.send(bytes(1000))
    assert server.receive(DEADLINE) == bytes(1000)


def test_a_streamed_message_beyond_max_message_is_skipped_by_receive_and_the_next_arrives(pair: Pair) -> None:
    client, server = pair(max_message=1000)
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_stream, [bytes(600), bytes(600)])
        with pytest.raises(tcpconn.MessageTooLarge, match="max_message=1000"):
            server.receive(DEADLINE)
        sending.result(DEADLINE)
    client.send(b"next")
    assert server.receive(DEADLINE) == b"next"


def test_receive_many_hands_over_what_came_before_a_streamed_message_that_is_too_large(pair: Pair) -> None:
    client, server = pair(max_message=1000)
    client.send_many([b"one", b"two"])
    client.send_stream([bytes(1001)])
    client.flush(DEADLINE)
    assert server.receive_many(10, DEADLINE) == [b"one", b"two"]
    with pytest.raises(tcpconn.MessageTooLarge):
        server.receive_many(10, DEADLINE)


def test_iterating_over_a_connection_ends_when_the_peer_closes_it(pair: Pair) -> None:
    client, server = pair()
    client.send_many([b"a", b"", b"b"])
    client.close_sending()
    assert list(server) == [b"a", b"", b"b"]


def test_many_threads_share_a_connection_and_each_threads_messages_stay_in_order(echo: Echo, connect: Connect) -> None:
    client = connect(echo().address)
    threads, count = 6, 150
    payload = message(3000)

    def send(name: int) -> None:
        for number in range(count):
            client.send(b"%d %d " % (name, number) + payload[: number * 20])

    def receive(_: int) -> list[tuple[int, int]]:
        found = []
        for _ in range(count):
            name, number, rest = client.receive(DEADLINE).split(b" ", 2)
            assert rest == payload[: int(number) * 20]
            found.append((int(name), int(number)))
        return found

    with ThreadPoolExecutor(2 * threads) as executor:
        receiving = [executor.submit(receive, name) for name in range(threads)]
        for done in [executor.submit(send, name) for name in range(threads)]:
            done.result(DEADLINE)
        received = [done.result(DEADLINE) for done in receiving]
    assert sorted(found for one in received for found in one) == [(name, n) for name in range(threads) for n in range(count)]
    for one in received:
        for name in range(threads):
            numbers = [number for found, number in one if found == name]
            assert all(earlier < later for earlier, later in pairwise(numbers))


def test_the_stats_count_messages_and_bytes_of_both_directions(pair: Pair) -> None:
    client, server = pair()
    client.send_many([b"abc", b"", message(200_000)])
    client.flush(DEADLINE)
    assert server.stats().waiting == 3
    assert [len(server.receive(DEADLINE)) for _ in range(3)] == [3, 0, 200_000]
    sent, received = client.stats(), server.stats()
    assert (sent.messages_sent, sent.bytes_sent) == (received.messages_received, received.bytes_received) == (3, 200_003)
    assert (received.waiting, received.reconnects, received.messages_sent) == (0, 0, 0)


def test_a_debug_log_shows_every_frame_of_both_directions_in_one_line(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "tcpconn.frames"):
        client, server = pair()
        client.send(b"hello")
        assert server.receive(DEADLINE) == b"hello"
        client.send(bytes(70_000))
        assert server.receive(DEADLINE) == bytes(70_000)
        # A message may be received before its writer has logged it.
        client.flush(DEADLINE)
    lines = [record.getMessage() for record in caplog.records if record.name == "tcpconn.frames"]
    for arrow in ("->", "<-"):
        assert any(f"{arrow} OPEN stream=1 id={client.id!r}" in line for line in lines)
        assert any(f"{arrow} DATA stream=1 first last 5 bytes b'hello'" in line for line in lines)
        assert any(f"{arrow} DATA stream=1 first last 70000 bytes" in line for line in lines)


def test_sending_many_stops_at_the_first_that_cannot_be_sent_and_those_before_it_arrive(pair: Pair) -> None:
    client, server = pair(max_message=1000)
    with pytest.raises(TypeError, match="bytes-like"):
        client.send_many([b"1", bytearray(b"2"), "three", b"4"])  # type: ignore[list-item]
    with pytest.raises(tcpconn.MessageTooLarge):
        client.send_many((b"5", bytes(1001), b"6"))
    client.send(b"7")
    assert [server.receive(DEADLINE) for _ in range(4)] == [b"1", b"2", b"5", b"7"]


def test_messages_of_a_source_that_takes_its_time_arrive_as_they_come(pair: Pair) -> None:
    client, server = pair()
    received = []

    def source() -> Iterator[bytes]:
        for number in range(5):
            yield b"%d" % number
            received.append(server.receive(DEADLINE))

    assert client.send_many(source()) == 5
    assert received == [b"%d" % number for number in range(5)]

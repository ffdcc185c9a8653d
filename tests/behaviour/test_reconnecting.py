"""Links that are lost and come back: every message arrives once and in order, or its sender learns that it did not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from threading import Event

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Lines, Listen
from eventually import eventually
from tcpconn import State

CUTS = 100


def numbered(number: int) -> bytes:
    """A message that is told apart from every other, with a size that varies from empty-ish to several chunks."""
    size = 200_000 if number % 97 == 0 else number * 37 % 5000
    return b"%d " % number + bytes([number % 251]) * size


def test_a_hundred_cuts_in_mid_stream_lose_and_repeat_nothing_in_either_direction(
    line: Lines, listen: Listen, connect: Connect
) -> None:
    listener = listen(linger=DEADLINE)
    between = line(listener)
    client = connect(between.address, linger=DEADLINE)
    server = listener.accept(DEADLINE)
    stop = Event()

    def send(connection: tcpconn.Connection) -> int:
        count = 0
        while not stop.is_set():
            connection.send(numbered(count))
            count += 1
        connection.close_sending()
        return count

    def receive(connection: tcpconn.Connection) -> int:
        count = 0
        for message in connection:
            assert message == numbered(count), f"message {count} begins with {message[:20]!r}"
            count += 1
        return count

    def has_received(goal: int) -> bool:
        return client.stats().messages_received >= goal

    def cut() -> None:
        generator = random.Random(11)
        for number in range(CUTS):
            goal = client.stats().messages_received + generator.randrange(30)
            assert eventually(partial(has_received, goal)), f"nothing arrives after {number} cuts"
            between.cut()

    with ThreadPoolExecutor(5) as threads:
        cutting = threads.submit(cut)
        cutting.add_done_callback(lambda _: stop.set())
        sending = [threads.submit(send, end) for end in (client, server)]
        receiving = [threads.submit(receive, end) for end in (server, client)]
        cutting.result(50)
        sent = [one.result(DEADLINE) for one in sending]
        assert [one.result(DEADLINE) for one in receiving] == sent
    assert min(sent) > CUTS
    # A cut that comes before its link is up makes no reconnect, and over TLS that takes a while.
    assert client.stats().reconnects > CUTS // 4


def test_a_large_message_survives_cuts_in_its_middle(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    client = connect(between.address)
    server = listener.accept(DEADLINE)
    payload = random.Random(5).randbytes(20_000_000)
    with ThreadPoolExecutor(1) as thread:
        client.send(payload)
        receiving = thread.submit(server.receive, DEADLINE)

        def is_over_or_resumed_since(reconnects: int) -> bool:
            return receiving.done() or client.stats().reconnects > reconnects

        cuts = 0
        while not receiving.done():
            before = client.stats().reconnects
            between.cut()
            cuts += 1
            assert eventually(partial(is_over_or_resumed_since, before))
            # Each link lives a little longer: one that is cut as soon as it is up may never carry a chunk.
            wait([receiving], timeout=0.0002 * cuts)
        assert receiving.result(DEADLINE) == payload


def test_a_streamed_message_survives_a_cut(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    client = connect(between.address)
    server = listener.accept(DEADLINE)

    def source() -> object:
        for number in range(200):
            if number % 50 == 25:
                between.cut()
            yield b"%d," % number * 500

    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_stream, source())  # type: ignore[arg-type]
        assert server.receive(DEADLINE) == b"".join(b"%d," % number * 500 for number in range(200))
        sending.result(DEADLINE)


def test_what_is_sent_while_there_is_no_link_arrives_when_it_is_back(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    client = connect(between.address)
    server = listener.accept(DEADLINE)
    between.refuse()
    between.cut()
    assert eventually(lambda: client.state is State.RECONNECTING)
    client.send_many([b"%d" % number for number in range(100)])
    with pytest.raises(tcpconn.TimedOut):
        client.flush(0.05)
    between.accept()
    assert [server.receive(DEADLINE) for _ in range(100)] == [b"%d" % number for number in range(100)]
    client.flush(DEADLINE)
    assert client.state is State.CONNECTED


def test_a_connection_that_is_opened_and_closed_while_there_is_no_link_is_served_in_full(
    line: Lines, listen: Listen, connect: Connect
) -> None:
    listener = listen()
    between = line(listener)
    first = connect(between.address)
    between.refuse()
    between.cut()
    assert eventually(lambda: first.state is State.RECONNECTING)
    with ThreadPoolExecutor(1) as thread:
        # It waits for the link, as its caller wants to know whether there will be one.
        connecting = thread.submit(connect, between.address, "second")
        between.accept()
        second = connecting.result(DEADLINE)
    second.send(b"hello")
    second.close()
    listener.accept(DEADLINE)
    server = listener.accept(DEADLINE)
    assert (server.id, list(server)) == ("second", [b"hello"])


def test_connecting_while_the_link_is_away_fails_in_its_time(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    settings = {"connect_timeout": 1.0}
    first = connect(between.address, **settings)
    between.refuse()
    between.cut()
    assert eventually(lambda: first.state is State.RECONNECTING)
    with pytest.raises(tcpconn.ConnectError, match=r"connect_timeout=1\.0 s"):
        connect(between.address, **settings)


def test_what_has_arrived_can_be_received_though_the_link_was_lost_in_the_middle_of_a_streamed_message(
    line: Lines, listen: Listen, connect: Connect
) -> None:
    listener = listen(resume_timeout=0.3)
    between = line(listener)
    client = connect(between.address, resume_timeout=0.3, credit=8192)
    server = listener.accept(DEADLINE)
    server.send_many([b"one", b"two"])
    server.flush(DEADLINE)

    def chunks() -> Iterator[bytes]:
        yield b"begun"
        between.refuse()
        between.cut()
        # Until there is no credit left, and none will come.
        while True:
            yield bytes(4096)

    with pytest.raises(tcpconn.ConnectionLost):
        client.send_stream(chunks())
    assert [client.receive(DEADLINE), client.receive(DEADLINE)] == [b"one", b"two"]
    with pytest.raises(tcpconn.ConnectionLost):
        client.receive(DEADLINE)


def test_a_link_that_stays_away_ends_in_connection_lost_with_the_count_of_what_is_undelivered(
    line: Lines, listen: Listen, connect: Connect
) -> None:
    listener = listen(resume_timeout=0.3)
    between = line(listener)
    client = connect(between.address, resume_timeout=0.3)
    server = listener.accept(DEADLINE)
    client.send(b"delivered")
    client.flush(DEADLINE)
    between.refuse()
    between.cut()
    assert eventually(lambda: client.state is State.RECONNECTING)
    for number in range(7):
        client.send(b"%d" % number)
    client.send(bytes(300_000))
    with pytest.raises(tcpconn.ConnectionLost, match=r"resume_timeout=0\.3 s.*undelivered messages: 8") as lost:
        client.receive(DEADLINE)
    assert lost.value.undelivered == 8
    uses: list[Callable[[], object]] = [lambda: client.send(b"x"), lambda: client.flush(DEADLINE), client.close]
    for use in uses:
        with pytest.raises(tcpconn.ConnectionLost) as lost:
            use()
        assert lost.value.undelivered == 8
    assert server.receive(DEADLINE) == b"delivered"
    with pytest.raises(tcpconn.ConnectionLost) as lost:
        server.receive(DEADLINE)
    assert lost.value.undelivered == 0
    assert eventually(lambda: listener.sessions == 0)


def test_a_lost_session_is_replaced_by_the_next_connect(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen(resume_timeout=0.1)
    between = line(listener)
    client = connect(between.address, resume_timeout=0.1)
    between.refuse()
    between.cut()
    with pytest.raises(tcpconn.ConnectionLost):
        client.receive(DEADLINE)
    between.accept()
    again = connect(between.address, "again", resume_timeout=0.1)
    again.send(b"hello")
    assert eventually(lambda: listener.accept(DEADLINE).id == "again")


def test_a_server_that_has_forgotten_the_session_ends_it_at_once(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen(resume_timeout=0.1)
    between = line(listener)
    client = connect(between.address, resume_timeout=DEADLINE)
    between.refuse()
    between.cut()
    assert eventually(lambda: listener.sessions == 0)
    between.accept()
    with pytest.raises(tcpconn.ConnectionLost, match="not known here any more"):
        client.receive(DEADLINE)


def test_a_peer_that_falls_silent_is_noticed_on_both_sides_and_the_session_resumes(
    line: Lines, listen: Listen, connect: Connect
) -> None:
    listener = listen(heartbeat_interval=0.1)
    between = line(listener)
    client = connect(between.address, heartbeat_interval=0.1)
    server = listener.accept(DEADLINE)
    between.stall()
    assert eventually(lambda: client.state is State.RECONNECTING)
    assert eventually(lambda: server.state is State.RECONNECTING)
    client.send(b"meanwhile")
    between.resume()
    assert server.receive(DEADLINE) == b"meanwhile"


def test_a_quiet_link_is_kept_alive_by_pings(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen(heartbeat_interval=0.25)
    between = line(listener)
    client = connect(between.address, heartbeat_interval=0.25)
    server = listener.accept(DEADLINE)
    with pytest.raises(tcpconn.TimedOut):
        client.receive(1.0)
    assert (client.state, client.stats().reconnects) == (State.CONNECTED, 0)
    assert server.state is State.CONNECTED


def test_every_change_of_state_is_told_in_order(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    client = connect(between.address)
    seen: list[State] = []
    client.on_state_change(seen.append)
    between.cut()
    assert eventually(lambda: len(seen) == 2)
    listener.close()
    assert eventually(lambda: seen[-1] is State.CLOSED)
    assert seen[:2] == [State.RECONNECTING, State.CONNECTED]
    assert seen[2:] in ([State.DRAINING, State.CLOSED], [State.CLOSED])


def test_a_callback_that_fails_does_not_keep_the_others_from_being_told(
    line: Lines, listen: Listen, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    listener = listen()
    between = line(listener)
    client = connect(between.address)
    seen: list[State] = []

    def fail(state: State) -> None:
        raise LookupError(state)

    client.on_state_change(fail)
    client.on_state_change(seen.append)
    between.cut()
    assert eventually(lambda: seen == [State.RECONNECTING, State.CONNECTED])
    assert "LookupError" in caplog.text


def test_the_first_connect_is_tried_until_the_listener_is_there(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    between.refuse()
    with ThreadPoolExecutor(1) as thread:
        connecting = thread.submit(connect, between.address, connect_timeout=DEADLINE)
        with pytest.raises(tcpconn.ConnectError, match=r"within connect_timeout=0\.1 s.*is the listener running"):
            connect(between.address, connect_timeout=0.1)
        between.accept()
        connecting.result(DEADLINE).send(b"there")
    assert listener.accept(DEADLINE).receive(DEADLINE) == b"there"


def test_two_who_wait_for_one_link_each_wait_for_their_own_time(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    between.refuse()
    with ThreadPoolExecutor(2) as threads:
        short = threads.submit(connect, between.address, connect_timeout=0.3)
        with pytest.raises(tcpconn.ConnectError):
            short.result(DEADLINE)
        waiting = [threads.submit(connect, between.address, connect_timeout=DEADLINE) for _ in range(2)]
        between.accept()
        assert {one.result(DEADLINE).state for one in waiting} == {State.CONNECTED}


def test_twenty_connections_survive_cuts_of_the_link_that_they_share(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    clients = [connect(between.address, f"{number}") for number in range(20)]
    servers = [listener.accept(DEADLINE) for _ in clients]
    for number in range(5):
        between.cut()
        for client in clients:
            client.send(b"%d" % number)
        for server in servers:
            assert server.receive(DEADLINE) == b"%d" % number
    assert len({client.stats().reconnects for client in clients}) == 1


def test_a_listener_that_is_closing_takes_a_lost_session_up_again_and_delivers_what_it_owes(
    line: Lines, listen: Listen, connect: Connect
) -> None:
    listener = listen(linger=DEADLINE)
    between = line(listener)
    client = connect(between.address)
    server = listener.accept(DEADLINE)
    between.stall()
    server.send_many([b"%d" % number for number in range(100)])
    with ThreadPoolExecutor(1) as thread:
        closing = thread.submit(listener.close)
        assert eventually(lambda: server.state is not State.CONNECTED or closing.running())
        between.cut()
        between.resume()
        assert [client.receive(DEADLINE) for _ in range(100)] == [b"%d" % number for number in range(100)]
        closing.result(DEADLINE)
    with pytest.raises(tcpconn.ConnectionClosed):
        client.receive(DEADLINE)

"""How connections and listeners end: in good order, with what was sent before, and with errors that say why."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event, Thread

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Listen, Pair
from eventually import eventually
from flavours import Api
from stranger import Stranger, hello
from tcpconn.frames import Code, FrameType, decode_reason, ping
from tcpconn_tcp import lingering, loop

pytestmark = pytest.mark.flavours("blocking", "asyncio", "uvloop")


def test_what_was_sent_before_the_close_arrives_then_the_peer_learns_of_it(pair: Pair) -> None:
    client, server = pair()
    sent = [b"%d" % number for number in range(500)] + [bytes(2_000_000)]
    with ThreadPoolExecutor(1) as thread:
        client.send_many(sent)
        closing = thread.submit(client.close)
        assert [server.receive(DEADLINE) for _ in sent] == sent
        with pytest.raises(tcpconn.ConnectionClosed, match="has closed it"):
            server.receive(DEADLINE)
        closing.result(DEADLINE)


def test_half_close_ends_one_direction_only(pair: Pair) -> None:
    client, server = pair()
    client.send(b"question")
    client.close_sending()
    assert list(server) == [b"question"]
    server.send(b"answer")
    assert client.receive(DEADLINE) == b"answer"
    with pytest.raises(tcpconn.ConnectionClosed, match="this end has closed it"):
        client.send(b"more")
    server.close()
    with pytest.raises(tcpconn.ConnectionClosed):
        client.receive(DEADLINE)


def test_a_closed_connection_refuses_everything_with_a_reason(pair: Pair) -> None:
    client, _ = pair()
    client.close()
    client.close()
    assert client.state is tcpconn.State.CLOSED
    for use in (lambda: client.send(b"x"), lambda: client.receive(DEADLINE), lambda: client.send_stream([b"x"])):
        with pytest.raises(tcpconn.ConnectionClosed, match="this end has closed it"):
            use()
    assert list(client) == []


def test_sending_to_a_peer_that_has_closed_fails_and_does_not_hang(pair: Pair) -> None:
    client, server = pair()
    server.close()

    def refused() -> bool:
        try:
            client.send(bytes(100_000), timeout=1)
        except tcpconn.ConnectionClosed:
            return True
        return False

    assert eventually(refused)


def test_closing_ends_the_receive_of_another_thread(pair: Pair) -> None:
    client, _ = pair()
    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(client.receive, DEADLINE) for _ in range(3)]
        client.close()
        for one in waiting:
            with pytest.raises(tcpconn.ConnectionClosed):
                one.result(DEADLINE)


def test_a_context_manager_closes_and_lets_the_first_error_through(pair: Pair) -> None:
    client, server = pair()
    with pytest.raises(LookupError), client:
        raise LookupError
    assert client.state is tcpconn.State.CLOSED
    assert list(server) == []


def test_flush_returns_when_the_peers_library_has_everything(pair: Pair) -> None:
    client, server = pair()
    client.send_many([bytes(1000)] * 300)
    client.flush(DEADLINE)
    assert server.stats().waiting == 300


def test_flush_times_out_while_the_peer_takes_no_more(pair: Pair) -> None:
    client, _ = pair(credit=8192)
    # A message that nobody takes keeps the one behind it from getting more than the credit there is.
    client.send_many([b"first", bytes(100_000)])
    with pytest.raises(tcpconn.TimedOut, match=r"not everything was acknowledged within 0\.05 s"):
        client.flush(0.05)


def test_close_lingers_no_longer_than_it_may_and_says_that_something_is_left(pair: Pair) -> None:
    client, server = pair(credit=8192, linger=0.05)
    client.send_many([b"first", bytes(20_000)])
    with pytest.raises(tcpconn.TimedOut, match=r"within linger=0\.05 s"):
        client.close()
    assert server.receive(DEADLINE) == b"first"
    assert server.receive(DEADLINE) == bytes(20_000)


def test_an_abandoned_stream_ends_the_connection_on_both_sides(pair: Pair) -> None:
    client, server = pair()

    def source() -> object:
        yield bytes(1000)
        raise LookupError("the source ran dry")

    with pytest.raises(LookupError):
        client.send_stream(source())  # type: ignore[arg-type]
    with pytest.raises(tcpconn.ConnectionLost, match="gave up in the middle of a message"):
        server.receive(DEADLINE)
    with pytest.raises(tcpconn.ConnectionLost):
        client.send(b"x")


def test_closing_a_listener_ends_its_connections_in_good_order(listen: Listen, connect: Connect) -> None:
    listener = listen()
    client = connect(listener.address)
    server = listener.accept(DEADLINE)
    server.send(b"last words")
    listener.close()
    assert client.receive(DEADLINE) == b"last words"
    with pytest.raises(tcpconn.ConnectionClosed, match="the listener was closed"):
        client.receive(DEADLINE)
    with pytest.raises(tcpconn.ConnectionClosed):
        server.send(b"x")
    with pytest.raises(tcpconn.ConnectionClosed, match=r"listener at .* is closed"):
        listener.accept(DEADLINE)
    assert list(listener) == []


def test_a_new_connection_to_a_closed_listener_is_refused(listen: Listen, connect: Connect) -> None:
    listener = listen()
    client = connect(listener.address)
    listener.accept(DEADLINE)
    listener.close()
    with pytest.raises(tcpconn.ConnectionClosed):
        client.receive(DEADLINE)
    with pytest.raises(tcpconn.ConnectError, match=r"within connect_timeout=0\.2 s"):
        connect(listener.address, connect_timeout=0.2)


def test_an_address_can_be_listened_at_again_after_the_close(listen: Listen, connect: Connect, pool: tcpconn.Pool) -> None:
    first = listen()
    connect(first.address).close()
    first.close()
    assert eventually(lambda: pool.links == 0)
    second = listen(first.address)
    client = connect(second.address)
    client.send(b"again")
    assert second.accept(DEADLINE).receive(DEADLINE) == b"again"


def test_serve_ends_when_its_listener_is_closed_and_waits_for_its_handlers(api: Api, listen: Listen, connect: Connect) -> None:
    listener = listen()
    ended = Event()

    def handler(connection: tcpconn.Connection) -> None:
        connection.send(b"hello")
        list(connection)
        ended.set()

    serving = Thread(target=api.serve, args=(handler, listener))
    serving.start()
    assert connect(listener.address).receive(DEADLINE) == b"hello"
    listener.close()
    serving.join(DEADLINE)
    assert not serving.is_alive()
    assert ended.is_set()


def test_a_handler_that_fails_ends_its_own_connection_only(
    api: Api, listen: Listen, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    listener = listen()

    def handler(connection: tcpconn.Connection) -> None:
        for message in connection:
            connection.send(b"%d" % (1000 // int(message)))

    serving = Thread(target=api.serve, args=(handler, listener))
    serving.start()
    good, bad = connect(listener.address, "good"), connect(listener.address, "bad")
    with caplog.at_level(logging.ERROR, "tcpconn"):
        bad.send(b"0")
        with pytest.raises(tcpconn.ConnectionClosed):
            bad.receive(DEADLINE)
        assert eventually(lambda: "the handler of id 'bad'" in caplog.text)
    assert "ZeroDivisionError" in caplog.text
    good.send(b"8")
    assert good.receive(DEADLINE) == b"125"
    listener.close()
    serving.join(DEADLINE)


def test_a_handler_that_returns_closes_its_connection(api: Api, listen: Listen, connect: Connect) -> None:
    listener = listen()
    serving = Thread(target=api.serve, args=(lambda connection: connection.send(b"bye"), listener))
    serving.start()
    assert list(connect(listener.address)) == [b"bye"]
    listener.close()
    serving.join(DEADLINE)


def test_a_peer_that_leaves_right_after_its_answer_has_left_in_good_order(api: Api, backend: str, listen: Listen) -> None:
    listener = listen()
    for _ in range(20):
        with api.Pool() as pool, api.connect(listener.address, backend=backend, pool=pool) as client:
            server = listener.accept(DEADLINE)
            server.send(b"answer")
            assert client.receive(DEADLINE) == b"answer"
        with pytest.raises(tcpconn.ConnectionClosed):
            server.receive(DEADLINE)


def test_what_waits_for_credit_when_the_peer_closes_is_counted_as_undelivered(pair: Pair) -> None:
    client, server = pair(credit=8192)
    client.send_many([b"first", bytes(20_000)])
    server.close()
    with pytest.raises(tcpconn.ConnectionLost, match="undelivered messages: 1") as lost:
        client.flush(DEADLINE)
    assert lost.value.undelivered == 1
    with pytest.raises(tcpconn.ConnectionLost):
        client.close()


def test_who_writes_on_after_the_goodbye_still_hears_it(backend: str, listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket that is closed answers what comes later by a reset, and a reset destroys what its peer has not read yet."""
    for module in (lingering, loop):
        monkeypatch.setattr(module, "LIMIT", 1.0)
    listener = listen()
    with Stranger(backend, listener.address) as stranger:
        stranger.say(hello().encode().encode())
        assert eventually(lambda: listener.sessions == 1)
        listener.close()
        with suppress(OSError):
            for number in range(3):
                stranger.say(ping(number).encode())
        *_, last = stranger.hear_out()
    assert last.type == FrameType.GOAWAY
    assert decode_reason(last.body)[0] == Code.CLOSED


def test_a_peer_that_never_leaves_does_not_keep_the_link_of_a_closed_session(
    backend: str, listen: Listen, descriptors: Callable[[], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (lingering, loop):
        monkeypatch.setattr(module, "LIMIT", 0.3)
    listener = listen()
    with Stranger(backend, listener.address) as stranger:
        joined = descriptors()
        stranger.say(hello().encode().encode())
        assert eventually(lambda: listener.sessions == 1)
        listener.close()
        assert eventually(lambda: descriptors() < joined)

"""What `serve` does with more connections than it may have handlers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

import pytest

import tcpconn
from behaving import DEADLINE, QUICK, Connect, Listen
from encryption import encryption
from eventually import eventually
from flavours import Api

Serve = Callable[..., tcpconn.Listener]


@pytest.fixture
def begun() -> list[object]:
    """The ids of connections whose handlers have begun, and the messages that they have received."""
    return []


@pytest.fixture
def serving(api: Api, listen: Listen, begun: list[object]) -> Serve:
    """Return a function that starts a server with the given settings, which answers each message."""

    def handler(connection: Any) -> None:
        begun.append(connection.id)
        for message in connection:
            begun.append(message)
            connection.send(message)

    def serving(**settings: Any) -> tcpconn.Listener:
        listener = listen(**settings)
        Thread(target=api.serve, args=(handler, listener), daemon=True).start()
        return listener

    return serving


def exchange(connection: tcpconn.Connection, message: bytes) -> None:
    connection.send(message)
    assert connection.receive(DEADLINE) == message


def test_a_connection_beyond_max_handlers_waits_and_is_served_with_what_came_meanwhile(
    serving: Serve, connect: Connect, begun: list[object]
) -> None:
    listener = serving(max_handlers=1)
    first = connect(listener.address, "first")
    exchange(first, b"1")
    second = connect(listener.address, "second")
    second.send(b"2")
    second.flush(DEADLINE)
    exchange(first, b"3")
    assert begun == ["first", b"1", b"3"]

    first.close()
    assert second.receive(DEADLINE) == b"2"
    assert begun == ["first", b"1", b"3", "second", b"2"]


def test_a_peer_that_has_opened_more_than_its_share_takes_no_place_of_another(
    api: Api, serving: Serve, connect: Connect, backend: str, begun: list[object]
) -> None:
    listener = serving(max_handlers=8)
    greedy = [connect(listener.address, f"greedy {number}") for number in range(20)]
    exchange(greedy[0], b"hello")
    settings: dict[str, Any] = {**QUICK, **encryption(backend)}
    with api.Pool() as other, api.connect(listener.address, "other", pool=other, backend=backend, **settings) as good:
        exchange(good, b"good")
        assert {name for name in begun if str(name).startswith("greedy")} == {"greedy 0", "greedy 1"}
    for connection in greedy:
        exchange(connection, b"%s" % str(connection.id).encode())
        connection.close()


def test_what_waits_when_its_session_ends_has_a_handler_if_it_has_sent_something_and_else_none(
    api: Api, serving: Serve, connect: Connect, backend: str, begun: list[object]
) -> None:
    listener = serving(max_handlers=1)
    first = connect(listener.address, "first")
    exchange(first, b"1")
    with api.Pool() as other:
        settings: dict[str, Any] = {**QUICK, **encryption(backend)}
        settings |= {"pool": other, "backend": backend}
        silent, sender = (api.connect(listener.address, name, **settings) for name in ("silent", "sender"))
        silent.flush(DEADLINE)
        sender.send(b"2")
        sender.close()
    assert eventually(lambda: listener.sessions == 1)
    last = connect(listener.address, "last")
    last.send(b"3")
    first.close()
    assert last.receive(DEADLINE) == b"3"
    last.close()
    assert eventually(lambda: len(begun) >= 6)
    # The last one may have come only after the first was over.
    handled = list(zip(begun[::2], begun[1::2], strict=True))
    assert handled[0] == ("first", b"1")
    assert sorted(handled[1:], key=str) == [("last", b"3"), ("sender", b"2")]


def test_what_finds_no_room_to_wait_is_refused(serving: Serve, connect: Connect) -> None:
    listener = serving(max_handlers=1, backlog=1)
    first = connect(listener.address)
    exchange(first, b"1")
    others = [connect(listener.address) for _ in range(3)]
    with pytest.raises(tcpconn.ConnectError, match="backlog"):
        others[2].receive(DEADLINE)
    exchange(first, b"2")


def test_what_waits_when_the_listener_is_closed_is_handled_before_serve_returns(
    api: Api, listen: Listen, connect: Connect
) -> None:
    received = []

    def handler(connection: Any) -> None:
        for message in connection:
            received.append(message)
            connection.send(message)

    listener = listen(max_handlers=1)
    serving = Thread(target=api.serve, args=(handler, listener), daemon=True)
    serving.start()
    first, second = connect(listener.address), connect(listener.address)
    exchange(first, b"1")
    second.send(b"2")
    second.flush(DEADLINE)
    listener.close()
    serving.join(DEADLINE)
    assert not serving.is_alive()
    assert received == [b"1", b"2"]


def test_a_handler_that_ends_its_thread_gives_its_place_back(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ended = Event()
    monkeypatch.setattr(threading, "excepthook", lambda _: ended.set())

    def handler(connection: tcpconn.Connection) -> None:
        if connection.receive(DEADLINE) == b"exit":
            sys.exit(1)
        connection.send(b"served")

    with tcpconn.listen("127.0.0.1:0", backend=backend, max_handlers=1, linger=1.0) as listener, tcpconn.Pool() as pool:
        Thread(target=tcpconn.serve, args=(handler, listener), daemon=True).start()
        first, second = (tcpconn.connect(listener.address, pool=pool, backend=backend) for _ in range(2))
        second.send(b"hello")
        first.send(b"exit")
        assert second.receive(DEADLINE) == b"served"
        assert ended.wait(DEADLINE)

"""Names that the system does not resolve in time. Its answer is held back by a patch, since it cannot be told to hang."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from threading import Event, Thread
from typing import Any

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Lines, Listen
from eventually import eventually
from tcpconn import aio, resolving

NAME = "localhost"


@pytest.fixture(autouse=True)
def named(backend: str) -> None:
    if backend == "memory":
        pytest.skip("memory resolves no names")


class Resolver:
    """What stands between the library and the system: it answers while `answers` is set."""

    def __init__(self) -> None:
        self.answers = Event()
        self.asked = 0
        self._system = socket.getaddrinfo

    def getaddrinfo(self, host: Any, *args: Any, **kwargs: Any) -> Any:
        if host == NAME and not kwargs.get("flags", 0) & socket.AI_NUMERICHOST:
            self.asked += 1
            self.answers.wait()
            host = "127.0.0.1"
        return self._system(host, *args, **kwargs)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    resolver = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", resolver.getaddrinfo)
    yield resolver
    resolver.answers.set()
    # Or the next test, which asks for the same name, might share the answer.
    assert eventually(lambda: not resolving._under_way)


def port_of(address: str) -> str:
    return address.rpartition(":")[2]


def test_connect_gives_up_in_time_and_says_that_the_name_was_waited_for(resolver: Resolver, connect: Connect) -> None:
    # A tenth of it is for what was waited for to be told.
    with pytest.raises(tcpconn.ConnectError, match=rf"connect_timeout=1\.5 s: .*the name '{NAME}' was not resolved"):
        connect(f"{NAME}:9", connect_timeout=1.5)
    with pytest.raises(tcpconn.ConnectError, match=f"the name '{NAME}' was not resolved"):
        connect(f"{NAME}:9", connect_timeout=1.5)
    assert resolver.asked == 1, "each attempt has a thread of its own that hangs"


def test_an_answer_that_comes_late_but_in_time_is_good_enough(resolver: Resolver, listen: Listen, connect: Connect) -> None:
    listener = listen()
    late = threading.Timer(0.1, resolver.answers.set)
    late.start()
    client = connect(f"{NAME}:{port_of(listener.address)}")
    client.send(b"hello")
    assert listener.accept(DEADLINE).receive(DEADLINE) == b"hello"


def test_a_link_that_cannot_come_back_as_its_name_is_not_resolved_is_lost_in_time(
    resolver: Resolver, line: Lines, listen: Listen, connect: Connect
) -> None:
    between = line(listen())
    resolver.answers.set()
    client = connect(f"{NAME}:{port_of(between.address)}", resume_timeout=1.5)
    resolver.answers.clear()
    between.cut()
    with pytest.raises(tcpconn.ConnectionLost, match=f"the name '{NAME}' was not resolved"):
        client.receive(DEADLINE)


def test_an_event_loop_ends_though_a_name_is_still_being_resolved(resolver: Resolver, backend: str) -> None:
    async def main() -> None:
        with pytest.raises(tcpconn.ConnectError, match="was not resolved"):
            await aio.connect(f"{NAME}:9", backend=backend, connect_timeout=1.5)

    running = Thread(target=lambda: asyncio.run(main()), daemon=True)
    running.start()
    running.join(DEADLINE)
    assert not running.is_alive()

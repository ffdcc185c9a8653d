"""Fixtures: a listener, clients of it, and both ends of one connection, on the backend that is tested."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from threading import Thread
from typing import Any

import pytest

import tcpconn
from behaving import DEADLINE, QUICK, Connect, Echo, Ends, Lines, Listen, Pair, close_quietly, echo_handler
from encryption import encryption
from flavours import FLAVOURS, Api
from tcpconn.testing import FaultyTransport, Relay
from tcpconn.transport import load_transport

__all__ = ["api", "connect", "descriptors", "echo", "line", "listen", "pair", "pool", "stack"]


@pytest.fixture
def api(flavour: str) -> Iterator[Api]:
    """The public names in the flavour that is tested."""
    api = FLAVOURS[flavour]()
    try:
        yield api
    finally:
        api.close()


@pytest.fixture
def pool(api: Api) -> Iterator[tcpconn.Pool]:
    """The links of one test, none of which is left for the next."""
    with api.Pool() as pool:
        yield pool


@pytest.fixture
def stack(api: Api) -> Iterator[ExitStack]:
    """Whatever is to be closed in the end."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listen(api: Api, backend: str, stack: ExitStack) -> Listen:
    """Return a function that listens on a free address with the settings that it is given."""

    def listen(address: str = "127.0.0.1:0", **settings: Any) -> tcpconn.Listener:
        secured = {} if address.startswith("unix:") else encryption(backend)
        return stack.enter_context(api.listen(address, backend=backend, **{"linger": 1.0, **secured, **settings}))

    return listen


@pytest.fixture
def connect(api: Api, backend: str, pool: tcpconn.Pool, stack: ExitStack) -> Connect:
    """Return a function that connects to an address with the settings that it is given."""

    def connect(address: str, id: str | None = None, **settings: Any) -> tcpconn.Connection:
        secured = {} if address.startswith("unix:") else encryption(backend)
        chosen = {"linger": 0.3, **QUICK, **secured, **settings}
        connection = api.connect(address, id, pool=pool, backend=backend, **chosen)
        stack.callback(close_quietly, connection)
        return connection

    return connect


class _FaultyMemory:
    """The line of a backend that reaches no other process: its links themselves can be made to fail."""

    def __init__(self, faults: FaultyTransport, address: str) -> None:
        self.address = address
        self.cut = faults.cut
        self.stall = faults.stall
        self.resume = faults.resume
        self.refuse = faults.refuse
        self.accept = faults.accept


@pytest.fixture
def line(backend: str, stack: ExitStack) -> Lines:
    """Return a function that puts something between clients and a listener that can fail. Ask for it before `listen`."""
    if backend != "memory":
        return lambda listener: stack.enter_context(Relay(listener.address))
    faults = stack.enter_context(FaultyTransport(load_transport(backend)).installed())
    return lambda listener: _FaultyMemory(faults, listener.address)


@pytest.fixture
def pair(listen: Listen, connect: Connect) -> Pair:
    """Return a function that makes both ends of a connection with the given settings at both of them."""

    def pair(**settings: Any) -> Ends:
        listener = listen(**settings)
        client = connect(listener.address, **settings)
        return Ends(client, listener.accept(DEADLINE))

    return pair


@pytest.fixture
def echo(api: Api, listen: Listen) -> Echo:
    """Return a function that starts an echo server with the given settings and returns its listener."""

    def echo(**settings: Any) -> tcpconn.Listener:
        listener = listen(**settings)
        Thread(target=api.serve, args=(echo_handler, listener), daemon=True).start()
        return listener

    return echo


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """Return a function that counts this process' open descriptors."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list the descriptors of a process")
    return lambda: len(os.listdir("/proc/self/fd"))

"""What runs out: descriptors, room on the disk for logs; and a thousand clients that come back at once."""

from __future__ import annotations

import errno
import logging
import resource
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

import tcpconn
from behaving import DEADLINE, QUICK, Connect, Lines, Listen, close_quietly
from eventually import eventually
from fault_programs import outcome, running
from flavours import Api
from stranger import Stranger


@pytest.mark.parametrize("role", ["limited-blocking", "limited-asyncio"])
def test_a_server_out_of_descriptors_serves_who_is_there_and_others_when_some_have_left(
    api: Api, backend: str, role: str
) -> None:
    with running(role, "127.0.0.1:0") as (process, address), ExitStack() as stack:
        served: list[tcpconn.Connection] = []
        pools: list[tcpconn.Pool] = []
        refused = 0
        while not refused:
            assert len(served) < 100, "the server has more descriptors than it was given"
            pools.append(stack.enter_context(api.Pool()))
            try:
                client = api.connect(address, pool=pools[-1], backend=backend, connect_timeout=1.0, linger=0.1)
            except tcpconn.ConnectError:
                refused += 1
            else:
                stack.callback(close_quietly, client)
                served.append(client)
        assert len(served) >= 5
        for client in served:
            client.send(b"still here")
            assert client.receive(DEADLINE) == b"still here"
        for client, pool in list(zip(served, pools, strict=False))[: len(served) // 2]:
            close_quietly(client)
            # The link, which would be kept for `idle_timeout`.
            pool.close()
        pool = stack.enter_context(api.Pool())
        late = api.connect(address, pool=pool, backend=backend, connect_timeout=DEADLINE, linger=0.1)
        late.send(b"late")
        assert late.receive(DEADLINE) == b"late"
        close_quietly(late)
        assert process.poll() is None


@pytest.mark.parametrize("role", ["starved-blocking", "starved-asyncio"])
def test_a_client_out_of_descriptors_is_told_so_and_connects_once_there_are_some(backend: str, role: str) -> None:
    with running("echo", "127.0.0.1:0") as (_, address):
        code, said, complaints = outcome(role, address)
    assert code == 0, complaints
    refusal, _, answer = said.strip().partition("\n")
    assert refusal.startswith("ConnectError: cannot connect to ")
    assert "Too many open files" in refusal
    assert answer == "answered"


class Full(logging.Handler):
    """A handler whose disk is full, and which does not hide it."""

    def __init__(self) -> None:
        super().__init__()
        self.tried = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.tried += 1
        with open("/dev/full", "w", encoding="utf-8") as full:
            full.write(self.format(record))


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[Full]:
    handler = Full()
    log = logging.getLogger("tcpconn")
    monkeypatch.setattr(logging, "raiseExceptions", False)
    monkeypatch.setattr(log, "propagate", False)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    yield handler
    log.removeHandler(handler)
    log.setLevel(logging.NOTSET)


def test_a_full_disk_for_logs_changes_nothing(full: Full, line: Lines, listen: Listen, connect: Connect, backend: str) -> None:
    with pytest.raises(OSError, match="No space") as caught:
        full.emit(logging.makeLogRecord({"msg": "x"}))
    assert caught.value.errno == errno.ENOSPC
    listener = listen()
    between = line(listener)
    client = connect(between.address)
    server = listener.accept(DEADLINE)
    with Stranger(backend, listener.address) as stranger:
        stranger.say(b"GET / HTTP/1.1\r\n\r\n")
        stranger.hear_out()
    for number in range(10):
        between.cut()
        client.send(b"%d" % number)
        assert server.receive(DEADLINE) == b"%d" % number
        server.send(b"%d" % number)
        assert client.receive(DEADLINE) == b"%d" % number
    assert full.tried > 50


@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=[pytest.mark.long, pytest.mark.timeout(180)])])
def test_clients_that_all_lose_their_links_at_once_all_come_back(
    api: Api, listen: Listen, line: Lines, backend: str, count: int
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A client, two ends at the relay, one at the server; zmq has two or three more for each client's socket.
    needed = 10 * count + 1000
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"{needed} descriptors are needed and {hard} allowed")
    if soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    patience = 3 * DEADLINE
    listener = listen(handshake_timeout=patience)
    between = line(listener)
    settings = {**QUICK, "reconnect_max": 1.0, "linger": 0.2, "handshake_timeout": patience, "connect_timeout": patience}
    with ExitStack() as stack:
        clients = []
        for number in range(count):
            pool = stack.enter_context(api.Pool())
            client = api.connect(between.address, f"{number}", pool=pool, backend=backend, resume_timeout=patience, **settings)
            stack.callback(close_quietly, client)
            clients.append(client)
        servers = {str(server.id): server for server in (listener.accept(DEADLINE) for _ in clients)}
        between.cut()
        for client in clients:
            client.send(b"back " + str(client.id).encode())
        for name, server in servers.items():
            assert server.receive(patience) == b"back " + name.encode()
            server.send(b"welcome " + name.encode())
        for client in clients:
            assert client.receive(patience) == b"welcome " + str(client.id).encode()
        assert eventually(lambda: listener.sessions == count)
        with suppress(AttributeError):
            assert all(client.stats().reconnects >= 1 for client in clients)

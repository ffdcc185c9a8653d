"""What becomes of a process when its peer is killed, stopped or restarted under load, and of both when one forks or exits."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Event

import pytest

import tcpconn
from behaving import DEADLINE, QUICK, Connect, Listen, close_quietly
from eventually import eventually
from fault_programs import outcome, running
from flavours import Api
from tcpconn import State
from tcpconn.testing import Relay

CLIENTS = 10


@pytest.mark.parametrize("restarts", [2, pytest.param(10, marks=pytest.mark.long)])
def test_a_server_killed_and_restarted_under_load_serves_all_clients_again(api: Api, backend: str, restarts: int) -> None:
    over = Event()
    progress = [0] * CLIENTS
    losses = [0] * CLIENTS

    def use(number: int, address: str) -> None:
        with api.Pool() as pool:
            while not over.is_set():
                with suppress(tcpconn.ConnectError):
                    client = api.connect(address, f"{number}", pool=pool, connect_timeout=1.0, linger=0.1, reconnect_max=0.1)
                    try:
                        while not over.is_set():
                            message = b"%d:%d" % (number, progress[number])
                            client.send(message)
                            # Not what another life of the server, or another client, has left.
                            assert client.receive(DEADLINE) == message
                            progress[number] += 1
                    except (tcpconn.ConnectionLost, tcpconn.ConnectionClosed):
                        losses[number] += 1
                    finally:
                        close_quietly(client)

    with ThreadPoolExecutor(CLIENTS) as threads:
        try:
            with running("echo", "127.0.0.1:0") as (process, address):
                using = [threads.submit(use, number, address) for number in range(CLIENTS)]
                assert eventually(lambda: min(progress) > 20)
                process.kill()
            for turn in range(restarts):
                before = list(progress)
                with running("echo", address) as (process, _):
                    assert eventually(lambda: all(now > then + 20 for now, then in zip(progress, before, strict=True)))  # noqa: B023
                    if turn == restarts - 1:
                        over.set()
                        for one in using:
                            one.result(DEADLINE)
        finally:
            over.set()
    assert min(losses) >= restarts


def test_a_stopped_client_is_noticed_and_goes_on_where_it_was(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HEARTBEAT_INTERVAL": "0.1", "RESUME_TIMEOUT": "20", "HANDSHAKE_TIMEOUT": "1"}.items():
        monkeypatch.setenv(f"TCPCONN_{name}", value)
    listener = listen(heartbeat_interval=0.1, resume_timeout=DEADLINE, handshake_timeout=1.0)
    with running("echo-client", listener.address) as (process, _):
        server = listener.accept(DEADLINE)
        server.send(b"before")
        assert server.receive(DEADLINE) == b"before"
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        server.send(b"while it sleeps")
        assert eventually(lambda: server.state is State.RECONNECTING)
        process.send_signal(signal.SIGCONT)
        assert server.receive(DEADLINE) == b"while it sleeps"


def test_a_server_stopped_for_longer_than_the_resume_timeout_is_lost_with_the_count(connect: Connect) -> None:
    with running("echo", "127.0.0.1:0") as (process, address):
        settings = {"heartbeat_interval": 0.1, "resume_timeout": 0.5, "handshake_timeout": 0.2}
        client = connect(address, **settings)
        client.send(b"before")
        assert client.receive(DEADLINE) == b"before"
        client.flush(DEADLINE)
        process.send_signal(signal.SIGSTOP)
        os.waitpid(process.pid, os.WUNTRACED)
        client.send_many([b"1", b"2", b"3"])
        with pytest.raises(tcpconn.ConnectionLost, match="undelivered messages: 3"):
            client.receive(DEADLINE)
        process.send_signal(signal.SIGCONT)
        again = connect(address, "again", connect_timeout=DEADLINE)
        again.send(b"after")
        assert again.receive(DEADLINE) == b"after"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("role", ["fork-blocking", "fork-asyncio"])
def test_a_child_forked_under_load_gets_a_clear_error_and_its_exit_harms_no_parent(backend: str, role: str) -> None:
    with running("echo", "127.0.0.1:0") as (_, address):
        code, said, complaints = outcome(role, address)
    assert (code, said.split()) == (0, ["child", "0", "parent", "500"]), complaints


@pytest.mark.parametrize("role", ["exit-busy-blocking", "exit-busy-asyncio"])
def test_an_interpreter_exits_with_connections_in_every_state_open(backend: str, role: str) -> None:
    code, said, complaints = outcome(role)
    # What is under way between two ends of one process that exits may be told of as undelivered, and is.
    unexpected = [line for line in complaints.splitlines() if "the process exits" not in line]
    assert (code, said.strip(), unexpected) == (0, "leaving", [])


def test_threads_close_connections_pools_and_listeners_while_others_use_them_over_links_that_are_cut(
    api: Api, backend: str
) -> None:
    over = Event()

    def until_closed(step: Callable[[], object]) -> int:
        count = 0
        with suppress(tcpconn.TcpconnError):
            while True:
                step()
                count += 1
        return count

    def cut(relay: Relay) -> None:
        while not over.wait(0.02):
            relay.cut()

    with ThreadPoolExecutor(20) as threads:
        for turn in range(3):
            over.clear()
            with api.listen("127.0.0.1:0", backend=backend, linger=0.2) as listener, Relay(listener.address) as relay:
                pool = api.Pool()
                clients = [
                    api.connect(relay.address, f"{number}", pool=pool, backend=backend, linger=0.2, **QUICK)
                    for number in range(3)
                ]
                servers = [listener.accept(DEADLINE) for _ in clients]
                cutting = threads.submit(cut, relay)
                busy = [
                    threads.submit(until_closed, step)
                    for end in (*clients, *servers)
                    for step in (partial(end.send, bytes(5000)), partial(end.receive, DEADLINE))
                ]
                assert eventually(lambda: all(server.stats().messages_received > 50 for server in servers))  # noqa: B023
                endings: list[list[Callable[[], object]]] = [
                    [lambda: close_quietly(clients[0]), lambda: close_quietly(servers[1])],  # noqa: B023
                    [pool.close],
                    [listener.close],
                ]
                closing = [threads.submit(ending) for ending in endings[turn]]
                for one in closing:
                    one.result(DEADLINE)
                for remaining in (*clients, *servers):
                    close_quietly(remaining)
                pool.close()
                assert [one.exception(DEADLINE) for one in busy] == [None] * len(busy)
                over.set()
                cutting.result(DEADLINE)

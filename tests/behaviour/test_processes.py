"""Two processes: they talk, one is killed, one exits, one forks, one is stopped and restarted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Listen
from flavours import Api
from programs import running
from tcpconn import State


@pytest.fixture(autouse=True)
def _in_the_programs(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose the backend of the other processes as a user would: by the environment."""
    if backend == "memory":
        pytest.skip("memory does not reach another process")
    monkeypatch.setenv("TCPCONN_BACKEND", backend)


@pytest.fixture
def server() -> Iterator[str]:
    with running("echo", "127.0.0.1:0") as (_, address):
        yield address


def test_two_processes_talk(server: str, connect: Connect) -> None:
    client = connect(server)
    for size in (0, 1, 1000, 1_000_000):
        client.send(bytes(size))
        assert client.receive(DEADLINE) == bytes(size)


def test_the_backend_is_chosen_by_the_environment_alone(api: Api, server: str) -> None:
    with api.Pool() as pool, api.connect(server, pool=pool) as client:
        client.send(b"no word of a backend")
        assert client.receive(DEADLINE) == b"no word of a backend"


def test_a_killed_server_gives_connection_lost_with_the_undelivered_count_after_the_resume_timeout(connect: Connect) -> None:
    with running("silent", "127.0.0.1:0") as (process, address):
        client = connect(address, resume_timeout=0.5)
        client.send(b"delivered")
        client.flush(DEADLINE)
        with ThreadPoolExecutor(1) as thread:
            receiving = thread.submit(client.receive, DEADLINE)
            process.kill()
            process.wait(DEADLINE)
            client.send(b"1")
            client.send_many([b"2", bytes(200_000)])
            with pytest.raises(tcpconn.ConnectionLost, match=r"undelivered messages: 3") as lost:
                receiving.result(DEADLINE)
        assert lost.value.undelivered == 3
        assert client.state is State.CLOSED


def test_a_server_killed_while_a_sender_waits_for_credit_does_not_leave_it_waiting(connect: Connect) -> None:
    with running("silent", "127.0.0.1:0") as (process, address):
        client = connect(address, resume_timeout=0.3)
        with ThreadPoolExecutor(1) as thread:
            sending = thread.submit(client.send_many, [bytes(100_000)] * 100)
            with pytest.raises(tcpconn.TimedOut):
                client.receive(0.3)
            process.kill()
            with pytest.raises(tcpconn.ConnectionLost, match=r"resume_timeout=0\.3 s"):
                sending.result(DEADLINE)


def test_a_killed_client_is_noticed_and_its_messages_are_there(listen: Listen) -> None:
    listener = listen(resume_timeout=0.3)
    with running("send-and-die", listener.address, "100") as (process, line):
        assert line == "sent"
        server = listener.accept(DEADLINE)
        process.kill()
        process.wait(DEADLINE)
    assert server.receive_many(100, DEADLINE) == [b"%d" % number for number in range(100)]
    with pytest.raises(tcpconn.ConnectionLost):
        server.receive(DEADLINE)


def test_a_process_that_exits_without_closing_has_sent_everything(listen: Listen) -> None:
    listener = listen()
    with running("send-and-exit", listener.address, "5000") as (process, _):
        server = listener.accept(DEADLINE)
        assert [server.receive(DEADLINE) for _ in range(5000)] == [b"%d" % number for number in range(5000)]
        with pytest.raises(tcpconn.ConnectionClosed):
            server.receive(DEADLINE)
        assert process.wait(DEADLINE) == 0


def test_a_process_that_exits_in_the_middle_of_a_long_message_sends_it_to_its_end(listen: Listen) -> None:
    listener = listen()
    with running("send-large-and-exit", listener.address, "10000000") as (process, _):
        assert listener.accept(DEADLINE).receive(DEADLINE) == bytes(10_000_000)
        assert process.wait(DEADLINE) == 0


def test_a_restarted_server_serves_new_connections(connect: Connect) -> None:
    with running("echo", "127.0.0.1:0") as (process, address):
        client = connect(address, resume_timeout=DEADLINE)
        process.kill()
        process.wait(DEADLINE)
    with running("echo", address):
        with pytest.raises(tcpconn.ConnectionLost, match="not known here any more"):
            client.receive(DEADLINE)
        again = connect(address, resume_timeout=DEADLINE)
        again.send(b"hello")
        assert again.receive(DEADLINE) == b"hello"


def test_a_stopped_server_is_noticed_and_goes_on_where_it_was(connect: Connect) -> None:
    with running("echo", "127.0.0.1:0") as (process, address):
        client = connect(address, heartbeat_interval=0.1, resume_timeout=DEADLINE, handshake_timeout=1.0)
        states: list[State] = []
        client.on_state_change(states.append)
        process.send_signal(signal.SIGSTOP)
        # A thread of it that runs at this moment could still answer.
        os.waitpid(process.pid, os.WUNTRACED)
        client.send(b"while it sleeps")
        with pytest.raises(tcpconn.TimedOut):
            client.receive(0.6)
        assert states[:1] == [State.RECONNECTING]
        process.send_signal(signal.SIGCONT)
        assert client.receive(DEADLINE) == b"while it sleeps"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
@pytest.mark.flavours("blocking")  # an event loop does not survive a fork
def test_a_forked_child_is_told_to_connect_anew_and_its_parent_is_unharmed(api: Api, server: str, connect: Connect) -> None:
    client = connect(server)
    client.send(b"before")
    assert client.receive(DEADLINE) == b"before"
    child = os.fork()
    if child == 0:  # pragma: no cover - the child is not measured
        try:
            with pytest.raises(tcpconn.ConnectionLost, match="connect anew in the child"):
                client.send(b"from the child")
            with api.Pool() as pool, api.connect(server, pool=pool) as own:
                own.send(b"own")
                assert own.receive(DEADLINE) == b"own"
        except BaseException:
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    client.send(b"after")
    assert client.receive(DEADLINE) == b"after"

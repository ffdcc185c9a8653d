"""Floors and peers carry what they are given, and subjects are found by name.

Both ends are in this process, in two threads or in two tasks. A peer whose package or server is missing is skipped.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tcpconn
from tcpconn_bench.sizes import LARGEST
from tcpconn_bench.subjects import PEERS, PLAIN, UVLOOP, AsyncEndpoint, AsyncSubject, Endpoint, Subject, find, is_async
from tcpconn_bench.subjects.base import event_loop_of
from tcpconn_bench.subjects.brokers import Broker
from tcpconn_bench.subjects.ours import Tcpconn
from tcpconn_bench.subjects.plain_socket import PlainSocket
from tcpconn_bench.subjects.polling_socket import PollingSocket

SIZES = [0, 1, 100, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 256 * 1024 - 1, 256 * 1024, 300_000, 1_000_000]
DEADLINE = 30

FLOORS = ["plain-queue", "plain-socket", "plain-unix-socket", "polling-socket", "plain-pyzmq", "plain-pyzmq-nocopy"]
PEERS_THAT_BLOCK = ["pynng", "websockets", "redis"]
ON_A_LOOP = [
    *("plain-protocol", "plain-streams", "plain-zmq.asyncio", "tcp-asyncio", "unix-asyncio", "zmq-asyncio"),
    *("plain-protocol-uvloop", "plain-streams-uvloop", "plain-zmq.asyncio-uvloop", "tcp-uvloop", "unix-uvloop", "zmq-uvloop"),
    *("grpc-unary", "grpc-stream", "http", "websockets-asyncio", "nats", "http-uvloop"),
]
PEERS_ON_A_LOOP = [name for name in ON_A_LOOP if name in PEERS]

REQUIRE_PEERS = "REQUIRE_PEERS"
"""In the environment where every package of the extra `peers` has to be there."""


def available(name: str) -> Subject | AsyncSubject:
    """Return a subject, or skip the test with the reason why there is none."""
    subject = find(name)
    reason = subject.unavailable()
    if reason is not None:
        if REQUIRE_PEERS in os.environ and "pip install" in reason:
            pytest.fail(reason)
        pytest.skip(reason)
    return subject


def blocking(name: str) -> Subject:
    subject = available(name)
    assert not is_async(subject)
    return cast("Subject", subject)


def on_a_loop(name: str) -> AsyncSubject:
    subject = available(name)
    assert is_async(subject)
    return subject


def run(subject: AsyncSubject, work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on the event loop of a subject, for no longer than the deadline."""

    async def limited() -> None:
        await asyncio.wait_for(work, DEADLINE)

    with asyncio.Runner(loop_factory=event_loop_of(subject)) as runner:
        runner.run(limited())


@pytest.fixture
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[Endpoint, Endpoint, ThreadPoolExecutor]]:
    """A client, a server, and the thread that the server's calls must come from."""
    subject = blocking(request.param)
    with ThreadPoolExecutor(1) as thread, closing(thread.submit(subject.listen).result(DEADLINE)) as listener:
        accepting = thread.submit(listener.accept)
        client = subject.connect(listener.address)
        server = accepting.result(DEADLINE)
        yield client, server, thread
        client.close()
        thread.submit(server.close).result(DEADLINE)


def check(messages: list[bytes], client: Endpoint, server: Endpoint, thread: ThreadPoolExecutor) -> None:
    """Send them there in one go and back one by one."""
    half = len(messages) // 2
    receiving = thread.submit(lambda: [*server.receive_many(half), *server.receive_many(len(messages) - half)])
    client.send_many(messages)
    assert receiving.result(DEADLINE) == messages
    sending = thread.submit(lambda: [server.send(message) for message in messages])
    assert [client.receive() for _ in messages] == messages
    sending.result(DEADLINE)


@pytest.mark.parametrize("ends", [*FLOORS, *PEERS_THAT_BLOCK], indirect=True)
def test_a_subject_carries_messages_of_every_size(ends: tuple[Endpoint, Endpoint, ThreadPoolExecutor]) -> None:
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    check(messages + messages[::-1], *ends)


@pytest.mark.parametrize("ends", PEERS_THAT_BLOCK, indirect=True)
def test_a_peer_carries_the_largest_message(ends: tuple[Endpoint, Endpoint, ThreadPoolExecutor]) -> None:
    check([b"\1" * LARGEST, b""], *ends)


@pytest.mark.parametrize("ends", FLOORS, indirect=True)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sizes=st.lists(st.sampled_from(SIZES[:7]) | st.integers(0, 70_000), max_size=30))
def test_a_floor_carries_messages_of_mixed_sizes(ends: tuple[Endpoint, Endpoint, ThreadPoolExecutor], sizes: list[int]) -> None:
    check([bytes([number]) * size for number, size in enumerate(sizes)], *ends)


async def there_in_one_go_and_back_one_by_one(subject: AsyncSubject, messages: list[bytes]) -> None:
    listener = await subject.listen()
    client, server = await asyncio.gather(subject.connect(listener.address), listener.accept())
    received, _ = await asyncio.gather(_receive_halves(server, len(messages)), client.send_many(messages))
    assert received == messages

    async def send_back() -> None:
        for message in messages:
            await server.send(message)

    async def receive_them() -> list[object]:
        return [await client.receive() for _ in messages]

    back, _ = await asyncio.gather(receive_them(), send_back())
    assert back == messages
    await asyncio.gather(client.close(), server.close())
    await listener.close()


@pytest.mark.parametrize("name", ON_A_LOOP)
def test_a_subject_on_an_event_loop_carries_messages_of_every_size(name: str) -> None:
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    subject = on_a_loop(name)
    run(subject, there_in_one_go_and_back_one_by_one(subject, messages + messages[::-1]))


@pytest.mark.parametrize("name", PEERS_ON_A_LOOP)
def test_a_peer_on_an_event_loop_carries_the_largest_message(name: str) -> None:
    subject = on_a_loop(name)
    run(subject, there_in_one_go_and_back_one_by_one(subject, [b"\1" * LARGEST, b""]))


@pytest.mark.parametrize("name", PEERS_ON_A_LOOP)
def test_a_peer_on_an_event_loop_serves_several_connections_and_tells_them_apart(name: str) -> None:
    async def three(subject: AsyncSubject) -> None:
        listener = await subject.listen()
        pairs = [await asyncio.gather(subject.connect(listener.address), listener.accept()) for _ in range(3)]
        clients, servers = [client for client, _ in pairs], [server for _, server in pairs]
        for number, client in enumerate(clients):
            await client.send(b"%d" % number)
        for server in reversed(servers):
            await server.send(bytes(await server.receive()) * 2)
        assert [await client.receive() for client in clients] == [b"00", b"11", b"22"]
        await asyncio.gather(*(end.close() for pair in pairs for end in pair))
        await listener.close()

    subject = on_a_loop(name)
    run(subject, three(subject))


@pytest.mark.parametrize("name", PEERS_THAT_BLOCK)
def test_a_peer_serves_several_connections_and_tells_them_apart(name: str) -> None:
    subject = blocking(name)
    with ThreadPoolExecutor(1) as thread, closing(subject.listen()) as listener:
        clients, servers = [], []
        for _ in range(3):
            accepting = thread.submit(listener.accept)
            clients.append(subject.connect(listener.address))
            servers.append(accepting.result(DEADLINE))
        for number, client in enumerate(clients):
            client.send(b"%d" % number)
        for server in reversed(servers):
            server.send(bytes(server.receive()) * 2)
        assert [client.receive() for client in clients] == [b"00", b"11", b"22"]
        closing_all = [thread.submit(server.close) for server in servers]
        for client in clients:
            client.close()
        for closed in closing_all:
            closed.result(DEADLINE)


@pytest.mark.parametrize("name", PEERS_ON_A_LOOP)
def test_a_client_on_an_event_loop_may_wait_for_a_message_while_it_sends_others(name: str) -> None:
    async def both_ways(subject: AsyncSubject) -> None:
        listener = await subject.listen()
        client, server = await asyncio.gather(subject.connect(listener.address), listener.accept())
        messages = [b"%d" % number for number in range(50)]

        async def echo() -> None:
            for _ in messages:
                await server.send(cast("bytes", await server.receive()))

        async def send() -> None:
            for message in messages:
                await asyncio.sleep(0)
                await client.send(message)

        received, *_ = await asyncio.gather(client.receive_many(len(messages)), echo(), send())
        assert received == messages
        await asyncio.gather(client.close(), server.close())
        await listener.close()

    subject = on_a_loop(name)
    run(subject, both_ways(subject))


@pytest.mark.parametrize("name", PEERS_ON_A_LOOP)
def test_a_peer_on_an_event_loop_receives_what_was_sent_and_then_notices_that_the_client_has_gone(name: str) -> None:
    async def last(subject: AsyncSubject) -> None:
        listener = await subject.listen()
        client, server = await asyncio.gather(subject.connect(listener.address), listener.accept())
        await client.send(b"last")
        assert await server.receive() == b"last"
        waiting = asyncio.ensure_future(server.receive())
        await client.close()
        with pytest.raises(Exception, match=r"hung up|gone|ended|1000|0 bytes read"):
            await waiting
        await server.close()
        await listener.close()

    subject = on_a_loop(name)
    run(subject, last(subject))


@pytest.mark.parametrize("name", PEERS_THAT_BLOCK)
def test_a_peer_receives_what_was_sent_and_then_notices_that_the_client_has_gone(name: str) -> None:
    subject = blocking(name)
    with ThreadPoolExecutor(1) as thread, closing(subject.listen()) as listener:
        accepting = thread.submit(listener.accept)
        client = subject.connect(listener.address)
        server = accepting.result(DEADLINE)
        client.send(b"last")
        assert server.receive() == b"last"
        waiting = thread.submit(server.receive)
        client.close()
        with pytest.raises(Exception, match=r"gone|[Cc]losed|1000"):
            waiting.result(DEADLINE)
        server.close()


async def _receive_halves(end: AsyncEndpoint, count: int) -> list[object]:
    half = count // 2
    return [*await end.receive_many(half), *await end.receive_many(count - half)]


@pytest.mark.parametrize("kind", [PlainSocket, PollingSocket])
def test_a_plain_socket_notices_that_its_peer_has_gone(kind: type[PlainSocket]) -> None:
    listener = kind().listen()
    client = kind().connect(listener.address)
    server = listener.accept()
    client.send(b"last")
    client.close()
    assert server.receive() == b"last"
    with pytest.raises(ConnectionError):
        server.receive()
    server.close()
    listener.close()


def test_a_subject_from_elsewhere_is_found_by_module_and_name() -> None:
    assert find("tcpconn_bench.subjects.plain_socket:PlainSocket").name == "plain-socket"
    with pytest.raises(ValueError, match="no_such_module"):
        find("no_such_module:Subject")
    with pytest.raises(ValueError, match="write it as module:name"):
        find("tcpconn_bench.subjects:Nothing")


def test_a_backend_is_a_subject_beside_its_floor() -> None:
    tcp = find("tcp")
    assert (tcp.name, tcp.role, tcp.floor) == ("tcp", "backend", "plain-socket")
    assert tcp.settings()["backend"] == "tcp"


def test_tcp_over_a_unix_socket_is_a_subject_with_a_floor_of_its_own_and_leaves_no_folder() -> None:
    subject = find("unix")
    assert not is_async(subject)
    assert (subject.name, subject.floor, subject.settings()["backend"]) == ("unix", "plain-unix-socket", "tcp")
    listener = cast("Subject", subject).listen()
    folder = Path(listener.address.removeprefix("unix:")).parent
    with ThreadPoolExecutor(1) as thread:
        accepting = thread.submit(listener.accept)
        with closing(cast("Subject", subject).connect(listener.address)) as client:
            client.send(b"over a path")
            with closing(accepting.result(DEADLINE)) as server:
                assert server.receive() == b"over a path"
    assert folder.is_dir()
    listener.close()
    assert not folder.exists()


def test_a_long_folder_for_temporary_files_makes_no_path_too_long_for_a_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    subject = find("plain-unix-socket")
    assert not is_async(subject)
    listener = cast("Subject", subject).listen()
    assert len(listener.address) < 100
    listener.close()
    assert not Path(listener.address).parent.exists()
    assert list(long.iterdir()) == []


def test_a_variant_uses_its_settings_at_both_ends() -> None:
    subject = find("tcp:credit=65536,linger=1.5")
    assert (subject.name, subject.role, subject.floor) == ("tcp credit=65536,linger=1.5", "variant", "plain-socket")
    assert (subject.settings()["credit"], subject.settings()["linger"]) == (65_536, 1.5)
    assert isinstance(subject, Tcpconn)
    with closing(subject.listen()) as listener, closing(subject.connect(listener.address)) as client:
        # What each end grants the other is its own setting.
        server = listener.accept()
        for end, other in ((client, server), (server, client)):
            sent = 0
            with suppress(tcpconn.TimedOut):
                while sent < 1000:
                    end._connection.send(bytes(1000), timeout=0)
                    sent += 1
            assert sent == 65_536 // 1012
            assert other.receive() == bytes(1000)
        server.close()


def test_what_cannot_have_settings_is_no_variant() -> None:
    with pytest.raises(ValueError, match="'plain-socket' is no backend of tcpconn and has no settings"):
        find("plain-socket:busy_poll=0")


@pytest.mark.parametrize("name", [*PEERS, "http-uvloop"])
def test_every_peer_is_found_by_its_own_name_and_tells_its_settings_and_versions(name: str) -> None:
    peer = available(name)
    assert peer.name == name
    if name not in PLAIN:
        assert (peer.role, peer.floor) == ("peer", "plain-socket")
        assert all(peer.settings()["versions"].values())


def test_a_peer_without_its_package_or_its_server_tells_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("redis", "nats"):
        subject = available(name)
        monkeypatch.setattr("tcpconn_bench.subjects.brokers.SYSTEMS_OWN", ())
        with monkeypatch.context() as changed:
            changed.setenv("PATH", str(tmp_path))
            assert subject.unavailable() == f"there is no {name}-server on the path"
    monkeypatch.setitem(sys.modules, "pynng", None)
    assert "pynng cannot be imported" in str(find("pynng").unavailable())
    assert "pip install 'tcpconn[peers]'" in str(find("pynng").unavailable())


@pytest.mark.parametrize("name", ["redis", "nats"])
def test_the_server_of_a_peer_has_ended_when_its_listener_is_closed(name: str) -> None:
    subject = available(name)
    before = {child.pid for child in psutil.Process().children(recursive=True)}

    def started() -> list[str]:
        return [child.name() for child in psutil.Process().children(recursive=True) if child.pid not in before]

    if is_async(subject):

        async def listen_and_close() -> None:
            listener = await subject.listen()
            assert f"{name}-server" in started()
            await listener.close()

        run(subject, listen_and_close())
    else:
        listener = cast("Subject", subject).listen()
        assert f"{name}-server" in started()
        listener.close()
    assert started() == []


def test_a_server_that_does_not_start_tells_what_it_said() -> None:
    with pytest.raises(OSError, match="/bin/sh has ended; no such port"):
        Broker(["/bin/sh", "-c", "echo no such port"], "ready")


def test_a_subject_that_blocks_is_not_put_on_an_event_loop() -> None:
    with pytest.raises(ValueError, match="'plain-socket' is not on an event loop"):
        find(f"plain-socket{UVLOOP}")


def test_a_backend_on_uvloop_is_beside_a_floor_on_uvloop_and_has_variants() -> None:
    subject = find("tcp-uvloop:busy_poll=0")
    assert is_async(subject)
    assert (subject.name, subject.role, subject.floor) == ("tcp-uvloop busy_poll=0", "variant", "plain-protocol-uvloop")
    assert subject.settings()["busy_poll"] == 0

    async def loops_module() -> None:
        assert type(asyncio.get_running_loop()).__module__ == "uvloop"

    run(subject, loops_module())


@pytest.mark.parametrize("name", PLAIN)
def test_every_floor_is_found_by_its_own_name(name: str) -> None:
    floor = find(name)
    assert (floor.name, floor.role, floor.floor) == (name, "floor", None)
    assert floor.settings()


def test_a_key_is_in_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPCONN_AUTH_KEY", "correct horse battery staple")
    subject = find("tcp")
    settings = json.dumps(dict(subject.settings()))
    assert "auth_key" in settings
    assert "horse" not in settings


def test_a_key_is_no_part_of_a_variant_whose_name_stands_in_results() -> None:
    with pytest.raises(tcpconn.ConfigError, match="set TCPCONN_AUTH_KEY") as caught:
        find("tcp:auth_key=correct-horse-battery").unavailable()
    assert "horse" not in str(caught.value)

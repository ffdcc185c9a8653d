"""The floors carry what they are given, and subjects are found by name. Both ends are in this process, in two threads."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tcpconn
from tcpconn_bench.subjects import PLAIN, AsyncEndpoint, AsyncSubject, Endpoint, Subject, find, is_async
from tcpconn_bench.subjects.base import AsyncListener
from tcpconn_bench.subjects.ours import Tcpconn
from tcpconn_bench.subjects.plain_socket import PlainSocket
from tcpconn_bench.subjects.polling_socket import PollingSocket

SIZES = [0, 1, 100, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 256 * 1024 - 1, 256 * 1024, 300_000, 1_000_000]
DEADLINE = 30


@pytest.fixture(params=["plain-socket", "plain-unix-socket", "polling-socket", "plain-pyzmq", "plain-pyzmq-nocopy"])
def floor(request: pytest.FixtureRequest) -> Subject:
    subject = find(request.param)
    reason = subject.unavailable()
    if reason is not None:
        pytest.skip(reason)
    assert not is_async(subject)
    return cast("Subject", subject)


@pytest.fixture
def ends(floor: Subject) -> Iterator[tuple[Endpoint, Endpoint, ThreadPoolExecutor]]:
    """A client, a server, and the thread that the server's calls must come from."""
    with ThreadPoolExecutor(1) as thread, closing(thread.submit(floor.listen).result(DEADLINE)) as listener:
        accepting = thread.submit(listener.accept)
        client = floor.connect(listener.address)
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


def test_a_floor_carries_messages_of_every_size(ends: tuple[Endpoint, Endpoint, ThreadPoolExecutor]) -> None:
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    check(messages + messages[::-1], *ends)


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(sizes=st.lists(st.sampled_from(SIZES[:7]) | st.integers(0, 70_000), max_size=30))
def test_a_floor_carries_messages_of_mixed_sizes(ends: tuple[Endpoint, Endpoint, ThreadPoolExecutor], sizes: list[int]) -> None:
    check([bytes([number]) * size for number, size in enumerate(sizes)], *ends)


@pytest.mark.parametrize(
    "name", ["plain-protocol", "plain-streams", "plain-zmq.asyncio", "tcp-asyncio", "unix-asyncio", "zmq-asyncio"]
)
def test_a_subject_of_asyncio_carries_messages_of_every_size(name: str) -> None:
    subject = find(name)
    assert is_async(subject)
    messages = [bytes([number]) * size for number, size in enumerate(SIZES)]
    messages += messages[::-1]

    async def there_in_one_go_and_back_one_by_one(subject: AsyncSubject) -> None:
        listener = await subject.listen()
        client, server = await asyncio.gather(subject.connect(listener.address), _first(listener))
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

    asyncio.run(asyncio.wait_for(there_in_one_go_and_back_one_by_one(subject), DEADLINE))


async def _first(listener: AsyncListener) -> AsyncEndpoint:
    return await listener.accept()


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


@pytest.mark.parametrize("name", PLAIN)
def test_every_floor_is_found_by_its_own_name(name: str) -> None:
    floor = find(name)
    assert (floor.name, floor.role, floor.floor) == (name, "floor", None)
    assert floor.settings()

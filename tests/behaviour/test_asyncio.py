"""What is asyncio's own: what gives way to other tasks, what cancelling leaves behind, and that nothing is left running."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, Protocol

import pytest
import uvloop

import tcpconn
from behaving import DEADLINE, QUICK, echo_handler
from tcpconn import aio

Run = Callable[[Coroutine[Any, Any, object]], None]

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a coroutine as `asyncio.run` does, on the loop that is tested, and not for ever."""

    async def limited(main: Coroutine[Any, Any, object]) -> None:
        async with asyncio.timeout(DEADLINE):
            await main

    def run(main: Coroutine[Any, Any, object]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(limited(main))

    return run


class Pair(Protocol):
    """Makes both ends of a connection, with a pool of their own."""

    def __call__(self, **settings: Any) -> Any: ...


@pytest.fixture
def pair(backend: str) -> Pair:
    @asynccontextmanager
    async def pair(**settings: Any) -> AsyncIterator[tuple[aio.AsyncConnection, aio.AsyncConnection]]:
        chosen: dict[str, Any] = {"backend": backend, "linger": 1.0, **QUICK, **settings}
        async with (
            aio.listen("127.0.0.1:0", **chosen) as listener,
            aio.Pool() as pool,
            aio.connect(listener.address, pool=pool, **chosen) as client,
        ):
            yield client, await listener.accept()

    return pair


def others() -> set[asyncio.Task[Any]]:
    """Return the tasks that run beside this one, but for the one that `run` began."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def echo(connection: aio.AsyncConnection) -> None:
    async for message in connection:
        await connection.send(message)


async def turns(count: int) -> None:
    """Give way so many times."""
    for _ in range(count):
        await asyncio.sleep(0)


def test_neither_a_message_that_is_there_nor_a_send_with_credit_gives_way(pair: Pair, run: Run) -> None:
    async def main() -> None:
        async with pair() as (client, server):
            await server.send_many([b"%d" % number for number in range(100)])
            await server.send(b"last")
            await server.flush()
            while len(client._stream.inbox) < 101:
                await asyncio.sleep(0)
            gave_way: list[bool] = []
            asyncio.get_running_loop().call_soon(gave_way.append, True)
            received = [await client.receive() for _ in range(90)]
            received += await client.receive_many(100)
            for number in range(100):
                await client.send(b"%d" % number)
            assert not gave_way
            assert received == [*(b"%d" % number for number in range(100)), b"last"]
            assert [await server.receive() for _ in range(100)] == received[:100]

    run(main())


def test_a_task_that_polls_for_fast_answers_leaves_the_others_their_turns(run: Run) -> None:
    async def main(address: str) -> None:
        turns = 0
        over = False

        async def count_turns() -> None:
            nonlocal turns
            while not over:
                turns += 1
                await asyncio.sleep(0)

        async with aio.Pool() as pool, aio.connect(address, pool=pool, backend="tcp", busy_poll=0.01) as client:
            client._carrier.poll.worthwhile = True
            counting = asyncio.create_task(count_turns())
            for number in range(300):
                await client.send(b"%d" % number)
                assert await client.receive() == b"%d" % number
            over = True
            await counting
        # One for every twenty messages; the first and the last twenty need not be whole.
        assert turns >= 300 // 20 - 2

    with tcpconn.listen("127.0.0.1:0", backend="tcp") as listener:
        serving = Thread(target=tcpconn.serve, args=(echo_handler, listener))
        serving.start()
        run(main(listener.address))
    serving.join(DEADLINE)


def test_a_receive_that_is_cancelled_at_any_moment_loses_nothing(pair: Pair, run: Run) -> None:
    chance = random.Random(3)

    async def main() -> None:
        async with pair() as (client, server):
            received: list[bytes] = []
            cancelled = 0
            for number in range(400):
                receiving = asyncio.create_task(client.receive())
                await turns(chance.randrange(3))
                await server.send(b"%d" % number)
                await turns(chance.randrange(12))
                receiving.cancel()
                try:
                    received.append(await receiving)
                except asyncio.CancelledError:
                    cancelled += 1
            received += [await client.receive() for _ in range(cancelled)]
            assert received == [b"%d" % number for number in range(400)]
            assert cancelled

    run(main())


def test_a_send_that_is_cancelled_at_any_moment_has_sent_all_of_the_message_or_nothing(pair: Pair, run: Run) -> None:
    chance = random.Random(4)

    async def main() -> None:
        async with pair(credit=8192) as (client, server):
            sent: list[bytes] = []
            unknown: list[bytes] = []
            received: list[bytes] = []

            async def receive_slowly() -> None:
                async for message in server:
                    received.append(message)
                    await turns(chance.randrange(6))

            receiving = asyncio.create_task(receive_slowly())
            for number in range(300):
                message = (b"%08d" % number) * chance.choice((1, 100, 500, 3000))
                sending = asyncio.create_task(client.send(message))
                await turns(chance.randrange(8))
                sending.cancel()
                try:
                    await sending
                    sent.append(message)
                except asyncio.CancelledError:
                    unknown.append(message)
            await client.close()
            await receiving
            assert sent
            assert unknown
            assert received == sorted(received)
            assert set(sent) <= set(received) <= {*sent, *unknown}

    run(main())


def test_a_stream_that_is_cancelled_ends_the_connection_on_both_sides(pair: Pair, run: Run) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(10_000)

    async def main() -> None:
        async with pair() as (client, server):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.send_stream(endless())
            with pytest.raises(tcpconn.ConnectionLost, match="gave up in the middle of a message"):
                await client.send(b"x")
            with pytest.raises(tcpconn.ConnectionLost, match="gave up in the middle of a message"):
                async for _ in server.receive_stream():
                    pass
            with suppress(tcpconn.ConnectionLost):
                await client.close()

    run(main())


def test_asyncio_timeout_ends_every_wait_and_the_connection_goes_on(pair: Pair, run: Run) -> None:
    async def main() -> None:
        async with pair(credit=8192) as (client, server):

            async def first_chunk() -> object:
                return await anext(client.receive_stream())

            waits: list[Callable[[], Coroutine[Any, Any, object]]] = [
                client.receive,
                lambda: client.receive_many(5),
                lambda: client.receive_into(bytearray(10)),
                lambda: anext(client),
                first_chunk,
                lambda: client.send_many([b"x" * 1000] * 30),
                lambda: client.send(b"x" * 1000),
            ]
            for wait in waits:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.02):
                        await wait()
            received = await server.receive_many(100)
            assert set(received) == {b"x" * 1000}
            long = b"y" * 20_000
            # A long message that waits behind another is granted no more than the credit.
            await client.send_many([b"first", long])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await client.flush()
            assert [await server.receive(), await server.receive()] == [b"first", long]
            await client.flush()
            await server.send(b"answer")
            assert await client.receive() == b"answer"

    run(main())


def test_connecting_and_accepting_can_be_timed_out_and_leave_no_task(backend: str, run: Run) -> None:
    async def main() -> None:
        async with aio.listen("127.0.0.1:0", backend=backend) as listener:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await listener.accept()
            with pytest.raises(tcpconn.TimedOut):
                await listener.accept(timeout=0.02)
        where = listener.address
        before = others()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await aio.connect(where, backend=backend, reconnect_initial=0.005, reconnect_max=0.05)
        assert others() == before
        with pytest.raises(tcpconn.ConnectError, match=r"connect_timeout=0\.1 s"):
            await aio.connect(where, backend=backend, connect_timeout=0.1, reconnect_initial=0.005, reconnect_max=0.05)
        assert others() == before

    run(main())


def test_a_peer_that_says_nothing_is_left_without_a_task_when_connecting_is_cancelled(backend: str, run: Run) -> None:
    if backend != "tcp":
        pytest.skip("the other backends have a handshake of their own")

    async def main(silent: socket.socket) -> None:
        before = others()
        connecting = asyncio.ensure_future(aio.connect(f"127.0.0.1:{silent.getsockname()[1]}", backend=backend))
        accepted, _ = await asyncio.get_running_loop().sock_accept(silent)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert others() == before
        accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        run(main(silent))


def test_closing_waits_for_nobody_elses_attempt_to_connect(backend: str, run: Run) -> None:
    if backend != "tcp":
        pytest.skip("the other backends have a handshake of their own")

    async def main(silent: socket.socket) -> None:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        async with aio.Pool() as pool:
            patient = aio.connect(where, pool=pool, backend=backend, connect_timeout=None, handshake_timeout=None)
            connecting = asyncio.ensure_future(patient)
            accepted, _ = await asyncio.get_running_loop().sock_accept(silent)
            async with aio.listen("127.0.0.1:0", backend=backend):
                pass
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            accepted.close()

    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.setblocking(False)
        run(main(silent))


def test_no_task_is_there_beside_the_users_own(pair: Pair, run: Run) -> None:
    async def main() -> None:
        before = others()
        async with pair() as (client, server):
            await client.send(b"question")
            assert await server.receive() == b"question"
            assert others() == before
        assert others() == before

    run(main())


def test_thousands_of_connections_in_one_task_group(backend: str, run: Run) -> None:
    count = 2000

    async def ask(pool: aio.Pool, address: str, number: int) -> bytes:
        async with aio.connect(address, f"{number}", pool=pool, backend=backend) as connection:
            await connection.send(b"%d" % number)
            return await connection.receive()

    async def main() -> None:
        async with aio.listen("127.0.0.1:0", backend=backend) as listener, aio.Pool() as pool:
            serving = asyncio.create_task(aio.serve(echo, listener))
            async with asyncio.TaskGroup() as tasks:
                asked = [tasks.create_task(ask(pool, listener.address, number)) for number in range(count)]
            assert [task.result() for task in asked] == [b"%d" % number for number in range(count)]
            assert pool.links == 1
        await serving

    run(main())


def test_sources_that_are_awaited_are_sent_as_they_come(pair: Pair, run: Run) -> None:
    async def numbers(count: int) -> AsyncIterator[bytes]:
        for number in range(count):
            await asyncio.sleep(0)
            yield b"%d," % number

    async def main() -> None:
        async with pair() as (client, server):
            assert await client.send_many(numbers(5)) == 5
            assert [await server.receive() for _ in range(5)] == [b"0,", b"1,", b"2,", b"3,", b"4,"]
            assert await client.send_stream(numbers(1000)) == 3890
            assert b"".join([chunk async for chunk in server.receive_stream()]) == b"".join(b"%d," % n for n in range(1000))

    run(main())


def test_what_is_open_when_the_loop_ends_is_closed_in_good_order(backend: str, run: Run) -> None:
    heard: list[bytes | str] = []

    def serve_one(listener: tcpconn.Listener) -> None:
        server = listener.accept(DEADLINE)
        heard.append(server.receive(DEADLINE))
        try:
            server.receive(DEADLINE)
        except tcpconn.TcpconnError as error:
            heard.append(type(error).__name__)

    async def main(address: str) -> None:
        connection = await aio.connect(address, backend=backend)
        await connection.send(b"last words")

    with tcpconn.listen("127.0.0.1:0", backend=backend) as listener:
        serving = Thread(target=serve_one, args=(listener,))
        serving.start()
        run(main(listener.address))
        serving.join(DEADLINE)
    assert heard == [b"last words", "ConnectionClosed"]


@pytest.mark.parametrize("where", ["[::1]:0", "localhost:0", "unix"])
def test_every_kind_of_address_works_on_every_loop(backend: str, where: str, run: Run, tmp_path: Path) -> None:
    if backend == "memory":
        pytest.skip("its addresses are names")
    path = tmp_path / "socket"

    async def main() -> None:
        async with (
            aio.listen(f"unix:{path}" if where == "unix" else where, backend=backend) as listener,
            aio.Pool() as pool,
            aio.connect(listener.address, pool=pool, backend=backend) as client,
        ):
            await client.send(bytes(3_000_000))
            assert await (await listener.accept()).receive() == bytes(3_000_000)

    run(main())
    assert not path.exists()


def test_serve_that_is_cancelled_closes_what_it_serves_and_ends_its_handlers(backend: str, run: Run) -> None:
    ended: list[str] = []

    async def stubborn(connection: aio.AsyncConnection) -> None:
        try:
            await echo(connection)
            ended.append("heard of it")
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append("was cancelled")
            raise

    async def main() -> None:
        listener = await aio.listen("127.0.0.1:0", backend=backend, linger=0.2)
        serving = asyncio.create_task(aio.serve(stubborn, listener))
        async with aio.Pool() as pool, aio.connect(listener.address, pool=pool, backend=backend) as client:
            await client.send(b"hello")
            assert await client.receive() == b"hello"
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert ended == ["heard of it", "was cancelled"]
            with pytest.raises(tcpconn.ConnectionClosed):
                await client.receive()

    run(main())


def test_a_handler_that_fails_is_logged_and_ends_its_own_connection_only(
    backend: str, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def divide(connection: aio.AsyncConnection) -> None:
        async for message in connection:
            await connection.send(b"%d" % (100 // int(message)))

    async def main() -> None:
        async with aio.listen("127.0.0.1:0", backend=backend) as listener, aio.Pool() as pool:
            serving = asyncio.create_task(aio.serve(divide, listener))
            async with (
                aio.connect(listener.address, pool=pool, backend=backend) as good,
                aio.connect(listener.address, "bad", pool=pool, backend=backend) as bad,
            ):
                await bad.send(b"0")
                with pytest.raises(tcpconn.ConnectionClosed):
                    await bad.receive()
                await good.send(b"5")
                assert await good.receive() == b"20"
        await serving

    run(main())
    assert "the handler of id 'bad'" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_what_belongs_to_one_loop_refuses_another(pair: Pair, run: Run, backend: str) -> None:
    async def main() -> None:
        async with pair() as (client, server), aio.Pool() as pool:
            pool._keeper()

            def elsewhere() -> None:
                with pytest.raises(RuntimeError, match="belongs to the event loop of another thread"):
                    asyncio.run(client.send(b"x"))
                with pytest.raises(RuntimeError, match="belongs to the event loop of another thread"):
                    asyncio.run(client.receive())

                async def connect() -> None:
                    await aio.connect("127.0.0.1:1", pool=pool, backend=backend)

                with pytest.raises(RuntimeError, match="belongs to another event loop"):
                    asyncio.run(connect())

            await asyncio.to_thread(elsewhere)
            await client.send(b"here")
            assert await server.receive() == b"here"

    run(main())


def test_a_connection_that_loses_its_link_for_good_leaves_no_task(backend: str, run: Run) -> None:
    async def main() -> None:
        before = others()
        listener = await aio.listen("127.0.0.1:0", backend=backend, linger=0)
        async with aio.Pool() as pool:
            client = await aio.connect(
                listener.address, pool=pool, backend=backend, linger=0.1, reconnect_initial=0.005, reconnect_max=0.05
            )
            server = await listener.accept()
            await client.send(b"hello")
            assert await server.receive() == b"hello"
            # As if the server's process had died: no goodbye, and nobody listens any more.
            assert server._carrier.link is not None
            server._carrier.link.close()
            assert listener._listener is not None
            listener._listener.close()
            while client.state is not tcpconn.State.RECONNECTING:
                await asyncio.sleep(0.001)
            await client.send(b"nobody is there")
            with pytest.raises(tcpconn.TcpconnError):
                await client.close()
            assert others() == before
        await listener.close()
        assert others() == before

    run(main())

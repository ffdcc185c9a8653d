"""Programs that the tests of faults run as processes of their own: `python fault_programs.py ROLE ARGUMENT...`."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

import programs
import tcpconn
from eventually import eventually
from tcpconn import aio

__all__ = ["outcome", "running"]

_LIMIT = 40.0
"""Seconds within which a program that ends by itself has ended."""


def running(role: str, *arguments: str) -> AbstractContextManager[tuple[subprocess.Popen[str], str]]:
    """Start a program, one of those of `programs` or of these; see `programs.running`."""
    return programs.running(role, *arguments, script=__file__ if role in ROLES else programs.__file__)


def outcome(role: str, *arguments: str, prefix: Sequence[str] = ()) -> tuple[int, str, str]:
    """Run a program to its end and return its exit code, what it has printed, and what it has complained of."""
    done = subprocess.run(
        [*prefix, sys.executable, __file__, role, *arguments],
        env=programs.surroundings(),
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


async def _answer(connection: aio.AsyncConnection) -> None:
    async for message in connection:
        await connection.send(message)


def _answer_blocking(connection: tcpconn.Connection) -> None:
    for message in connection:
        connection.send(message)


# -- peers


def _echo_client(address: str) -> None:
    """Connect, and send back whatever comes."""
    connection = tcpconn.connect(address)
    print("connected", flush=True)
    _answer_blocking(connection)


def _use_in_a_child(inherited: Callable[[], object], address: str) -> int:
    """Be the child of a fork: what was inherited is refused, what is connected anew works. Return the exit code."""
    try:
        inherited()
    except (tcpconn.TcpconnError, RuntimeError) as error:
        print(f"in the child: {error}", file=sys.stderr)
    else:
        return 2
    with tcpconn.Pool() as pool, tcpconn.connect(address, pool=pool) as own:
        own.send(b"own")
        return 0 if own.receive(10.0) == b"own" else 3


def _fork_blocking(address: str) -> None:
    """Fork while two threads talk; the child leaves as any interpreter does."""
    connection = tcpconn.connect(address)
    count = 0

    def talk() -> None:
        nonlocal count
        for number in range(500):
            connection.send(b"%d" % number)
            assert connection.receive(20.0) == b"%d" % number
            count += 1

    thread = threading.Thread(target=talk)
    thread.start()
    assert eventually(lambda: count > 50)
    child = os.fork()
    if child == 0:
        sys.exit(_use_in_a_child(lambda: connection.send(b"from the child"), address))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    thread.join()
    print("child", code, "parent", count)


def _fork_asyncio(address: str) -> None:
    """The same on an event loop; `multiprocessing` forks, whose children end without going on with the parent's loop."""

    async def main() -> None:
        connection = await aio.connect(address)
        count = 0

        async def talk() -> None:
            nonlocal count
            for number in range(500):
                await connection.send(b"%d" % number)
                assert await connection.receive(20.0) == b"%d" % number
                count += 1
                await asyncio.sleep(0)

        def in_the_child() -> None:
            sys.exit(_use_in_a_child(lambda: asyncio.run(connection.send(b"from the child")), address))

        talking = asyncio.create_task(talk())
        while count <= 50:
            await asyncio.sleep(0)
        child = multiprocessing.get_context("fork").Process(target=in_the_child)
        child.start()
        while child.is_alive():
            await asyncio.sleep(0.01)
        await talking
        print("child", child.exitcode, "parent", count)

    asyncio.run(main())


def _never_ends(what: Callable[[], object]) -> None:
    with suppress(tcpconn.TcpconnError):
        what()


def _exit_busy_blocking() -> None:
    """Leave while threads listen, wait for messages, wait for credit and reconnect to nobody."""
    config = tcpconn.Config.load(linger=0.2, connect_timeout=None)
    listener = tcpconn.listen("127.0.0.1:0", config=config)
    client = tcpconn.connect(listener.address, config=config)
    server = listener.accept(20.0)
    full = tcpconn.connect(listener.address, config=config)
    tasks: list[Callable[[], object]] = [
        lambda: tcpconn.serve(_answer_blocking, listener),
        client.receive,
        server.receive,
        lambda: full.send_many([bytes(100_000)] * 1000),
        lambda: tcpconn.connect("127.0.0.1:9", config=config),
        client.receive_stream,
    ]
    for task in tasks:
        threading.Thread(target=_never_ends, args=(task,), daemon=True).start()
    assert eventually(lambda: full.stats().messages_sent > 10)
    print("leaving", flush=True)


def _exit_busy_asyncio() -> None:
    """The same with a loop that runs on in a daemon thread, and one that has ended."""

    async def open_all() -> list[object]:
        listener = await aio.listen("127.0.0.1:0", linger=0.2)
        client = await aio.connect(listener.address, linger=0.2)
        server = await listener.accept(20.0)
        await client.send(b"x")
        return [listener, client, server, asyncio.create_task(server.receive())]

    asyncio.run(open_all())
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    kept = asyncio.run_coroutine_threadsafe(open_all(), loop).result(20.0)
    assert kept
    print("leaving", flush=True)


# -- resources

_spare: list[int] = []


def _limit_descriptors(more: int) -> tuple[int, int]:
    """Let the process open `more` descriptors beyond what it has; return the limits that it had."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    # The limit is the lowest number that none may have; holes below it are filled first.
    spare = [os.open(os.devnull, os.O_RDONLY) for _ in range(64 + more)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, limits[1]))
    for descriptor in sorted(spare)[:more]:
        os.close(descriptor)
    _spare.extend(sorted(spare)[more:])
    return limits


def _leave_no_descriptor() -> tuple[int, int]:
    """Take all descriptors, those included that closed links give back; return the limits that there were."""
    assert eventually(lambda: not any("lingering" in thread.name for thread in threading.enumerate()))
    limits = _limit_descriptors(0)
    with suppress(OSError):
        while True:
            _spare.append(os.open(os.devnull, os.O_RDONLY))
    return limits


def _limited_blocking(address: str) -> None:
    """Serve with few descriptors, until killed."""
    with tcpconn.listen(address, idle_timeout=0.1, resume_timeout=0.5) as listener:
        print(listener.address, flush=True)
        _limit_descriptors(30)
        tcpconn.serve(_answer_blocking, listener)


def _limited_asyncio(address: str) -> None:
    async def main() -> None:
        async with await aio.listen(address, idle_timeout=0.1, resume_timeout=0.5) as listener:
            print(listener.address, flush=True)
            _limit_descriptors(30)
            await aio.serve(_answer, listener)

    asyncio.run(main())


def _guarded(backend: str, key: str, *files: str) -> None:
    """Serve who proves that he knows a key, until killed; with the files of a certificate and its key over TLS."""
    settings: dict[str, Any] = {"encrypt": True, "tls_cert": files[0], "tls_key": files[1]} if files else {}
    with tcpconn.listen("127.0.0.1:0", backend=backend, auth_key=key, handshake_timeout=3.0, **settings) as listener:
        print(listener.address, flush=True)
        tcpconn.serve(_answer_blocking, listener)


def _starved_blocking(address: str) -> None:
    """Connect without a descriptor to be had, then with some."""
    # What is made once for each process is there by now.
    with tcpconn.Pool() as pool:
        tcpconn.connect(address, "first", pool=pool).close()
    limits = _leave_no_descriptor()
    try:
        with tcpconn.Pool() as pool:
            tcpconn.connect(address, pool=pool, connect_timeout=0.5)
    except tcpconn.ConnectError as error:
        print(f"ConnectError: {error}")
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with tcpconn.connect(address) as connection:
        connection.send(b"x")
        connection.receive(20.0)
    print("answered")


def _starved_asyncio(address: str) -> None:
    async def main() -> None:
        async with aio.Pool() as pool:
            await (await aio.connect(address, "first", pool=pool)).close()
        limits = _leave_no_descriptor()
        try:
            async with aio.Pool() as pool:
                await aio.connect(address, pool=pool, connect_timeout=0.5)
        except tcpconn.ConnectError as error:
            print(f"ConnectError: {error}")
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        async with await aio.connect(address) as connection:
            await connection.send(b"x")
            await connection.receive(20.0)
        print("answered")

    asyncio.run(main())


# -- packets


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _through_losses(*shape: str) -> None:
    """Send numbered messages both ways over a loopback that drops packets; in a network namespace of its own."""
    # Packets as on Ethernet: by default one may hold 64 KiB here.
    _run("ip", "link", "set", "lo", "up", "mtu", "1500", "gso_max_size", "1500")
    _run("tc", "qdisc", "add", "dev", "lo", "root", *shape)
    count = 0
    with tcpconn.listen("127.0.0.1:0") as listener:
        threading.Thread(target=tcpconn.serve, args=(_answer_blocking, listener), daemon=True).start()
        with tcpconn.connect(listener.address, linger=20.0) as connection:
            messages = [b"%d " % number + bytes(number % 3000) for number in range(3000)]
            sending = threading.Thread(target=connection.send_many, args=(messages,))
            sending.start()
            for message in messages:
                assert connection.receive(30.0) == message
                count += 1
            sending.join()
    dropped = re.search(r"dropped (\d+)", _run("tc", "-s", "qdisc", "show", "dev", "lo"))
    assert dropped is not None
    print(f"messages={count}\ndropped={dropped[1]}")


def _through_an_outage() -> None:
    """Take the network away until that is noticed, and give it back; in a network namespace of its own."""
    _run("ip", "link", "set", "lo", "up")
    settings: dict[str, Any] = {"heartbeat_interval": 0.1, "reconnect_max": 0.1, "handshake_timeout": 1.0}
    with tcpconn.listen("127.0.0.1:0", **settings) as listener:
        threading.Thread(target=tcpconn.serve, args=(_answer_blocking, listener), daemon=True).start()
        with tcpconn.connect(listener.address, linger=20.0, **settings) as connection:
            states: list[str] = []
            connection.on_state_change(lambda state: states.append(str(state)))
            connection.send(b"before")
            connection.receive(20.0)
            _run("tc", "qdisc", "add", "dev", "lo", "root", "pfifo", "limit", "0")
            connection.send_many([b"%d" % number for number in range(100)])
            assert eventually(lambda: states), "the outage was not noticed"
            time.sleep(0.5)
            _run("tc", "qdisc", "del", "dev", "lo", "root")
            answers = [connection.receive(20.0) for _ in range(100)]
            assert answers == [b"%d" % number for number in range(100)]
    print(*dict.fromkeys(states[:2]), len(answers))


ROLES: dict[str, Callable[..., None]] = {
    "echo-client": _echo_client,
    "exit-busy-asyncio": _exit_busy_asyncio,
    "exit-busy-blocking": _exit_busy_blocking,
    "fork-asyncio": _fork_asyncio,
    "fork-blocking": _fork_blocking,
    "guarded": _guarded,
    "limited-asyncio": _limited_asyncio,
    "limited-blocking": _limited_blocking,
    "starved-asyncio": _starved_asyncio,
    "starved-blocking": _starved_blocking,
    "through-an-outage": _through_an_outage,
    "through-losses": _through_losses,
}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])

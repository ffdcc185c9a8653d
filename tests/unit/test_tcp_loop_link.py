"""What tcp's links for asyncio do at the edges of a transport: full buffers, resets, ends, on both loops."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from tcpconn.address import Address
from tcpconn.testing.contract import RecordingSink
from tcpconn.transport import LinkOptions
from tcpconn_tcp import loop
from tcpconn_tcp.loop import LoopTcpLink, LoopTcpTransport

DEADLINE = 20.0
SMALL = LinkOptions(send_buffer=16_384, receive_buffer=16_384)

Main = Callable[[LoopTcpLink, RecordingSink, socket.socket], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Return a function that runs a test with a link to a plain socket, which does not block."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    async def linked(main: Main, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DEADLINE):
            link = await LoopTcpTransport().connect(Address(*listening.getsockname()[:2]), SMALL)
            peer, _ = await loop.sock_accept(listening)
            peer.setblocking(False)
            sink = RecordingSink()
            link.sink = sink
            with peer:
                await main(link, sink, peer)
                link.close()
            await link.gone

    def run(main: Main) -> None:
        with socket.socket() as listening, asyncio.Runner(loop_factory=factory) as runner:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            listening.setblocking(False)
            runner.run(linked(main, listening))

    return run


async def read(peer: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count and (more := await asyncio.get_running_loop().sock_recv(peer, 65_536)):
        data += more
    return data


@pytest.mark.parametrize("sizes", [[100_000], [50_000, 50_000], [10] * 10_000], ids=["one", "gathered", "joined"])
def test_a_link_that_is_full_takes_nothing_until_it_says_that_it_would(run: Run, sizes: list[int]) -> None:
    async def main(link: LoopTcpLink, sink: RecordingSink, peer: socket.socket) -> None:
        buffers = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
        written = 0
        while taken := link.write(buffers):
            assert taken == 100_000
            written += 1
        assert written > 1
        writable = asyncio.Event()
        link.when_writable(writable.set)
        await asyncio.sleep(0)
        assert not writable.is_set()
        reading = asyncio.create_task(read(peer, (written + 1) * 100_000))
        await writable.wait()
        assert link.write(buffers) == 100_000
        assert await reading == b"".join(buffers) * (written + 1)
        again = asyncio.Event()
        link.when_writable(again.set)
        await again.wait()

    run(main)


def test_what_was_taken_is_sent_after_the_close_and_what_comes_then_is_dropped(run: Run) -> None:
    async def main(link: LoopTcpLink, sink: RecordingSink, peer: socket.socket) -> None:
        written = 0
        while taken := link.write([b"x" * 100_000]):
            written += taken
        link.close()
        link.close()
        await asyncio.get_running_loop().sock_sendall(peer, b"too late")
        assert len(await read(peer, written + 1)) == written
        with pytest.raises(OSError, match="is closed"):
            link.write([b"x"])
        assert sink.data == b""
        assert sink.losses == []

    run(main)


def test_an_empty_buffer_behind_large_ones_keeps_nobody(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tcpconn_tcp.loop.LIMIT", 2 * DEADLINE)  # so that it does not end by force

    async def main(link: LoopTcpLink, sink: RecordingSink, peer: socket.socket) -> None:
        assert link.write([b"head", b"", b"x" * 50_000, b"head", b""]) == 50_008
        link.close()
        assert len(await read(peer, 50_009)) == 50_008
        peer.close()

    run(main)


def test_a_peer_that_never_ends_is_left_after_a_while(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LIMIT", 0.3)

    async def main(link: LoopTcpLink, sink: RecordingSink, peer: socket.socket) -> None:
        link.close()
        await link.gone
        assert sink.losses == []

    run(main)


def test_the_peers_end_is_told_once_after_its_last_bytes(run: Run) -> None:
    async def main(link: LoopTcpLink, sink: RecordingSink, peer: socket.socket) -> None:
        await asyncio.get_running_loop().sock_sendall(peer, b"last words")
        peer.close()
        await link.gone
        assert sink.data == b"last words"
        assert sink.losses == [None]

    run(main)


def test_a_reset_is_told_once_with_its_cause(run: Run) -> None:
    async def main(link: LoopTcpLink, sink: RecordingSink, peer: socket.socket) -> None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()
        await link.gone
        (loss,) = sink.losses
        assert isinstance(loss, ConnectionResetError)
        with pytest.raises(OSError, match="is closed"):
            link.write([b"x"])

    run(main)


def test_a_read_past_the_transport_takes_what_is_there_and_leaves_the_end_to_it(run: Run) -> None:
    async def main(link: LoopTcpLink, sink: RecordingSink, peer: socket.socket) -> None:
        assert link.read(0) == 0
        peer.send(b"past it")
        assert link.read(None) == 7
        peer.send(b", by it")
        while len(sink.data) < 14:
            await asyncio.sleep(0)
        peer.send(b", and the end")
        peer.close()
        assert link.read(0) == 13
        assert link.read(0) == 0
        assert sink.losses == []
        await link.gone
        assert sink.losses == [None]
        assert sink.data == b"past it, by it, and the end"
        assert link.read(0) == 0

    run(main)


def test_nothing_is_read_before_there_is_a_sink() -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setblocking(False)
            link = await LoopTcpTransport().connect(Address(*listening.getsockname()[:2]), LinkOptions())
            peer, _ = await asyncio.get_running_loop().sock_accept(listening)
            with peer:
                await asyncio.get_running_loop().sock_sendall(peer, b"early")
                for _ in range(5):
                    await asyncio.sleep(0)
                with pytest.raises(AttributeError, match="sink"):
                    link.sink  # noqa: B018
                sink = RecordingSink()
                link.sink = sink
                while sink.data != b"early":
                    await asyncio.sleep(0)
                link.close()
            await link.gone

    asyncio.run(asyncio.wait_for(main(), DEADLINE))

"""Measure what a listener under attack still does for a good client: `python tests/soak/attack.py --help`.

A server answers; a good client exchanges messages with it as fast as it can, first alone and then while a third process holds
a thousand connections that misbehave, each in one of several ways, and come back as soon as they are shown out.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import multiprocessing
import selectors
import socket
import statistics
import sys
import time
from collections import Counter
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe

import tcpconn
from tcpconn import frames
from tcpconn.frames import FIRST, LAST, Frame, FrameType, Hello

PAUSE = 1.0
"""Seconds until one that was shown out comes back."""


def serve(pipe: Pipe, backend: str) -> None:
    def handler(connection: tcpconn.Connection) -> None:
        for message in connection:
            connection.send(message)

    # What the peers did would be thousands of lines.
    logging.getLogger("tcpconn").setLevel(logging.CRITICAL)
    with tcpconn.listen("127.0.0.1:0", backend=backend, linger=0.0) as listener:
        pipe.send(listener.address)
        tcpconn.serve(handler, listener)


def _opening(number: int) -> bytes:
    return Hello(session=number.to_bytes(16, "big")).encode().encode()


def _words(number: int, streams: int) -> bytes:
    """Return what one of them says; `streams` is how many connections those open that do."""
    kinds = (
        b"",
        _opening(number)[:30],
        b"GET / HTTP/1.1\r\n\r\n",
        bytes([number % 256]) * 100,
        _opening(number),
        _opening(number) + frames.ping(1).encode() * 1000,
        _opening(number) + Frame(99).encode(),
        _opening(number) + b"".join(frames.open_stream(2 * n + 1, f"{n}", None).encode() for n in range(streams)),
        _opening(number) + frames.open_stream(1, "a", None).encode() + Frame(FrameType.DATA, FIRST | LAST, 1).encode() * 200,
        _opening(number) + frames.open_stream(1, "b", None).encode() + Frame(FrameType.DATA, FIRST, 1, b"\0" * 8).encode(),
    )
    return kinds[number % len(kinds)]


def attack(pipe: Pipe, address: str, count: int, streams: int) -> None:
    """Hold `count` connections until told to end; tell how often one was made."""
    host, _, port = address.rpartition(":")
    selector = selectors.DefaultSelector()
    numbers = itertools.count()
    back: list[float] = [time.monotonic() + PAUSE * position / count for position in range(count)]
    made = Counter[str]()
    while not pipe.poll():
        now = time.monotonic()
        waiting = [when for when in back if when > now]
        for _ in range(len(back) - len(waiting)):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex((host, int(port)))
            selector.register(one, selectors.EVENT_WRITE, next(numbers))
            made["connections"] += 1
        back = waiting
        for key, events in selector.select(0.01):
            one = key.fileobj  # type: ignore[assignment]
            ended = False
            try:
                if events & selectors.EVENT_WRITE:
                    one.send(_words(key.data, streams))
                    selector.modify(one, selectors.EVENT_READ, key.data)
                else:
                    ended = not one.recv(65_536)
            except BlockingIOError:
                pass
            except OSError:
                ended = True
            if ended:
                selector.unregister(one)
                one.close()
                made["shown out"] += 1
                back.append(now + PAUSE)
    pipe.send(dict(made))


def throughput(address: str, backend: str, seconds: float) -> list[float]:
    """Return exchanges a second, in each of so many seconds; each exchange is a burst of twenty messages and their answers."""
    rates = []
    patience = tcpconn.Config.load(backend=backend, connect_timeout=60.0, linger=60.0)
    with tcpconn.Pool() as pool, tcpconn.connect(address, pool=pool, config=patience) as connection:
        burst = [bytes(1000)] * 20
        for _ in range(int(seconds)):
            over = time.monotonic() + 1.0
            count = 0
            while time.monotonic() < over:
                connection.send_many(burst)
                for _ in burst:
                    connection.receive(60.0)
                count += len(burst)
            rates.append(count / 1.0)
    return rates


def measure(backend: str, seconds: float, count: int, streams: int) -> float:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs, backend), daemon=True)
    server.start()
    address = ours.recv()
    quiet = throughput(address, backend, seconds)
    command, end = context.Pipe()
    attacker = context.Process(target=attack, args=(end, address, count, streams), daemon=True)
    attacker.start()
    time.sleep(2 * PAUSE)
    attacked = throughput(address, backend, seconds)
    command.send("enough")
    made = command.recv()
    alone, beside = statistics.median(quiet), statistics.median(attacked)
    print(
        f"{backend}: {alone:,.0f} messages/s alone, {beside:,.0f} beside {count} connections that misbehave ({made}): "
        f"{beside / alone:.2f} times",
        flush=True,
    )
    with suppress(OSError):
        attacker.join(5)
    server.terminate()
    server.join()
    return beside / alone


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=2, help="logical connections, each a thread of the server, of a tenth")
    parser.add_argument("--backends", default="tcp,zmq")
    chosen = parser.parse_args()
    ratios = [measure(backend, chosen.seconds, chosen.connections, chosen.streams) for backend in chosen.backends.split(",")]
    return 0 if min(ratios) >= 0.5 else 1


if __name__ == "__main__":
    sys.exit(main())

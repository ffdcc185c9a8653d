"""Measure what producers that are faster than their consumers do to memory and to others: see `--help`.

A server reads some connections slowly and answers on another one at once. A client exchanges small messages on that one, at a
steady rate, first alone and then while it floods the slow ones. Each end is a process.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe

import psutil

import tcpconn

PACE = 0.002
"""Seconds between two exchanges."""


def serve(pipe: Pipe, backend: str, pause: float) -> None:
    """Read slowly what comes on connections called `slow`, and answer on others."""

    def handler(connection: tcpconn.Connection) -> None:
        slow = str(connection.id).startswith("slow")
        for message in connection:
            if slow:
                time.sleep(pause)
            else:
                connection.send(message)

    with tcpconn.listen("127.0.0.1:0", backend=backend, linger=0) as listener:
        pipe.send(listener.address)
        tcpconn.serve(handler, listener)


def exchange(connection: tcpconn.Connection, seconds: float) -> list[float]:
    """Return how long exchanges took, in seconds."""
    times = []
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        begun = time.perf_counter()
        connection.send(b"x" * 100)
        connection.receive(60.0)
        times.append(time.perf_counter() - begun)
        time.sleep(PACE)
    return times


def flood(address: str, backend: str, number: int, size: int, over: threading.Event, pool: tcpconn.Pool) -> None:
    with suppress(tcpconn.TcpconnError):
        connection = tcpconn.connect(address, f"slow-{number}", pool=pool, backend=backend, linger=0)
        message = bytes(size)
        while not over.is_set():
            with suppress(tcpconn.TimedOut):
                connection.send(message, timeout=0.5)


def told(times: list[float]) -> str:
    cuts = statistics.quantiles(times, n=100)
    return f"p50 {cuts[49] * 1e6:.0f} µs, p99 {cuts[98] * 1e6:.0f} µs of {len(times)}"


def measure(backend: str, seconds: float, producers: int, size: int) -> None:
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, backend, 0.005), daemon=True)
    server.start()
    address = ours.recv()
    processes = {"client": psutil.Process(), "server": psutil.Process(server.pid)}
    over = threading.Event()
    with tcpconn.Pool() as pool:
        good = tcpconn.connect(address, "good", pool=pool, backend=backend)
        exchange(good, 1.0)
        quiet = exchange(good, min(seconds, 10.0))
        before = {name: process.memory_info().rss for name, process in processes.items()}
        threads = [
            threading.Thread(target=flood, args=(address, backend, number, size, over, pool)) for number in range(producers)
        ]
        for thread in threads:
            thread.start()
        peak = dict(before)

        def watch() -> None:
            while not over.wait(0.2):
                for name, process in processes.items():
                    peak[name] = max(peak[name], process.memory_info().rss)

        watching = threading.Thread(target=watch)
        watching.start()
        time.sleep(min(2.0, seconds / 4))
        loaded = exchange(good, seconds)
        over.set()
        for thread in (*threads, watching):
            thread.join()
    server.terminate()
    server.join()
    ratio = statistics.quantiles(loaded, n=100)[98] / statistics.quantiles(quiet, n=100)[98]
    grown = ", ".join(f"{name} {(peak[name] - before[name]) / 1e6:.1f} MB" for name in processes)
    print(
        f"{backend}: quiet {told(quiet)}; beside {producers} producers of {size} bytes for {seconds:.0f} s {told(loaded)}: "
        f"p99 {ratio:.2f} times; memory grew by: {grown}; "
        f"credit allows {producers * tcpconn.Config().credit / 1e6:.1f} MB at each",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--producers", type=int, default=4)
    parser.add_argument("--size", type=int, default=2000)
    parser.add_argument("--backends", default="tcp,zmq")
    chosen = parser.parse_args()
    for backend in chosen.backends.split(","):
        measure(backend, chosen.seconds, chosen.producers, chosen.size)
    return 0


if __name__ == "__main__":
    sys.exit(main())

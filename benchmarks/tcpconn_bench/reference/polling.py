"""Busy polling as a citizen: on one processor, when nothing happens, and when others want the processors."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from time import process_time, sleep

import tcpconn
from tcpconn_bench.reference.actors import Actor
from tcpconn_bench.reference.ends import Pair
from tcpconn_bench.reference.figures import Figure, at_least, at_most

__all__ = ["measure_crowded", "measure_idle", "measure_one_cpu"]

_SIZE = 100
_ROUND_TRIPS = 3000
_STREAMED = 100_000
_IDLE_SECONDS = 20.0


class Hog:
    """Keeps one processor busy as long as its process lives."""

    def __init__(self) -> None:
        threading.Thread(target=self._burn, daemon=True).start()

    def _burn(self) -> None:
        while True:
            sum(range(1000))

    def burning(self) -> bool:
        return True


class Idler:
    """An end that has been busy a moment ago and now waits, in `receive` or without any thread in the library."""

    def __init__(self) -> None:
        self._listener: tcpconn.Listener | None = None

    def listen(self) -> str:
        self._listener = tcpconn.listen("127.0.0.1:0")
        return self._listener.address

    def connect(self, address: str) -> None:
        self._connection = tcpconn.connect(address)

    def accept(self) -> None:
        assert self._listener is not None
        self._connection = self._listener.accept(60)

    def ask(self, count: int) -> None:
        for _ in range(count):
            self._connection.send(bytes(_SIZE))
            self._connection.receive()

    def echo(self, count: int) -> None:
        for _ in range(count):
            self._connection.send(self._connection.receive())

    def idle(self, seconds: float, *, receiving: bool) -> float:
        """Return the part of one processor that this process uses meanwhile, in percent."""
        begun = process_time()
        if receiving:
            try:
                self._connection.receive(seconds)
            except tcpconn.TimedOut:
                pass
            else:
                raise AssertionError("nobody was to send anything")
        else:
            sleep(seconds)
        return (process_time() - begun) / seconds * 100


def measure_one_cpu(rounds: int) -> Sequence[Figure]:
    """Measure round trips with both processes on one processor, by default and without polling."""
    figure = Figure("round trip of 100 B, both processes on one CPU", "µs", at_most(1.05), "busy_poll=0")
    cpus = sorted(os.sched_getaffinity(0))[:1]
    with ExitStack() as stack:
        pairs = {"default": Pair(stack, "tcp", cpus=cpus), "off": Pair(stack, "tcp", {"busy_poll": 0}, cpus)}
        for number in range(rounds + 1):
            order = ("default", "off") if number % 2 else ("off", "default")
            taken = {name: pairs[name].round_trips(_SIZE, _ROUND_TRIPS).seconds / _ROUND_TRIPS * 1e6 for name in order}
            if number:
                figure.add(taken["default"], taken["off"])
    return [figure]


def measure_idle(_rounds: int) -> Sequence[Figure]:
    """Measure once what an open connection takes on which nothing happens, heartbeats included."""
    figures = [
        Figure(f"open connection, {_IDLE_SECONDS:g} s without a message, {how}", "% CPU", at_most(0.1, ratio=False))
        for how in ("nobody receives", "a thread receives")
    ]
    with ExitStack() as stack:
        server, client = stack.enter_context(Actor(Idler)), stack.enter_context(Actor(Idler))
        client.call(Idler.connect, server.call(Idler.listen))
        server.call(Idler.accept)
        server.begin(Idler.echo, _ROUND_TRIPS)
        client.call(Idler.ask, _ROUND_TRIPS)
        server.result()
        client.begin(Idler.idle, _IDLE_SECONDS, receiving=False)
        server.begin(Idler.idle, _IDLE_SECONDS, receiving=True)
        figures[0].add(client.result())
        figures[1].add(server.result())
    return figures


def measure_crowded(rounds: int) -> Sequence[Figure]:
    """Measure beside as many busy processes as there are processors, by default and without polling."""
    stream = Figure("stream of 100 B beside busy processes", "k/s", at_least(0.95), "busy_poll=0")
    trips = Figure("round trips of 100 B beside busy processes", "k/s", at_least(0.95), "busy_poll=0")
    with ExitStack() as stack:
        pairs = {"default": Pair(stack, "tcp"), "off": Pair(stack, "tcp", {"busy_poll": 0})}
        for _ in os.sched_getaffinity(0):
            stack.enter_context(Actor(Hog)).call(Hog.burning)
        for number in range(rounds + 1):
            order = ("default", "off") if number % 2 else ("off", "default")
            streamed = {name: _STREAMED / pairs[name].stream(_SIZE, _STREAMED).seconds / 1e3 for name in order}
            returned = {name: _ROUND_TRIPS / pairs[name].round_trips(_SIZE, _ROUND_TRIPS).seconds / 1e3 for name in order}
            if number:
                stream.add(streamed["default"], streamed["off"])
                trips.add(returned["default"], returned["off"])
    return [stream, trips]

"""Many threads on one link, against one thread that does all of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from threading import Barrier, Thread
from time import perf_counter

import tcpconn
from tcpconn_bench.reference.actors import Actor
from tcpconn_bench.reference.figures import Figure, at_least

__all__ = ["measure_round_trips", "measure_streams"]

_THREADS = 8
_STREAMED = 400_000
_ROUND_TRIPS = 8000
_SIZES = {"100 B": 100, "1 KiB": 1024}
_DONE = b"all received"


class _Threads:
    """One end: a number of connections, and threads that work on them."""

    connections: list[tcpconn.Connection]

    def send(self, threads: int, total: int, size: int) -> float:
        """Let threads send `total` messages together; return the seconds until the last of each connection is confirmed."""
        message = bytes(size)
        connections = self.connections

        def send(index: int) -> None:
            connection = connections[index % len(connections)]
            for _ in range(total // threads):
                connection.send(message)

        def confirm() -> None:
            for connection in connections:
                assert connection.receive() == _DONE

        return _timed(threads, send, confirm)

    def receive(self, total: int) -> None:
        """Receive as many messages together on all connections, a thread for each, and confirm the last of each."""
        connections = self.connections

        def receive(index: int) -> None:
            connection = connections[index]
            for _ in range(total // len(connections)):
                connection.receive()
            connection.send(_DONE)

        _timed(len(connections), receive)

    def compute(self, threads: int, total: int) -> float:
        """Let threads compute together, without a connection; return the seconds."""

        def compute(_: int) -> None:
            for _ in range(total // threads):
                _compute()

        return _timed(threads, compute)

    def ask(self, total: int, size: int) -> float:
        """Send messages and wait for each to return, a thread for each connection; return the seconds."""
        message = bytes(size)
        connections = self.connections

        def ask(index: int) -> None:
            connection = connections[index]
            for _ in range(total // len(connections)):
                connection.send(message)
                connection.receive()

        return _timed(len(connections), ask)

    def echo(self, total: int) -> None:
        """Send back what comes, a thread for each connection."""
        connections = self.connections

        def echo(index: int) -> None:
            connection = connections[index]
            for _ in range(total // len(connections)):
                connection.send(connection.receive())

        _timed(len(connections), echo)


class Dialling(_Threads):
    """The dialling end."""

    def __init__(self, address: str, connections: int, cpus: Collection[int] = ()) -> None:
        _hold_to(cpus)
        self.connections = [tcpconn.connect(address) for _ in range(connections)]


class Listening(_Threads):
    """The listener's end."""

    def __init__(self, cpus: Collection[int] = ()) -> None:
        _hold_to(cpus)
        self._listener = tcpconn.listen("127.0.0.1:0")

    def address(self) -> str:
        return self._listener.address

    def accept(self, connections: int) -> None:
        self.connections = [self._listener.accept(60) for _ in range(connections)]


def _compute() -> int:
    """Do about as much in the interpreter as sending a small message takes."""
    result = 0
    for number in range(16):
        result += number & 3
    return result


def _hold_to(cpus: Collection[int]) -> None:
    """Hold this thread, and those that it starts, to some CPUs, if any are named."""
    if cpus:
        os.sched_setaffinity(0, cpus)


def _timed(threads: int, work: Callable[[int], None], afterwards: Callable[[], None] | None = None) -> float:
    """Let threads do their work, each given its number, from a common start on; return the seconds that all of it took.

    Raises:
        RuntimeError: one of them has failed.
    """
    failures: list[BaseException] = []
    start = Barrier(threads + 1)

    def run(index: int) -> None:
        start.wait()
        try:
            work(index)
        except BaseException as error:
            failures.append(error)

    running = [Thread(target=run, args=(index,)) for index in range(threads)]
    for thread in running:
        thread.start()
    start.wait()
    begun = perf_counter()
    for thread in running:
        thread.join()
    if failures:
        raise RuntimeError(f"{len(failures)} of {threads} threads failed") from failures[0]
    if afterwards is not None:
        afterwards()
    return perf_counter() - begun


class _Ends:
    """The two ends of a link with a number of connections, each held to one of `cpus` if two are named."""

    def __init__(self, stack: ExitStack, connections: int, cpus: Sequence[int] = ()) -> None:
        self.server = stack.enter_context(Actor(Listening, cpus[:1]))
        self.client = stack.enter_context(Actor(Dialling, self.server.call(Listening.address), connections, cpus[1:]))
        self.server.call(Listening.accept, connections)

    def stream(self, threads: int, size: int) -> float:
        """Return the messages a second, in thousands."""
        self.server.begin(Listening.receive, _STREAMED)
        seconds = self.client.call(Dialling.send, threads, _STREAMED, size)
        self.server.result()
        return _STREAMED / seconds / 1e3

    def compute(self, threads: int, others: int = 1) -> float:
        """Return how often a second, in thousands, threads of one end compute, while `others` of the other end do so, too."""
        self.server.begin(Listening.compute, others, _STREAMED)
        seconds = self.client.call(Dialling.compute, threads, _STREAMED)
        self.server.result()
        return _STREAMED / seconds / 1e3

    def round_trips(self, size: int) -> float:
        """Return the round trips a second, in thousands."""
        self.server.begin(Listening.echo, _ROUND_TRIPS)
        seconds = self.client.call(Dialling.ask, _ROUND_TRIPS, size)
        self.server.result()
        return _ROUND_TRIPS / seconds / 1e3


def measure_streams(rounds: int) -> Sequence[Figure]:
    """Measure what threads that send at a time get through, on connections of their own and on one.

    Again with each process held to a CPU of its own, where there are two: what differs is where the system runs the threads.
    What threads that send nothing lose to one is the interpreter's: they only take turns.
    """
    figures = _measure_streams(rounds, (), "")
    cpus = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    return figures + (_measure_streams(rounds, cpus, ", each end pinned") if len(cpus) == 2 else [])


def _measure_streams(rounds: int, cpus: Sequence[int], how: str) -> list[Figure]:
    figures = []
    with ExitStack() as stack:
        many, shared, alone = (_Ends(stack, connections, cpus) for connections in (_THREADS, 1, 1))
        for name, size in _SIZES.items():
            each = Figure(f"{_THREADS} threads send {name} on {_THREADS} connections{how}", "k/s", at_least(1), "one thread")
            same = Figure(f"{_THREADS} threads send {name} on one connection{how}", "k/s", at_least(1), "one thread")
            for number in range(rounds + 1):
                base, on_many, on_one = alone.stream(1, size), many.stream(_THREADS, size), shared.stream(_THREADS, size)
                if number:
                    each.add(on_many, base)
                    same.add(on_one, base)
            figures += [each, same]
        at_one = Figure(f"{_THREADS} threads that compute, without a connection{how}", "k/s", None, "one thread")
        at_both = Figure(f"{_THREADS} threads that compute, {_THREADS} at the other end, too{how}", "k/s", None, "one thread")
        for number in range(rounds + 1):
            base, one, both = alone.compute(1), alone.compute(_THREADS), alone.compute(_THREADS, _THREADS)
            if number:
                at_one.add(one, base)
                at_both.add(both, base)
        figures += [at_one, at_both]
    return figures


def measure_round_trips(rounds: int) -> Sequence[Figure]:
    """Measure the round trips that threads do at a time on connections of their own, all together."""
    figures = []
    with ExitStack() as stack:
        many, alone = _Ends(stack, _THREADS), _Ends(stack, 1)
        for name, size in _SIZES.items():
            figure = Figure(f"round trips of {name} by {_THREADS} threads, together", "k/s", at_least(1), "one thread")
            for number in range(rounds + 1):
                base, together = alone.round_trips(size), many.round_trips(size)
                if number:
                    figure.add(together, base)
            figures.append(figure)
    return figures

"""Many logical connections on one link: what each costs in time and in memory, and what opening one takes."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import cycle, islice
from time import perf_counter, process_time

import psutil

import tcpconn
from tcpconn_bench.reference.actors import Actor
from tcpconn_bench.reference.figures import Figure, at_most

__all__ = ["measure_memory", "measure_messages", "measure_opening", "measure_second"]

_MESSAGE = bytes(range(100))
_KIBIBYTE = bytes(range(256)) * 4
_COUNTS = (1, 100, 10_000)
_PER_ROUND = 30_000
"""A multiple of each of the counts."""
_OPEN = 10_000
_SOCKETS = 500
_HELD = 100_000
_ROUND_TRIPS = 4000
_DONE = b"all received"


class Accepting:
    """The listener's end: accepts connections in the order of their opening and does what is asked of it with all of them."""

    def __init__(self) -> None:
        self._listener = tcpconn.listen("127.0.0.1:0")
        self._sockets = socket.create_server(("127.0.0.1", 0), backlog=_SOCKETS)
        self.connections: list[tcpconn.Connection] = []

    def address(self) -> str:
        return self._listener.address

    def socket_address(self) -> tuple[str, int]:
        host, port = self._sockets.getsockname()[:2]
        return host, port

    def accept(self, count: int) -> float:
        """Accept so many connections; return the seconds of processor time that took, all threads together."""
        begun = process_time()
        accept = self._listener.accept
        self.connections += [accept(60) for _ in range(count)]
        return process_time() - begun

    def accept_sockets(self, count: int) -> None:
        accepted = [self._sockets.accept()[0] for _ in range(count)]
        for one in accepted:
            one.close()

    def drain(self, total: int) -> None:
        """Receive one message from each connection in turn, and confirm the last."""
        for connection in islice(cycle(self.connections), total):
            connection.receive()
        self.connections[0].send(_DONE)

    def echo(self, total: int) -> None:
        """Send back one message of each connection in turn."""
        for connection in islice(cycle(self.connections), total):
            connection.send(connection.receive())

    def echo_first(self, total: int) -> None:
        """Send back the messages of the first connection."""
        connection = self.connections[0]
        for _ in range(total):
            connection.send(connection.receive())

    def echo_by_threads(self) -> None:
        """Send back whatever comes on each connection, in a thread for each, as `serve` does."""
        for connection in self.connections:
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()

    def resident(self) -> int:
        return _resident()

    def traced(self) -> int:
        return _traced()


class Opening:
    """The dialling end: opens connections over one link and does what is asked of it with all of them."""

    def __init__(self, address: str) -> None:
        self._address = address
        self.connections: list[tcpconn.Connection] = []

    def open(self, count: int) -> float:
        """Open so many connections; return the seconds."""
        connect, address, keep = tcpconn.connect, self._address, self.connections.append
        begun = perf_counter()
        for _ in range(count):
            keep(connect(address))
        seconds = perf_counter() - begun
        self.connections[-1].flush(60)
        return seconds

    def open_sockets(self, where: tuple[str, int], count: int) -> float:
        """Connect so many plain sockets; return the seconds."""
        begun = perf_counter()
        opened = [socket.create_connection(where) for _ in range(count)]
        seconds = perf_counter() - begun
        for one in opened:
            one.close()
        return seconds

    def pour(self, total: int) -> float:
        """Send one message over each connection in turn; return the seconds until the last is confirmed."""
        begun = perf_counter()
        for connection in islice(cycle(self.connections), total):
            connection.send(_MESSAGE)
        assert self.connections[0].receive() == _DONE
        return perf_counter() - begun

    def ask(self, total: int, used: int) -> float:
        """Send messages and wait for each to return, over the first `used` connections in turn; return the seconds."""
        begun = perf_counter()
        for connection in islice(cycle(self.connections[:used]), total):
            connection.send(_KIBIBYTE)
            connection.receive()
        return perf_counter() - begun

    def use_each(self) -> None:
        """Send a message there and back over each connection."""
        for connection in self.connections:
            connection.send(_MESSAGE)
        for connection in self.connections:
            connection.receive()

    def resident(self) -> int:
        return _resident()

    def traced(self) -> int:
        return _traced()


def _echo(connection: tcpconn.Connection) -> None:
    with suppress(tcpconn.ConnectionClosed):
        for message in connection:
            connection.send(message)


def _resident() -> int:
    """Return the bytes of memory that this process occupies."""
    return int(psutil.Process().memory_info().rss)


def _traced() -> int:
    """Return the bytes that Python has allocated since this was called first."""
    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


class _Ends:
    """The two ends of a link with a number of connections."""

    def __init__(self, stack: ExitStack, connections: int) -> None:
        self.server = stack.enter_context(Actor(Accepting))
        self.client = stack.enter_context(Actor(Opening, self.server.call(Accepting.address)))
        self.open(connections)

    def open(self, count: int) -> tuple[float, float]:
        """Open connections; return the seconds at the dialling end and those of processor time at the listener's."""
        self.server.begin(Accepting.accept, count)
        seconds = self.client.call(Opening.open, count)
        return seconds, self.server.result()


def measure_messages(rounds: int) -> Sequence[Figure]:
    """Measure what a message costs that is sent over each of N connections in turn."""
    figures = [
        Figure(f"a message of 100 B, {count:,} connections in turn", "µs", at_most(1.2), "one connection")
        for count in _COUNTS[1:]
    ]
    with ExitStack() as stack:
        ends = {count: _Ends(stack, count) for count in _COUNTS}
        for number in range(rounds + 1):
            taken = {}
            for index in range(len(_COUNTS)):
                count = _COUNTS[(number + index) % len(_COUNTS)]
                server, client = ends[count].server, ends[count].client
                server.begin(Accepting.drain, _PER_ROUND)
                taken[count] = client.call(Opening.pour, _PER_ROUND) / _PER_ROUND * 1e6
                server.result()
            if number:
                for count, figure in zip(_COUNTS[1:], figures, strict=True):
                    figure.add(taken[count], taken[_COUNTS[0]])
    return figures


def measure_opening(rounds: int) -> Sequence[Figure]:
    """Measure what it takes to open one more connection over a link that stands."""
    opened = Figure(f"connect(), each of {_OPEN:,} over one link", "µs", at_most(15, ratio=False), "a socket's")
    accepted = Figure("CPU of the listener's process for each", "µs")
    for _ in range(rounds):
        # Connections that stay open slow the garbage collector down, so each round has processes of its own.
        with ExitStack() as stack:
            ends = _Ends(stack, 1)
            where = ends.server.call(Accepting.socket_address)
            ends.server.begin(Accepting.accept_sockets, _SOCKETS)
            socket_seconds = ends.client.call(Opening.open_sockets, where, _SOCKETS)
            ends.server.result()
            seconds, cpu = ends.open(_OPEN)
            opened.add(seconds / _OPEN * 1e6, socket_seconds / _SOCKETS * 1e6)
            accepted.add(cpu / _OPEN * 1e6)
    return [opened, accepted]


def measure_memory(_rounds: int) -> Sequence[Figure]:
    """Measure the memory of open connections at both ends, in fresh processes; one round, as it hardly varies."""
    figures = []
    for how, look in (("RSS", (Opening.resident, Accepting.resident)), ("tracemalloc", (Opening.traced, Accepting.traced))):
        with ExitStack() as stack:
            ends = _Ends(stack, 1)
            client, server = ends.client, ends.server
            before = client.call(look[0]), server.call(look[1])
            ends.open(_HELD - 1)
            opened = client.call(look[0]), server.call(look[1])
            server.begin(Accepting.echo, _HELD)
            client.call(Opening.use_each)
            server.result()
            used = client.call(look[0]), server.call(look[1])
        for state, after in (("open", opened), ("used once each way", used)):
            for side, index in (("dialling", 0), ("listening", 1)):
                figure = Figure(f"{_HELD:,} connections {state}, {side} end, {how}", "B each", at_most(2048, ratio=False))
                figure.add((after[index] - before[index]) / (_HELD - 1))
                figures.append(figure)
    return figures


def measure_second(rounds: int) -> Sequence[Figure]:
    """Measure what a second connection adds to a round trip through the pool."""
    more = at_most(0.5, ratio=False)
    alone = Figure("round trip of 1 KiB, one connection", "µs")
    added = {
        "idle": Figure("a second one that is idle adds", "µs", more),
        "one thread": Figure("two in turn, one thread at the listener's end, add", "µs", more),
        "threads": Figure("two in turn, a thread for each, add", "µs", more),
    }
    with ExitStack() as stack:
        one = _Ends(stack, 1)
        two = _Ends(stack, 2)
        threads = _Ends(stack, 2)
        threads.server.call(Accepting.echo_by_threads)

        def ask(ends: _Ends, echo: Callable[[Accepting, int], None] | None, used: int) -> float:
            if echo is not None:
                ends.server.begin(echo, _ROUND_TRIPS)
            seconds = ends.client.call(Opening.ask, _ROUND_TRIPS, used)
            if echo is not None:
                ends.server.result()
            return seconds / _ROUND_TRIPS * 1e6

        for number in range(rounds + 1):
            base = ask(one, Accepting.echo, 1)
            taken = {
                "idle": ask(two, Accepting.echo_first, 1),
                "one thread": ask(two, Accepting.echo, 2),
                "threads": ask(threads, None, 2),
            }
            if number:
                alone.add(base)
                for name, figure in added.items():
                    figure.add(taken[name] - base)
    return [alone, *added.values()]

"""Many logical connections on one link: what each costs in time and in memory, and what opening one takes."""

from __future__ import annotations

import socket
import threading
import tracemalloc
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from itertools import cycle, islice
from time import perf_counter, process_time

import psutil

import tcpconn
from tcpconn_bench.reference.actors import Actor
from tcpconn_bench.reference.figures import Figure, at_most
from tcpconn_bench.stats import median

__all__ = ["measure_memory", "measure_messages", "measure_opening", "measure_second"]

_MESSAGE = bytes(range(100))
_KIBIBYTE = bytes(range(256)) * 4
_COUNTS = (1, 100, 10_000)
_PER_ROUND = 30_000
"""A multiple of each of the counts."""
_OPEN = 10_000
_SOCKETS = 500
_HELD = 100_000
_ROUND_TRIPS = 500
_TURNS = 5
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

    def drain(self, total: int) -> float:
        """Receive one message from each connection in turn, and confirm the last; return the processor time."""
        begun = process_time()
        for connection in islice(cycle(self.connections), total):
            connection.receive()
        self.connections[0].send(_DONE)
        return process_time() - begun

    def echo(self, total: int, used: int) -> None:
        """Send back one message of each of the first `used` connections in turn."""
        for connection in islice(cycle(self.connections[:used]), total):
            connection.send(connection.receive())

    def echo_by_threads(self) -> None:
        """Send back whatever comes on each connection, in a thread for each, as `serve` does."""
        for connection in self.connections:
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()

    def close_last(self) -> None:
        """Close the connection that was opened last."""
        self.connections.pop().close()

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

    def pour(self, total: int) -> tuple[float, float]:
        """Send one message over each connection in turn until the last is confirmed; return seconds and processor time."""
        cpu, begun = process_time(), perf_counter()
        for connection in islice(cycle(self.connections), total):
            connection.send(_MESSAGE)
        assert self.connections[0].receive() == _DONE
        return perf_counter() - begun, process_time() - cpu

    def ask(self, total: int, used: int) -> float:
        """Send messages over the first `used` connections in turn and wait for each to return; return the median seconds."""
        times = []
        clock = perf_counter
        for connection in islice(cycle(self.connections[:used]), total):
            begun = clock()
            connection.send(_KIBIBYTE)
            connection.receive()
            times.append(clock() - begun)
        return median(times)

    def close_last(self) -> None:
        """Close the connection that was opened last."""
        self.connections.pop().close()

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

    def ask(self, used: int) -> float:
        """Let messages return over the first `used` connections in turn; return the median seconds of one."""
        self.server.begin(Accepting.echo, _ROUND_TRIPS, used)
        seconds = self.client.call(Opening.ask, _ROUND_TRIPS, used)
        self.server.result()
        return seconds


def measure_messages(rounds: int) -> Sequence[Figure]:
    """Measure what a message costs that is sent over each of N connections in turn."""
    units = ("µs", "µs CPU")
    figures = {
        (count, unit): Figure(f"a message of 100 B, {count:,} connections in turn", unit, at_most(1.2), "one connection")
        for unit in units
        for count in _COUNTS[1:]
    }
    with ExitStack() as stack:
        ends = {count: _Ends(stack, count) for count in _COUNTS}
        for number in range(rounds + 1):
            taken = {}
            for index in range(len(_COUNTS)):
                count = _COUNTS[(number + index) % len(_COUNTS)]
                server, client = ends[count].server, ends[count].client
                server.begin(Accepting.drain, _PER_ROUND)
                seconds, cpu = client.call(Opening.pour, _PER_ROUND)
                taken[count] = dict(zip(units, (seconds, cpu + server.result()), strict=True))
            for (count, unit), figure in figures.items() if number else ():
                figure.add(taken[count][unit] / _PER_ROUND * 1e6, taken[_COUNTS[0]][unit] / _PER_ROUND * 1e6)
    return list(figures.values())


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
            server.begin(Accepting.echo, _HELD, _HELD)
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
    """Measure what a second connection adds to a round trip through the pool, by the same two processes in short turns."""
    alone = Figure("round trip of 1 KiB, one connection", "µs")
    added = [
        Figure(f"a second one {how} adds", "µs", at_most(0.5, ratio=False))
        for how in ("that is idle", "in turn with it, one thread answering both,", "in turn with it, a thread for each,")
    ]
    with ExitStack() as stack:
        ends, by_threads = _Ends(stack, 1), _Ends(stack, 2)
        by_threads.server.call(Accepting.echo_by_threads)
        for number in range(rounds + 1):
            taken: list[list[float]] = [[], [], [], []]
            for _ in range(_TURNS):
                taken[0].append(ends.ask(1))
                ends.open(1)
                taken[1].append(ends.ask(1))
                taken[2].append(ends.ask(2))
                ends.client.call(Opening.close_last)
                ends.server.call(Accepting.close_last)
                taken[3].append(by_threads.client.call(Opening.ask, _ROUND_TRIPS, 2))
            if number:
                alone.add(median(taken[0]) * 1e6)
                for figure, times in zip(added, taken[1:], strict=True):
                    figure.add(median([time - base for time, base in zip(times, taken[0], strict=True)]) * 1e6)
    return [alone, *added]

"""The hot paths, driven so that what they cost can be counted: `python hot_paths.py [PATH]`.

Prints the counts of all paths as JSON; with the name of a path it runs that one between two marks on its standard output,
for a tracer of system calls. It is a process of its own, lest anything of the tests' be counted.

Both ends are in one thread and take turns, and nothing is left to time: the caretaker is kept busy, so that no other thread
reads, flushes or acknowledges; a burst is gathered without a limit in time; an end receives when everything has arrived; and
whether a wait polls or sleeps, which a connection finds out by the clock, is fixed. All else is the default.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import socket
import struct
import sys
import termios
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import tcpconn
from counting import Calls, Meter, Peaks, live_blocks
from tcpconn.frames import HEADER_SIZE
from tcpconn.process import caretaker
from tcpconn.transport import Buffer
from tcpconn_tcp import held as tcp_held

ROUNDS = 20
"""How often an operation is done for its count, after as many times to warm up: credit is granted and used up on the way."""

SMALL = bytes(100)
MEDIUM = bytes(range(250)) * 4
BURST = 120
"""Messages in a burst: more than one batch, less than a socket's buffer."""

LARGE = bytes(1 << 20)
OUT, IN = 250_000, 100_000
"""How many bytes of a large message the socket takes and gives at a time; in use the kernel has its own mind about that."""

RECEIVE_BUFFER = 256 * 1024
"""Of the kernel, in bytes: more than `IN`, and more than a burst."""

HELD = 100
"""Round trips without an acknowledgement, for what is held meanwhile."""

NUMBERED = 300
"""Round trips before that: numbers up to 256 are no objects of their own."""

_DEADLINE = 10.0


class Ends:
    """Both ends of one connection over a link of its own, and no thread beside the one that uses them."""

    def __init__(self, stack: ExitStack, **settings: Any) -> None:
        chosen = {"backend": "tcp", "flush_interval": 1.0, "receive_buffer": RECEIVE_BUFFER, **settings}
        listener = stack.enter_context(tcpconn.listen("127.0.0.1:0", **chosen))
        pool = stack.enter_context(tcpconn.Pool())
        self.client = stack.enter_context(tcpconn.connect(listener.address, pool=pool, **chosen))
        self.client.send(SMALL)
        self.server = stack.enter_context(listener.accept(_DEADLINE))
        self.server.receive(_DEADLINE)
        self.server.send(SMALL)
        self.client.receive(_DEADLINE)
        # OPEN and all that goes with it is behind both, and nothing waits for the caretaker.
        self.client.flush(_DEADLINE)
        self.server.flush(_DEADLINE)

    def settle(self) -> None:
        """Have nothing under way and nothing to acknowledge but one message each way. The caretaker is elsewhere."""
        # A PING may still be under way, as what it asked for came by itself; its answer is read with the second message.
        for _ in range(2):
            round_trip(self, Meter())
        for connection in (self.client, self.server):
            connection._carrier.acknowledge()
        round_trip(self, Meter())

    def answer(self, meter: Meter) -> None:
        """Let the client read whatever the server has to say, so that its next send is the first after a wait."""
        meter.count("server", self.server.send, MEDIUM)
        arrived(self.client, MEDIUM)
        assert meter.count("client", self.client.receive) == MEDIUM


def arrived(connection: tcpconn.Connection, message: bytes, count: int = 1) -> None:
    """Return when so many messages wait in the socket of a connection.

    What else is there is shorter than a message, and a short message arrives at once; so it has when so many bytes are there.
    """
    _wait_for(connection, count * (len(message) + HEADER_SIZE))


def _wait_for(connection: tcpconn.Connection, size: int) -> None:
    waiting = bytearray(4)
    limit = time.monotonic() + _DEADLINE
    while struct.unpack("i", waiting)[0] < size:
        if time.monotonic() > limit:
            raise TimeoutError(f"the system holds {struct.unpack('i', waiting)[0]} bytes for {connection}, not {size}")
        fcntl.ioctl(_descriptor(connection), termios.FIONREAD, waiting)


def _descriptor(connection: tcpconn.Connection) -> int:
    seat = connection._carrier.seat
    assert seat is not None
    return seat.descriptor


def _poll_always(ends: Ends) -> None:
    for connection in (ends.client, ends.server):
        connection._carrier.poll.worthwhile = True
        connection._carrier.poll._untimed = 1 << 62


def round_trip(ends: Ends, meter: Meter) -> None:
    """100 B there and back."""
    client, server = ends.client, ends.server
    meter.count("client", client.send, SMALL)
    arrived(server, SMALL)
    assert meter.count("server", server.receive) == SMALL
    meter.count("server", server.send, SMALL)
    arrived(client, SMALL)
    assert meter.count("client", client.receive) == SMALL


def burst_of_many(ends: Ends, meter: Meter) -> None:
    """A burst of 1 KB by `send_many` and `receive_many`."""
    meter.count("client", ends.client.send_many, [MEDIUM] * BURST)
    arrived(ends.server, MEDIUM, BURST)
    messages = meter.count("server", ends.server.receive_many, BURST)
    assert messages == [MEDIUM] * BURST
    ends.answer(meter)


def burst_of_singles(ends: Ends, meter: Meter) -> None:
    """A burst of 1 KB, each by a call of its own."""
    for _ in range(BURST):
        meter.count("client", ends.client.send, MEDIUM)
    # In place of the caretaker, who would write the rest.
    meter.count("client", ends.client.send_many, ())
    arrived(ends.server, MEDIUM, BURST)
    for _ in range(BURST):
        assert meter.count("server", ends.server.receive) == MEDIUM
    ends.answer(meter)


def large(ends: Ends, meter: Meter) -> None:
    """A message of 1 MiB."""
    meter.count("client", ends.client.send, LARGE)
    assert meter.count("server", ends.server.receive) == LARGE
    ends.answer(meter)


class _Wire:
    """Lies between the two links: takes what the client's writes, and gives it to the server's when that reads."""

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._memory = memoryview(bytearray(2 * len(LARGE)))
        self._begin = self._end = 0
        client: Any = ends.client._carrier.link
        server: Any = ends.server._carrier.link
        self._write, self._read = client.write, server.read
        self._in = client.fileno()
        self._out = socket.socket(fileno=os.dup(server.fileno()))
        client.write, server.read = self.write, self.read

    def write(self, buffers: Sequence[Buffer]) -> int:
        room = OUT
        taken: list[Buffer] = []
        for buffer in buffers:
            if room:
                taken.append(memoryview(buffer)[:room])
                room -= len(taken[-1])
        count: int = self._write(taken)
        end = self._end + count
        while self._end < end:
            with suppress(BlockingIOError):
                self._end += self._out.recv_into(self._memory[self._end : end])
        return count

    def read(self, timeout: float | None) -> int:
        if self._begin < self._end:
            count = os.write(self._in, self._memory[self._begin : min(self._begin + IN, self._end)])
            self._begin += count
            _wait_for(self._ends.server, count)
        if self._begin == self._end:
            self._begin = self._end = 0
        received: int = self._read(timeout)
        return received

    def close(self) -> None:
        self._out.close()


Path = Callable[[Ends, Meter], None]

PATHS: dict[str, tuple[Path, bool]] = {
    "round trip of 100 B, sleeping": (round_trip, False),
    "round trip of 100 B, polling": (round_trip, True),
    f"{BURST} messages of 1 KB by send_many and receive_many": (burst_of_many, True),
    f"{BURST} messages of 1 KB by send and receive": (burst_of_singles, True),
    "a message of 1 MiB": (large, False),
}
"""Each path, and whether its waits poll."""


@contextmanager
def _caretaker_elsewhere() -> Iterator[None]:
    """Keep the caretaker's thread from doing anything."""
    begun, over = threading.Event(), threading.Event()

    def errand() -> None:
        begun.set()
        over.wait()

    caretaker().do(errand)
    if not begun.wait(_DEADLINE):
        raise TimeoutError("the caretaker does not come")
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        over.set()


@contextmanager
def _prepared(name: str) -> Iterator[Callable[[Meter], None]]:
    """Yield a function that goes down a path `ROUNDS` times."""
    path, polls = PATHS[name]
    # A write that the machine was busy during counts as any other.
    tcp_held.LONG = float("inf")
    with ExitStack() as stack:
        ends = Ends(stack, **({} if polls else {"busy_poll": 0}))
        if polls:
            _poll_always(ends)
        stack.enter_context(_caretaker_elsewhere())
        ends.settle()
        if path is large:
            stack.callback(_Wire(ends).close)

        def rounds(meter: Meter) -> None:
            for _ in range(ROUNDS):
                path(ends, meter)

        rounds(Meter())
        yield rounds


def measure(name: str) -> dict[str, float]:
    """Return what one time down a path costs, for each operation of each end."""
    figures: dict[str, float] = {}
    with _prepared(name) as rounds:
        calls = Calls(__file__)
        rounds(calls)
        for role, counter in calls.calls.items():
            figures[f"{role}, calls"] = counter.total() / ROUNDS
            figures[f"{role}, system calls"] = calls.system_calls[role].total() / ROUNDS
    with _prepared(name) as rounds:
        tracemalloc.start()
        rounds(Meter())
        peaks = Peaks()
        rounds(peaks)
        tracemalloc.stop()
        for role, peak in peaks.usual().items():
            figures[f"{role}, bytes at a time"] = peak
    return figures


def held_and_kept() -> dict[str, float]:
    """Return how many blocks a small message has, beside its payload, until it is acknowledged, and after that."""
    meter = Meter()
    with ExitStack() as stack:
        ends = Ends(stack, busy_poll=0)
        with _caretaker_elsewhere():
            for _ in range(NUMBERED):
                round_trip(ends, meter)
        ends.client.flush(_DEADLINE)
        ends.server.flush(_DEADLINE)
        with _caretaker_elsewhere():
            before = live_blocks()
            for _ in range(HELD):
                round_trip(ends, meter)
            held = live_blocks()
        ends.client.flush(_DEADLINE)
        ends.server.flush(_DEADLINE)
        with _caretaker_elsewhere():
            kept = live_blocks()
    # Each end has sent so many.
    messages = 2 * HELD
    return {
        "held until acknowledged, blocks": (held - before) / messages,
        # Whole ones, as what keeps the accounts may have a few blocks more or fewer than before.
        "kept after that, blocks": float(round((kept - before) / messages)),
    }


def _trace(name: str) -> None:
    with _prepared(name) as rounds:
        os.write(1, b"begin\n")
        rounds(Meter())
        os.write(1, b"end\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _trace(sys.argv[1])
    else:
        # This one first, while no connection of before is still being taken down.
        held = held_and_kept()
        print(json.dumps({"memory of a message of 100 B": held, **{name: measure(name) for name in PATHS}}))

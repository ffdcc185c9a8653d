"""The two ends of any subject of the comparison, and the small things that are timed with them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from time import perf_counter, process_time
from typing import NamedTuple, cast

from tcpconn_bench.reference.actors import Actor
from tcpconn_bench.subjects import Endpoint, Listener, Subject, find

__all__ = ["Cost", "Pair"]

_DONE = b"all received"
_BATCH_BYTES = 256 * 1024


class Cost(NamedTuple):
    """What something took.

    Attributes:
        seconds: by the clock of the end that waits for the other.
        cpu: seconds of processor time, both processes with all their threads.
    """

    seconds: float
    cpu: float


class _End:
    """One end; its methods return seconds of the clock and of this process' processor time."""

    endpoint: Endpoint

    def pour(self, size: int, count: int) -> Cost:
        """Send messages in the quickest way there is, until the last one is confirmed."""
        messages = [_message(size)] * count
        cpu, begun = process_time(), perf_counter()
        self.endpoint.send_many(messages)
        assert self.endpoint.receive() == _DONE
        return Cost(perf_counter() - begun, process_time() - cpu)

    def drain(self, size: int, count: int) -> Cost:
        """Receive them, and confirm the last one."""
        receive_many = self.endpoint.receive_many
        batch = max(1, min(64, _BATCH_BYTES // size))
        cpu, begun = process_time(), perf_counter()
        left = count
        while left:
            left -= len(receive_many(min(batch, left)))
        self.endpoint.send(_DONE)
        return Cost(perf_counter() - begun, process_time() - cpu)

    def ask(self, size: int, count: int) -> Cost:
        """Send a message and wait until it is back, so many times."""
        send, receive, message = self.endpoint.send, self.endpoint.receive, _message(size)
        cpu, begun = process_time(), perf_counter()
        for _ in range(count):
            send(message)
            receive()
        return Cost(perf_counter() - begun, process_time() - cpu)

    def echo(self, size: int, count: int) -> Cost:
        """Send so many messages back."""
        send, receive = self.endpoint.send, self.endpoint.receive
        cpu, begun = process_time(), perf_counter()
        for _ in range(count):
            send(receive())  # type: ignore[arg-type]
        return Cost(perf_counter() - begun, process_time() - cpu)

    def send_alone(self, size: int, count: int) -> float:
        """Return the seconds of one send, of those that are each waited for; the waiting does not count."""
        send, receive, message = self.endpoint.send, self.endpoint.receive, _message(size)
        clock = perf_counter
        seconds = 0.0
        for _ in range(count):
            begun = clock()
            send(message)
            seconds += clock() - begun
            receive()
        return seconds / count

    def send_burst(self, size: int, count: int, *, singly: bool) -> float:
        """Return the seconds that the caller spends on each of many sends, by `send` or at once, whoever carries them on."""
        message = _message(size)
        messages = [message] * count
        send = self.endpoint.send
        begun = perf_counter()
        if singly:
            for _ in range(count):
                send(message)
        else:
            self.endpoint.send_many(messages)
        return (perf_counter() - begun) / count

    def receive_burst(self, size: int, count: int, *, singly: bool) -> float:
        """Return the seconds that the caller spends on each of many messages that have been sent before."""
        receive = self.endpoint.receive
        begun = perf_counter()
        if singly:
            for _ in range(count):
                receive()
        else:
            self.endpoint.receive_many(count)
        return (perf_counter() - begun) / count

    def confirm(self) -> None:
        self.endpoint.send(_DONE)

    def be_confirmed(self) -> None:
        assert self.endpoint.receive() == _DONE


def _message(size: int) -> bytes:
    """Return bytes with memory of their own, which zeros might not have."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


class Client(_End):
    """The dialling end of a subject."""

    def __init__(self, subject: str, address: str, cpus: Sequence[int]) -> None:
        if cpus:
            os.sched_setaffinity(0, cpus)
        self.endpoint = cast("Subject", find(subject)).connect(address)


class Server(_End):
    """The listening end of a subject."""

    def __init__(self, subject: str, cpus: Sequence[int]) -> None:
        if cpus:
            os.sched_setaffinity(0, cpus)
        self._listener: Listener = cast("Subject", find(subject)).listen()

    def address(self) -> str:
        return self._listener.address

    def accept(self) -> None:
        self.endpoint = self._listener.accept()


class Pair:
    """Two processes with a connection between them.

    Args:
        stack: what ends them.
        subject: the subject's name.
        settings: settings of tcpconn for both processes.
        cpus: the processors that they may use; any if there are none.
    """

    def __init__(
        self, stack: ExitStack, subject: str, settings: Mapping[str, object] | None = None, cpus: Sequence[int] = ()
    ) -> None:
        self.server = stack.enter_context(Actor(Server, subject, cpus, settings=settings))
        self.client = stack.enter_context(Actor(Client, subject, self.server.call(Server.address), cpus, settings=settings))
        self.server.call(Server.accept)

    def stream(self, size: int, count: int) -> Cost:
        """Send messages one way."""
        return self._both(Client.pour, Server.drain, size, count)

    def round_trips(self, size: int, count: int) -> Cost:
        """Send messages there and back, one at a time."""
        return self._both(Client.ask, Server.echo, size, count)

    def _both(
        self, client: Callable[[Client, int, int], Cost], server: Callable[[Server, int, int], Cost], size: int, count: int
    ) -> Cost:
        self.server.begin(server, size, count)
        one = self.client.call(client, size, count)
        other: Cost = self.server.result()
        return Cost(one.seconds, one.cpu + other.cpu)

    def send_alone(self, size: int, count: int) -> float:
        """Return the seconds that a send takes its caller which follows a receive."""
        self.server.begin(Server.echo, size, count)
        seconds = self.client.call(Client.send_alone, size, count)
        self.server.result()
        return seconds

    def send_burst(self, size: int, count: int, *, singly: bool) -> float:
        """Return the seconds that each send of a burst takes its caller."""
        self.server.begin(Server.receive_burst, size, count, singly=False)
        seconds = self.client.call(Client.send_burst, size, count, singly=singly)
        self.server.result()
        # A subject that counts a send after a receive as one that is alone should not find the next burst's first so.
        self.server.call(Server.confirm)
        self.client.call(Client.be_confirmed)
        return seconds

    def receive_burst(self, size: int, count: int, *, singly: bool) -> float:
        """Return the seconds that each message of a burst takes its receiver, who begins when all have been sent."""
        self.server.call(Server.send_burst, size, count, singly=False)
        return self.client.call(Client.receive_burst, size, count, singly=singly)

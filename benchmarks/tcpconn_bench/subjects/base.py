"""What a comparison asks of a subject: listen in one process, connect in another, then send and receive.

A subject is anything that carries whole messages between two processes: a backend of tcpconn, or a floor that it is
held to. Subjects know nothing of workloads, of each other, or of how they are measured. A subject that is not one of
ours is named to the comparison as `module:name`; the name must be a `Subject`, or a class or function that returns one.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import iscoroutinefunction
from typing import Any, Protocol, TypeGuard

__all__ = [
    "AsyncEndpoint",
    "AsyncListener",
    "AsyncSubject",
    "Candidate",
    "Endpoint",
    "Listener",
    "Message",
    "Subject",
    "Traits",
    "event_loop_of",
    "is_async",
    "is_within_one_process",
    "traits_of",
]

Message = bytes | bytearray | memoryview
"""What `receive` returns; it need only compare equal to the bytes that were sent."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What a subject is unlike others in; an attribute `traits` of the subject, which may be left out.

    Attributes:
        one_endpoint: its listener returns one and the same endpoint for all connections: what is sent on it goes to whoever
            sent what was received last.
        one_thread: no thread may send on its endpoints while another receives.
        reconnects: a connection goes on after a cut with nothing lost, so that anything else is a failure.
        without: the workloads that it cannot do, by name, with the reason.
    """

    one_endpoint: bool = False
    one_thread: bool = False
    reconnects: bool = False
    without: Mapping[str, str] = field(default_factory=dict)


class Endpoint(Protocol):
    """One end of one connection, used by one thread, blocking.

    A fault is an exception of any kind; the comparison then drops the subject and reports it. Nothing here takes a
    timeout: the comparison ends the processes of a subject that does not get on.
    """

    def send(self, message: bytes, /) -> object:
        """Send one message, so that it goes out without any further call."""
        ...

    def receive(self) -> Message:
        """Wait for the next message and return it."""
        ...

    def send_many(self, messages: Sequence[bytes], /) -> object:
        """Send messages in the quickest way there is; they may still be on their way out when this returns."""
        ...

    def receive_many(self, count: int, /) -> Sequence[Message]:
        """Wait for exactly `count` messages and return them in the quickest way there is."""
        ...

    def close(self) -> None:
        """Close the connection in good order."""
        ...


class Listener(Protocol):
    """The server's side before there is a connection."""

    @property
    def address(self) -> str:
        """What the client process has to be given."""
        ...

    def accept(self) -> Endpoint:
        """Wait for the next connection."""
        ...

    def close(self) -> None:
        """Stop listening."""
        ...


class AsyncEndpoint(Protocol):
    """One end of one connection, used by one task of an asyncio event loop; otherwise as `Endpoint`."""

    async def send(self, message: bytes, /) -> object:
        """Send one message, so that it goes out without any further call."""
        ...

    async def receive(self) -> Message:
        """Wait for the next message and return it."""
        ...

    async def send_many(self, messages: Sequence[bytes], /) -> object:
        """Send messages in the quickest way there is; they may still be on their way out when this returns."""
        ...

    async def receive_many(self, count: int, /) -> Sequence[Message]:
        """Wait for exactly `count` messages and return them in the quickest way there is."""
        ...

    async def close(self) -> None:
        """Close the connection in good order."""
        ...


class AsyncListener(Protocol):
    """The server's side before there is a connection, on an event loop."""

    @property
    def address(self) -> str:
        """What the client process has to be given."""
        ...

    async def accept(self) -> AsyncEndpoint:
        """Wait for the next connection."""
        ...

    async def close(self) -> None:
        """Stop listening."""
        ...


class Candidate(Protocol):
    """What subjects of both kinds have.

    One that has a true attribute `within_one_process` has both ends in one process, in two threads or on one event loop, and
    both are made by the same object.
    """

    @property
    def name(self) -> str:
        """Its name in tables and results."""
        ...

    @property
    def role(self) -> str:
        """What it is: 'backend' for one of tcpconn, 'floor' for what a backend is held to, 'peer' for another.

        A backend with other settings than those in force is a 'variant'.
        """
        ...

    @property
    def floor(self) -> str | None:
        """The name of the subject that it is set in proportion to, or None."""
        ...

    def unavailable(self) -> str | None:
        """Return why it cannot be measured here (a package is missing), or None.

        Raises:
            ValueError: what was asked for makes no sense; the comparison does not begin.
        """
        ...

    def settings(self) -> Mapping[str, Any]:
        """Return the settings in force in this process, for the result file; nothing secret."""
        ...


class Subject(Candidate, Protocol):
    """Something to compare."""

    def listen(self) -> Listener:
        """Listen on an address that is free."""
        ...

    def connect(self, address: str, /) -> Endpoint:
        """Connect to a listener's address."""
        ...


class AsyncSubject(Candidate, Protocol):
    """Something to compare that works on an asyncio event loop, which is running when any of its methods is called.

    It may have a method `new_event_loop` that makes the event loop; otherwise it is asyncio's own.
    """

    async def listen(self) -> AsyncListener:
        """Listen on an address that is free."""
        ...

    async def connect(self, address: str, /) -> AsyncEndpoint:
        """Connect to a listener's address."""
        ...


def is_async(subject: Subject | AsyncSubject) -> TypeGuard[AsyncSubject]:
    """Whether a subject is one for an event loop."""
    return iscoroutinefunction(subject.listen)


def traits_of(subject: Candidate) -> Traits:
    """Return what is particular about a subject."""
    found: Traits = getattr(subject, "traits", Traits())
    return found


def event_loop_of(subject: AsyncSubject) -> Callable[[], AbstractEventLoop] | None:
    """Return what makes the event loop of a subject that is not for asyncio's own."""
    maker: Callable[[], AbstractEventLoop] | None = getattr(subject, "new_event_loop", None)
    return maker


def is_within_one_process(subject: Candidate) -> bool:
    """Whether both ends of a subject have to be in one process."""
    return bool(getattr(subject, "within_one_process", False))

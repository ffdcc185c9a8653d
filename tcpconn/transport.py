"""The contract between the library and a backend: `Transport`, `LinkListener`, `Link`, `Channel` and `Sink`.

A backend knows this module (and `tcpconn.errors`, `tcpconn.address`) and nothing else of tcpconn. The library finds it
through the entry-point group `tcpconn.transports`: the entry's name is the backend's name, its value a class or function
that, called without arguments, returns a `Transport`. A link carries bytes in order and unaltered to one peer, or
reports that it is lost; it never reconnects by itself, never drops and never repeats. `tcpconn.testing` holds the
test-suite of this contract for authors of further backends.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol

from tcpconn.address import Address
from tcpconn.errors import BackendUnavailable, ConfigError
from tcpconn.securing import CurveOptions, TlsOptions

if TYPE_CHECKING:
    from asyncio import Future

__all__ = [
    "ENTRY_POINT_GROUP",
    "BareLink",
    "Buffer",
    "Channel",
    "Link",
    "LinkListener",
    "LinkOptions",
    "LoopLink",
    "LoopListener",
    "LoopTransport",
    "OffersLoopTransport",
    "Sink",
    "Transport",
    "available_backends",
    "is_registered",
    "load_transport",
]

ENTRY_POINT_GROUP = "tcpconn.transports"


Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """What a backend needs to know of the configuration.

    Attributes:
        handshake_timeout: seconds a peer may take to complete the backend's own handshake, if it has one; None is for ever.
        send_buffer: bytes of the kernel's send buffer to ask for, or None for the system's own choice.
        receive_buffer: the same for receiving.
        max_links: how many peers a listener serves at once; further ones are refused.
        gather: whether large buffers are handed to the system from where they lie, or all are joined first, to compare.
        unpaced_loopback: whether a link within this machine goes without BBR: see `spare_pacing`.
        tls, curve: how to encrypt, for a backend that does so by the one or the other; None for no encryption.
        attempt_timeout: seconds after which the caller of `LoopTransport.connect` cancels it, for errors that come sooner.
    """

    handshake_timeout: float | None = 10.0
    send_buffer: int | None = None
    receive_buffer: int | None = None
    max_links: int = 10_000
    gather: bool = True
    unpaced_loopback: bool = True
    tls: TlsOptions | None = None
    curve: CurveOptions | None = None
    attempt_timeout: float | None = None


class Sink(Protocol):
    """Where a link puts what it receives. All calls come from the thread that is inside `Channel.read`.

    A link either fills the sink's memory (`get_buffer` or `get_buffers`, then `buffer_updated`) or uses `data_received` (it
    has received into memory of its own), not both.
    """

    def get_buffer(self) -> memoryview | bytearray:
        """Return a non-empty writable buffer to receive into."""
        ...

    def get_buffers(self) -> Sequence[memoryview | bytearray]:
        """Return one or more writable buffers, for a link that can fill several, in their order, by one system call.

        A tuple is of memory that is the sink's own, to which a link may go on referring; any other sequence is to be let go of.
        """
        ...

    def buffer_updated(self, count: int) -> None:
        """Say that `count` bytes were written at the beginning of what `get_buffer` or `get_buffers` returned last."""
        ...

    def data_received(self, data: bytes | memoryview) -> None:
        """Hand over bytes that the link will not change or reuse; the sink may keep them."""
        ...

    def link_lost(self, reason: Exception | None) -> None:
        """Say, once, that nothing more will be received: None when the peer ended it in good order, else the cause."""
        ...


class Channel(Protocol):
    """What one thread at a time reads, and what feeds the sinks of one link or of many.

    A TCP link is its own channel; all links of a ZeroMQ ROUTER share one.
    """

    def fileno(self) -> int:
        """Return a descriptor that is readable whenever `read` may have something to deliver; at times for nothing.

        Where a link's `write` may take a part only, its channel's descriptor is writable when it would take more.
        """
        ...

    def read(self, timeout: float | None) -> int:
        """Wait up to `timeout` seconds (None: for ever, 0: not at all), deliver what has come, return how many bytes.

        Delivers what one system call brings, or a bounded multiple of it, then returns; a link's loss goes to its sink
        (`link_lost`) and is never raised. Returns 0 when nothing came in time, after `wake`, or when a link was lost.
        Only one thread at a time calls this; the caller makes sure of it.
        """
        ...

    def wake(self) -> None:
        """Make a `read` that is waiting now, or else the next one, return soon. Any thread; never blocks."""
        ...


class BareLink(Protocol):
    """A bidirectional, ordered, reliable connection to one peer: bytes in, bytes out, or lost. How it is read is not said."""

    @property
    def peer(self) -> str:
        """The peer's address as text, for people."""
        ...

    @property
    def sink(self) -> Sink:
        """Where received bytes go; the owner sets it before the first `read` and may exchange it from within a sink's call."""
        ...

    @sink.setter
    def sink(self, sink: Sink) -> None: ...

    @property
    def brief(self) -> int:
        """How many bytes `write` takes, for now, without letting other threads run and without calling back; 0 is none.

        The caller may hold a lock during such a write. It would else, where many threads want the interpreter, find the lock
        taken afterwards by one that was stopped with it, time and again, and nothing more would be written meanwhile.
        """
        ...

    def write(self, buffers: Sequence[Buffer]) -> int:
        """Take as many bytes of `buffers`, in order, as is possible without blocking, and return how many.

        The caller offers the rest again later, with other buffers behind it if it likes. The backend keeps
        references to buffers only if they are `bytes`. One thread at a time; it may run beside `Channel.read`.

        Raises:
            OSError: the link is broken; the caller closes it.
        """
        ...

    def close(self) -> None:
        """Release the link; idempotent, any thread, never blocks. What `write` has taken is still sent if the peer lives.

        A `read` waiting on this link's own channel returns; the sink hears nothing more from this link.
        """
        ...


class Link(BareLink, Protocol):
    """A link that is read by whoever uses it, through its channel."""

    @property
    def channel(self) -> Channel:
        """What to read in order to receive from this link."""
        ...

    def wait(self, timeout: float | None, *, read: bool, write: bool) -> tuple[bool, bool]:
        """Wait until the link may be read or written, whichever is asked for, and return what is possible.

        Returns (False, False) after `timeout` seconds and after `Channel.wake`. `read=True` only from the thread that
        may call `Channel.read` now. Receives nothing itself.
        """
        ...


class LinkListener(Protocol):
    """Accepts links at one address."""

    @property
    def address(self) -> Address:
        """The bound address, with the real port if 0 was asked for."""
        ...

    @property
    def channel(self) -> Channel | None:
        """The channel that must be read for peers to be noticed (ZeroMQ), or None (each link has its own)."""
        ...

    def fileno(self) -> int:
        """Return a descriptor that is readable whenever `accept` may have a link to return."""
        ...

    def accept(self) -> Link | None:
        """Return a new link, or None when none is waiting; never blocks. The caller sets its sink before it reads.

        Raises:
            OSError: no link can be accepted at the moment (out of descriptors, for one); the listener goes on.
        """
        ...

    def close(self) -> None:
        """Stop accepting; idempotent. Links already accepted live on until each is closed."""
        ...


class Transport(Protocol):
    """One way to carry bytes between processes.

    One that can encrypt has an attribute `encryption`, "tls" or "curve", and does so when `LinkOptions` has what is named so.
    """

    @property
    def name(self) -> str:
        """The backend's name, as in the setting `backend`."""
        ...

    def connect(self, address: Address, options: LinkOptions, timeout: float | None) -> Link:
        """Make one attempt to reach `address`, for up to `timeout` seconds, and return the link.

        A backend that cannot know yet whether anybody answers may return at once and report the failure as `link_lost`.

        Raises:
            OSError: nobody listens there, or the time has passed (`TimeoutError`).
        """
        ...

    def listen(self, address: Address, options: LinkOptions) -> LinkListener:
        """Bind `address`.

        Raises:
            OSError: the address cannot be bound.
        """
        ...

    def adopt(self, accepted: socket.socket, options: LinkOptions) -> Link:
        """Make a link of a connected stream socket that somebody else accepted, and own it: the object given is spent.

        Raises:
            NotImplementedError: this backend cannot; the text says so.
        """
        ...


class LoopLink(BareLink, Protocol):
    """A link that an asyncio event loop reads, and that feeds its sink by itself as soon as it has one.

    All its methods, and its calls of the sink, are the loop's thread's.
    """

    @property
    def gone(self) -> Future[None]:
        """Done once the link is closed and nothing of it is left, which `close` does not wait for."""
        ...

    def read(self, timeout: float | None) -> int:
        """Deliver to the sink what has come, without waiting whatever `timeout` says, and return how many bytes that was.

        For a task that polls before it lets the loop sleep. The loop reads without it, and tells of the link's end.
        """
        ...

    def when_writable(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, as soon as `write` would take more; it takes the place of one that was given before."""
        ...


class LoopListener(Protocol):
    """Accepts links at one address, for an asyncio event loop."""

    @property
    def address(self) -> Address:
        """The bound address, with the real port if 0 was asked for."""
        ...

    def close(self) -> None:
        """Stop accepting; idempotent. Links already accepted live on until each is closed."""
        ...


class LoopTransport(Protocol):
    """What a backend may offer to asyncio; `tcpconn.aio` needs no more than the descriptors of a `Transport`."""

    async def connect(self, address: Address, options: LinkOptions) -> LoopLink:
        """Make one attempt to reach `address`; the caller limits its time by cancelling it.

        Raises:
            OSError: nobody listens there.
        """
        ...

    async def listen(self, address: Address, options: LinkOptions, on_link: Callable[[LoopLink], None]) -> LoopListener:
        """Bind `address`, and call `on_link` with each link; it sets the link's sink.

        Raises:
            OSError: the address cannot be bound.
        """
        ...

    async def adopt(self, accepted: socket.socket, options: LinkOptions) -> LoopLink:
        """Make a link of a connected stream socket that somebody else accepted, and own it.

        Raises:
            NotImplementedError: this backend cannot; the text says so.
        """
        ...


class OffersLoopTransport(Protocol):
    """A `Transport` that also has links of its own for asyncio."""

    def on_loop(self) -> LoopTransport:
        """Return what makes them; called with an event loop running."""
        ...


_cache: dict[str, Transport] = {}
_registered: set[str] = set()


def available_backends() -> list[str]:
    """Return the names of the installed backends, sorted; being listed does not mean that their packages import."""
    return sorted({entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)})


def is_registered(name: str) -> bool:
    """Whether a package registers a backend of that name; a name that was found once is not looked for again."""
    if name in _cache or name in _registered:
        return True
    _registered.update(available_backends())
    return name in _registered


def load_transport(name: str) -> Transport:
    """Find and create the backend called `name`; all callers in a process, from any thread, get the same object.

    Raises:
        ConfigError: no package registers a backend of that name, or several do.
        BackendUnavailable: the backend is registered but something that it needs cannot be imported, or it fails to
            start. A backend may raise it itself, with the command that installs what is missing.
    """
    known = _cache.get(name)
    if known is not None:
        return known
    entry = _find(name)
    try:
        factory: Callable[[], Transport] = entry.load()
        transport = factory()
    except BackendUnavailable:
        raise
    except ImportError as error:
        anew = f", for one by installing it anew: pip install --force-reinstall {entry.dist.name}" if entry.dist else ""
        raise BackendUnavailable(f"{_label(entry)} cannot be imported: {error}; install what it needs{anew}") from error
    except Exception as error:
        raise BackendUnavailable(
            f"{_label(entry)} does not start: {type(error).__name__}: {error}; this is a fault of that package or of its set-up"
        ) from error
    # Where two threads come here at once, the first one's object is everybody's. A lock would be held during an import.
    return _cache.setdefault(name, transport)


def _find(name: str) -> EntryPoint:
    found = list(entry_points(group=ENTRY_POINT_GROUP, name=name))
    if not found:
        raise ConfigError(
            f"backend {name!r} is not installed: installed are {', '.join(available_backends()) or 'none'}; "
            f"a package adds one by an entry point in the group {ENTRY_POINT_GROUP!r}"
        )
    if len({entry.value for entry in found}) > 1:
        packages = ", ".join(sorted(f"{_package(entry)} ({entry.value})" for entry in found))
        raise ConfigError(f"several packages register a backend {name!r}: {packages}; uninstall all of them but one")
    return found[0]


def _label(entry: EntryPoint) -> str:
    return f"backend {entry.name!r} ({entry.value}, from {_package(entry)})"


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"

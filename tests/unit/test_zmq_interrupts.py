"""What an interrupt in the middle of opening, reading or closing leaves to the zmq backend: nothing that stays open."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import pytest

from eventually import eventually
from interrupting import interrupted_at
from tcpconn.address import Address
from tcpconn.testing.contract import RecordingSink
from tcpconn.testing.contract.ends import LIMIT
from tcpconn.transport import Link, LinkOptions

pytest.importorskip("zmq")

from tcpconn_zmq.accepted import RouterLink
from tcpconn_zmq.context import SharedContext
from tcpconn_zmq.dealer import DealerLink, dial
from tcpconn_zmq.listener import RouterListener
from tcpconn_zmq.owned import OwnedSocket

# With it, an interrupt in Python's own making of a socket may lose a duplicate of ZeroMQ's.
OPTIONS = LinkOptions(unpaced_loopback=False)
FREE = Address("127.0.0.1", 0)

IN_PYZMQ = pytest.mark.filterwarnings("ignore:Unclosed socket:ResourceWarning")
"""What is interrupted while pyzmq makes a socket nobody else has yet: pyzmq closes it, and complains."""


@pytest.fixture
def context() -> Iterator[SharedContext]:
    """Yield the context that the links under test are of, and see to it that nothing of it is left."""
    context = SharedContext()
    yield context
    gc.collect()
    assert context.open == 0


@pytest.fixture
def listener() -> Iterator[RouterListener]:
    """Yield a listener of a context of its own."""
    with closing(RouterListener(SharedContext(), FREE, OPTIONS)) as listener:
        yield listener


class ClosingSink(RecordingSink):
    """Closes the link when it is lost, as a carrier does."""

    def __init__(self, link: DealerLink) -> None:
        super().__init__()
        self._link = link

    def link_lost(self, reason: Exception | None) -> None:
        """Close it."""
        super().link_lost(reason)
        self._link.close()


def _interrupted_everywhere(
    context: SharedContext, prepare: Callable[[], Any], step: Callable[[Any], Any], *, after_c: bool = True
) -> int:
    """Interrupt a step at each of its places; return how many there are, once nothing that was made is left open.

    Args:
        context: whose sockets are counted.
        prepare: makes what the step is taken with, and is not interrupted.
        step: takes what was prepared.
        after_c: see `interrupted_at`.
    """
    sockets, descriptors = context.open, _descriptors()
    place = 0
    interrupted = True
    while interrupted:
        made: list[Any] = [prepare()]
        interrupted = interrupted_at(place, partial(_take, step, made), after_c=after_c)
        while made:
            made.pop().close()
        if context.open > sockets:
            gc.collect()
        assert context.open == sockets, f"interrupted at place {place}"
        place += 1
    gc.collect()
    assert eventually(lambda: _descriptors() <= descriptors)
    return place


def _take(step: Callable[[Any], Any], made: list[Any]) -> None:
    made.append(step(made[0]))


@pytest.mark.parametrize("step", ["closing", "closing what is lost", "reading"])
def test_a_link_that_was_interrupted_leaves_nothing_open(context: SharedContext, listener: RouterListener, step: str) -> None:
    def dialled() -> DealerLink:
        link = dial(context, listener.address, OPTIONS, LIMIT)
        link.sink = ClosingSink(link)
        if step != "closing":
            link._loss = OSError("as the monitor tells")
        return link

    def reading(link: DealerLink) -> DealerLink:
        link.read(0)
        return link

    def ending(link: DealerLink) -> DealerLink:
        link.close()
        return link

    with closing(dialled()):
        assert _interrupted_everywhere(context, dialled, reading if step == "reading" else ending) > 10


@IN_PYZMQ
def test_dialling_that_was_interrupted_leaves_nothing_open(context: SharedContext, listener: RouterListener) -> None:
    def dialled(_: object) -> DealerLink:
        return dial(context, listener.address, OPTIONS, LIMIT)

    with closing(dialled(None)):
        assert _interrupted_everywhere(context, _Nothing, dialled, after_c=False) > 50


@IN_PYZMQ
@pytest.mark.parametrize("step", ["opening", "closing"])
def test_a_listener_that_was_interrupted_leaves_nothing_open(context: SharedContext, step: str) -> None:
    def listening(_: object = None) -> RouterListener:
        return RouterListener(context, FREE, OPTIONS)

    def ending(listener: RouterListener) -> RouterListener:
        listener.close()
        return listener

    with closing(listening()):
        if step == "opening":
            assert _interrupted_everywhere(context, _Nothing, listening, after_c=False) > 50
        else:
            assert _interrupted_everywhere(context, listening, ending) > 20


@pytest.mark.parametrize("side", ["dialled", "accepted"])
def test_nothing_is_delivered_that_was_received_behind_what_an_interrupt_has_taken(
    context: SharedContext, listener: RouterListener, side: str
) -> None:
    place = 0
    interrupted = True
    while interrupted:
        with closing(dial(context, listener.address, OPTIONS, LIMIT)) as dialled:
            accepted = _accept(listener)
            with closing(accepted):
                reader, writer = (dialled, accepted) if side == "dialled" else (accepted, dialled)
                channel: OwnedSocket = reader.channel
                reader.sink = sink = RecordingSink()
                for message in (b"one ", b"two ", b"three"):
                    writer.write([message])

                def all_have_come(channel: OwnedSocket = channel) -> bool:
                    with channel._lock:
                        channel._pull()
                    return len(channel._inbox) >= 3

                assert eventually(all_have_come)
                interrupted = interrupted_at(place, partial(channel.read, 0))
                assert eventually(lambda: channel.read(0) or sink.losses or sink.data == b"one two three")  # noqa: B023
                while channel.read(0):
                    pass
                assert b"one two three".startswith(sink.data), f"interrupted at place {place}"
        place += 1
    assert place > 10


def _accept(listener: RouterListener) -> RouterLink:
    accepted: list[Link] = []

    def has_come() -> bool:
        listener.channel.read(0)
        link = listener.accept()
        if link is not None:
            accepted.append(link)
        return bool(accepted)

    assert eventually(has_come)
    assert isinstance(accepted[0], RouterLink)
    return accepted[0]


class _Nothing:
    def close(self) -> None:
        """Do nothing."""


def _descriptors() -> int:
    return len(os.listdir("/dev/fd"))

"""A signal's handler that raises, as Ctrl-C's does, in the middle of sending and receiving: nothing is lost in silence.

The signal comes by the process's own processor time, so it comes while this library is at work, wherever that is.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

import tcpconn
from behaving import DEADLINE
from interrupting import Interrupted, interrupted_at

INTERRUPTS = 20
ROUNDS = 2
AGAIN = 0.05


@contextmanager
def interrupting() -> Iterator[Callable[[float], None]]:
    """Yield what sets the time, in seconds of the process's own, after which `Interrupted` is raised; 0 is never.

    It is raised again after `AGAIN`, as a user would press Ctrl-C again: pyzmq drops an exception that comes while it frees a
    message. Python complains of what is dropped to a hook, and the one of pytest is too long not to be interrupted itself.
    """

    def handler(*_: object) -> None:
        raise Interrupted

    def complain(dropped: sys.UnraisableHookArgs) -> None:
        if dropped.exc_type is not Interrupted:
            hook(dropped)

    hook, sys.unraisablehook = sys.unraisablehook, complain
    before = signal.signal(signal.SIGVTALRM, handler)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_VIRTUAL, seconds, AGAIN) and None
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
        sys.unraisablehook = hook


def interrupted_again_and_again(step: Callable[[], object]) -> tuple[int, tcpconn.ConnectionLost | None]:
    """Take a step again and again, and be interrupted; return how often, and what ended it before."""
    with interrupting() as interrupt_after:
        for count in range(INTERRUPTS):
            try:
                # Never twice at the same place.
                interrupt_after(0.0005 + 0.000013 * count)
                while True:
                    step()
            except Interrupted:
                # Which the next one may be ahead of.
                with suppress(Interrupted):
                    interrupt_after(0)
                interrupt_after(0)
            except tcpconn.ConnectionLost as lost:
                interrupt_after(0)
                return count, lost
    return INTERRUPTS, None


@pytest.fixture
def ends(backend: str) -> Iterator[Callable[[], tuple[tcpconn.Connection, tcpconn.Connection]]]:
    config = tcpconn.Config(backend=backend, resume_timeout=2)
    with tcpconn.Pool(config) as pool, tcpconn.listen("127.0.0.1:0", config=config) as listener:

        def connected() -> tuple[tcpconn.Connection, tcpconn.Connection]:
            near = tcpconn.connect(listener.address, pool=pool)
            return near, listener.accept(DEADLINE)

        yield connected


def test_what_was_sent_arrives_once_and_in_order_or_is_counted_as_undelivered(
    ends: Callable[[], tuple[tcpconn.Connection, tcpconn.Connection]],
) -> None:
    for _ in range(ROUNDS):
        near, far = ends()
        received: list[int] = []

        def receive(far: tcpconn.Connection = far, received: list[int] = received) -> None:
            with suppress(tcpconn.ConnectionLost):
                received.extend(int(message) for message in far)

        thread = threading.Thread(target=receive)
        thread.start()
        sent: list[int] = []
        number = 0

        def send(near: tcpconn.Connection = near, sent: list[int] = sent) -> None:
            nonlocal number
            number += 1
            near.send(b"%d" % number)
            sent.append(number)

        interrupts, lost = interrupted_again_and_again(send)
        try:
            near.close()
        except tcpconn.ConnectionLost as error:
            lost = error
        thread.join(DEADLINE)
        assert not thread.is_alive()
        assert received == sorted(set(received))
        missing = len(set(sent) - set(received))
        assert missing <= (0 if lost is None else lost.undelivered), (interrupts, lost)


def test_of_what_is_received_an_interrupt_takes_no_more_than_the_message_that_it_came_with(
    ends: Callable[[], tuple[tcpconn.Connection, tcpconn.Connection]],
) -> None:
    for _ in range(ROUNDS):
        near, far = ends()
        over = threading.Event()
        numbers = iter(range(1, 1 << 40))

        def send(far: tcpconn.Connection = far, over: threading.Event = over, numbers: Iterator[int] = numbers) -> None:
            with suppress(tcpconn.ConnectionLost):
                while not over.is_set():
                    far.send(b"%d" % next(numbers))
                far.close()

        thread = threading.Thread(target=send)
        thread.start()
        received: list[int] = []

        def receive(near: tcpconn.Connection = near, received: list[int] = received) -> None:
            received.append(int(near.receive(DEADLINE)))

        interrupts, lost = interrupted_again_and_again(receive)
        over.set()
        if lost is None:
            with suppress(tcpconn.ConnectionClosed, tcpconn.ConnectionLost):
                while True:
                    receive()
        thread.join(DEADLINE)
        assert not thread.is_alive()
        near.close() if lost is None else None
        assert received == sorted(set(received))
        assert max(received, default=0) - len(received) <= interrupts, lost


@pytest.mark.parametrize("then", ["the link is lost", "more comes"])
def test_a_session_that_was_left_half_changed_ends_also_where_a_second_interrupt_comes_while_it_is_being_ended(
    ends: Callable[[], tuple[tcpconn.Connection, tcpconn.Connection]], then: str
) -> None:
    place = 0
    interrupted = True
    while interrupted:
        near, far = ends()
        carrier = near._carrier
        assert carrier.session is not None
        with carrier.lock:
            # As the first one leaves it that comes while something is decoded.
            carrier.session.outbox.under_way = True
            interrupted = interrupted_at(place, carrier.interrupted)
            if then == "the link is lost":
                carrier.link_lost(None)
        if then == "more comes":
            with suppress(tcpconn.ConnectionLost, tcpconn.ConnectionClosed):
                far.send(b"more")
        with pytest.raises(tcpconn.ConnectionLost, match="interrupt"):
            near.receive(DEADLINE)
        place += 1
    assert place > 10

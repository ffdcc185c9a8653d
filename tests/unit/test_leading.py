"""How a thread waits: what it looks at between two reads, on channels that other links share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

from tcpconn.carrier import Carrier
from tcpconn.leading import wait
from tcpconn.polling import BusyPoll
from tcpconn.steps import Wakeable
from tcpconn.waiting import Seat


class SharedChannel:
    """A channel on which the end of a link comes while its reader polls; other links keep it open."""

    def __init__(self) -> None:
        self.on_poll: Callable[[], None] | None = None
        self.polls = 0

    def fileno(self) -> int:
        return 7

    def read(self, timeout: float | None) -> int:
        assert timeout == 0, "it sleeps on a channel that has nothing more for it"
        self.polls += 1
        if self.on_poll is not None:
            self.on_poll()
        return 0

    def wake(self) -> None:
        """Nobody sleeps."""


class EndingCarrier:
    """What `wait` asks of a carrier, whose link ends during the first poll."""

    leads = True
    leftover = None

    def __init__(self, channel: SharedChannel) -> None:
        self.lock = threading.Lock()
        self.waiters: list[Wakeable] = []
        self.seat: Seat | None = Seat(channel, lambda seat: None, shared=True)
        self.link: object | None = object()
        self.poll = BusyPoll(0.0)
        self.poll.worthwhile = True
        self.ended = False
        channel.on_poll = self.end

    def pump(self) -> None:
        """There is nothing to write."""

    def end(self) -> None:
        self.ended = True
        self.seat = self.link = None


def test_a_poll_that_meets_the_end_of_its_link_does_not_go_on_to_sleep_on_the_channel_of_others() -> None:
    channel = SharedChannel()
    carrier = EndingCarrier(channel)
    with carrier.lock:
        assert wait(cast(Carrier, carrier), carrier.waiters, lambda: carrier.ended, None)

    assert channel.polls == 1
    assert carrier.waiters == []

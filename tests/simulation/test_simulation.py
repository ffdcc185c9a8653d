"""Thousands of schedules of two engines over a network that cuts, stalls and splits, and ends that die; and proof that faults
are noticed.

SIMULATION_SCHEDULES sets how many; SIMULATION_SEED runs one of them again.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from simulated_checks import Violated, simulate
from tcpconn.frames import Hello, ack
from tcpconn.inbox import Inbox
from tcpconn.outbox import Outbox
from tcpconn.session import Session
from tcpconn.stream import Stream

BLOCKS = 10
SCHEDULES = int(os.environ.get("SIMULATION_SCHEDULES", "3000"))
SEED = os.environ.get("SIMULATION_SEED")


@pytest.mark.parametrize("block", range(BLOCKS) if SEED is None else [0])
def test_each_message_arrives_once_and_in_order_and_nobody_waits_for_ever_in_every_schedule(block: int) -> None:
    for seed in range(block, SCHEDULES, BLOCKS) if SEED is None else [int(SEED)]:
        simulate(seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_repeats_exactly(seed: int) -> None:
    first, second = simulate(seed), simulate(seed)

    assert first.trace == second.trace
    assert first.now == second.now
    assert len(first.trace) >= 2
    assert first.random.getstate() == second.random.getstate()


def test_the_schedules_reach_what_they_are_for() -> None:
    worlds = [simulate(seed) for seed in range(300)]
    sessions = [end.session for world in worlds for end in world.ends.values()]
    linked = [sum("is linked" in line for _, line in world.trace) for world in worlds]

    assert sum(count > 6 for count in linked) > 30, "sessions are resumed again and again"
    assert sum("cut, 0 of 0" not in line and "cut" in line for world in worlds for _, line in world.trace) > 50
    assert sum(session.ended is not None and session.lost.total() > 0 for session in sessions) > 5
    lines = [line for world in worlds for _, line in world.trace]
    assert any("was receiving a large chunk" in line for line in lines)
    for fault in ("the link stalls", "gets through any more", "jumps by", "the client dies", "the server dies"):
        assert sum(fault in line for line in lines) >= 5, fault
    assert sum(session.ended is None for session in sessions) > 200
    assert sum(session.receiver.count > 20 for session in sessions) > 80


# -- the checks can fail


class SkipsReplay(Session):
    """Takes up where it was, as if nothing had been under way."""

    def link_up(self, received: int) -> None:
        super().link_up(received)
        self.replay.clear()


class ReplaysTooMuch(Session):
    """Sends again what the peer says it has."""

    def link_up(self, received: int) -> None:
        log = list(self.kept.unacknowledged())
        super().link_up(received)
        self.replay.clear()
        self.replay += log
        self._replay_first = self.acknowledged


class AcknowledgesTooMuch(Session):
    """Acknowledges a frame that it has not received."""

    def acknowledge(self) -> bool:
        if super().acknowledge():
            self._put(ack(self.receiver.count + 1))
            return True
        return False


class ClaimsTooMuch(Session):
    """Says on the next link that it has a frame which it has not."""

    def hello(self, *, resume: bool) -> Hello:
        honest = super().hello(resume=resume)
        return Hello(**{**{name: getattr(honest, name) for name in Hello.__slots__}, "received": honest.received + 1})


class ForgetsItsLosses(Session):
    """Reports nothing lost."""

    def end(self, text: str, *, in_order: bool = False) -> None:
        self.kept.clear()
        super().end(text, in_order=in_order)


class CountsDeliveredAsLost(Session):
    """Reports everything lost that it ever sent."""

    def end(self, text: str, *, in_order: bool = False) -> None:
        super().end(text, in_order=in_order)
        for stream in self.mux.streams.values():
            self.lost[stream.number] = stream.messages_sent


class KeepsEverything(Session):
    """Writes on and on to a peer that does not acknowledge."""

    def link_up(self, received: int) -> None:
        self._keep_limit = 1 << 40
        super().link_up(received)


class KeepsHalfAFrame(Session):
    """Takes the rest of a frame from the next link."""

    def link_down(self) -> None:
        receiver = self.receiver
        end, buffer = receiver._end, bytes(receiver._buffer)
        super().link_down()
        receiver._renew_buffer()
        receiver._buffer[: len(buffer)] = buffer
        receiver._end = end


def schedules_that_fail(session_type: type[Session], count: int = 300) -> list[str]:
    failures = []
    for seed in range(count):
        try:
            simulate(seed, session_type)
        except Violated as failure:
            failures.append(str(failure))
            if len(failures) == 3:
                break
    return failures


@pytest.mark.parametrize(
    "broken",
    [
        SkipsReplay,
        ReplaysTooMuch,
        AcknowledgesTooMuch,
        ClaimsTooMuch,
        ForgetsItsLosses,
        CountsDeliveredAsLost,
        KeepsEverything,
        KeepsHalfAFrame,
    ],
)
def test_a_broken_session_is_noticed(broken: type[Session]) -> None:
    assert schedules_that_fail(broken)


def never_wakes_the_starved(outbox: Outbox) -> None:
    outbox._starved.clear()


def keeps_the_credit_of_what_it_abandons(outbox: Outbox, stream: Stream) -> None:
    stream.sendq = ()
    stream.held = False
    outbox._notify(stream)


def grants_nothing_for_what_it_drops(inbox: Inbox, stream: Stream) -> None:
    stream.inbox.clear()


def wakes_nobody(outbox: Outbox, stream: Stream) -> None:
    pass


@pytest.mark.parametrize(
    ("owner", "name", "fault"),
    [
        (Outbox, "_feed_starved", never_wakes_the_starved),
        (Outbox, "abandon", keeps_the_credit_of_what_it_abandons),
        (Outbox, "_notify", wakes_nobody),
        (Inbox, "drop", grants_nothing_for_what_it_drops),
    ],
)
def test_a_broken_part_of_the_engine_is_noticed(
    owner: type, name: str, fault: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owner, name, fault)

    assert schedules_that_fail(Session)


def test_a_failing_schedule_says_how_to_run_it_again() -> None:
    (failure, *_) = schedules_that_fail(SkipsReplay)

    assert "SIMULATION_SEED=" in failure
    assert "pytest tests/simulation" in failure

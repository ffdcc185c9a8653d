"""When to dial, to ping, to give up: the life of a session under a clock that the test holds."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tcpconn.config import Config
from tcpconn.lifecycle import Action, Lifecycle, State

DIALLER = "dialler"
LISTENER = "listener"


class Life:
    """A lifecycle, its clock, and what it has reported."""

    def __init__(self, *, dials: bool = True, draw: float = 1.0, **settings_: Any) -> None:
        defaults: dict[str, Any] = {
            "connect_timeout": 10.0,
            "resume_timeout": 30.0,
            "idle_timeout": 20.0,
            "heartbeat_interval": 8.0,
            "reconnect_initial": 0.1,
            "reconnect_max": 2.0,
        }
        self.now = 1000.0
        self.states: list[State] = []
        self.draws: list[tuple[float, float]] = []
        self._draw = draw
        self.life = Lifecycle(
            Config(**(defaults | settings_)), dials=dials, now=self.now, uniform=self._uniform, on_state=self.states.append
        )

    def _uniform(self, low: float, high: float) -> float:
        self.draws.append((low, high))
        return low + (high - low) * self._draw

    def tick(self, after: float = 0.0) -> list[Action]:
        self.now += after
        return self.life.tick(self.now)

    def tick_at_deadline(self) -> list[Action]:
        """Sleep as a driver does, until the deadline."""
        self.now = max(self.now, self.life.deadline)
        return self.life.tick(self.now)

    def connect(self) -> None:
        assert self.tick() == [Action.DIAL]
        self.life.link_up(self.now)

    def lose(self, after: float = 1.0, error: Exception | None = None) -> None:
        self.now += after
        self.life.link_lost(self.now, error)

    def fail_to_dial(self, *, final: bool = False) -> None:
        self.life.dial_failed(self.now, OSError("refused"), final=final)

    def run(self, act: Callable[[Action], None] | None = None, *, at_most: int = 10_000) -> list[tuple[float, Action]]:
        """Tick at each deadline until nothing more will come; every action is handed to `act`."""
        log: list[tuple[float, Action]] = []
        begun = self.now
        for _ in range(at_most):
            if self.life.deadline == math.inf:
                return log
            for action in self.tick_at_deadline():
                log.append((self.now - begun, action))
                if act is not None:
                    act(action)
        pytest.fail(f"it never comes to rest: {log[-5:]}")


def connected(**settings_: Any) -> Life:
    life = Life(**settings_)
    life.connect()
    return life


# -- states


def test_the_end_that_dials_begins_connecting_and_dials_at_once() -> None:
    life = Life()

    assert life.life.state is State.CONNECTING
    assert life.life.deadline == life.now
    assert life.tick() == [Action.DIAL]
    assert life.tick() == []


def test_the_other_end_begins_connected() -> None:
    assert Life(dials=False).life.state is State.CONNECTED


def test_states_are_told_in_order_and_only_when_they_change() -> None:
    life = connected()
    life.life.link_up(life.now)
    life.lose()
    life.tick()
    life.life.link_up(life.now)
    life.life.drain(life.now)
    life.life.drain(life.now)
    life.lose()
    life.tick()
    life.life.link_up(life.now)
    life.life.close(life.now)
    life.life.close(life.now)

    assert [str(state) for state in life.states] == ["connected", "reconnecting", "connected", "draining", "closed"]


def reach(name: str) -> Life:
    """Bring a session into a state by the shortest way."""
    life = Life()
    match name:
        case "connecting":
            pass
        case "dialling":
            life.tick()
        case "connected":
            life.connect()
        case "reconnecting":
            life.connect()
            life.lose()
        case "redialling":
            life.connect()
            life.lose()
            life.tick()
        case "draining":
            life.connect()
            life.life.drain(life.now)
        case "draining unlinked":
            life.life.drain(life.now)
        case "closed":
            life.life.close(life.now)
    return life


EVENTS: dict[str, Callable[[Life], None]] = {
    "link up": lambda life: life.life.link_up(life.now),
    "link lost": lambda life: life.life.link_lost(life.now, None),
    "dial failed": lambda life: life.life.dial_failed(life.now, OSError()),
    "drain": lambda life: life.life.drain(life.now),
    "close": lambda life: life.life.close(life.now),
}

NEXT = {
    "connecting": {"link up": "connected", "drain": "draining", "close": "closed"},
    "dialling": {"link up": "connected", "dial failed": "connecting", "drain": "draining", "close": "closed"},
    "connected": {"link up": "connected", "link lost": "reconnecting", "drain": "draining", "close": "closed"},
    "reconnecting": {"link up": "connected", "drain": "draining", "close": "closed"},
    "redialling": {"link up": "connected", "dial failed": "reconnecting", "drain": "draining", "close": "closed"},
    "draining": {"link up": "draining", "link lost": "draining", "drain": "draining", "close": "closed"},
    "draining unlinked": {"link up": "draining", "drain": "draining", "close": "closed"},
    "closed": {"link lost": "closed", "dial failed": "closed", "drain": "closed", "close": "closed"},
}


@pytest.mark.parametrize("state", NEXT)
@pytest.mark.parametrize("event", EVENTS)
def test_every_event_in_every_state_leads_where_the_table_says_or_is_a_bug_of_the_driver(state: str, event: str) -> None:
    life = reach(state)
    if event in NEXT[state]:
        EVENTS[event](life)
        assert life.life.state == NEXT[state][event]
    else:
        with pytest.raises(RuntimeError, match=r"makes no sense now|without an attempt under way"):
            EVENTS[event](life)


def test_a_closed_session_is_for_ever_at_rest() -> None:
    life = reach("closed")
    life.life.unused(life.now)

    assert life.life.deadline == math.inf
    assert life.tick(after=1e9) == []


# -- dialling


def test_a_first_connect_is_tried_again_until_connect_timeout() -> None:
    life = Life(connect_timeout=10.0)
    log = life.run(lambda action: life.fail_to_dial() if action is Action.DIAL else None)

    assert log[-1] == (10.0, Action.GIVE_UP)
    assert [action for _, action in log[:-1]] == [Action.DIAL] * (len(log) - 1)
    assert len(log) > 5
    assert life.life.state is State.CLOSED


def test_attempts_are_spread_over_twice_the_time_at_each_failure_up_to_a_limit() -> None:
    life = Life(reconnect_initial=0.1, reconnect_max=1.0, connect_timeout=100.0)
    for _ in range(6):
        assert life.tick_at_deadline() == [Action.DIAL]
        life.fail_to_dial()

    assert life.draws == [(0.0, high) for high in (0.1, 0.2, 0.4, 0.8, 1.0, 1.0)]


def test_the_last_attempts_come_before_the_deadline_not_after() -> None:
    life = Life(reconnect_initial=5.0, reconnect_max=5.0, connect_timeout=3.0)
    life.tick()
    life.now += 2.0
    life.fail_to_dial()

    assert life.draws == [(0.0, 1.0)]


def test_no_attempt_begins_when_there_is_no_time_left_for_it() -> None:
    life = Life(connect_timeout=3.0)
    life.tick()
    life.now += 2.9999
    life.fail_to_dial()

    assert life.tick_at_deadline() == [Action.GIVE_UP]


def test_an_attempt_that_takes_too_long_does_not_hold_the_end_up() -> None:
    life = Life(connect_timeout=3.0)
    life.tick()

    assert life.tick_at_deadline() == [Action.GIVE_UP]
    life.fail_to_dial()
    assert life.life.state is State.CLOSED


def test_a_final_failure_is_the_end() -> None:
    life = Life()
    life.tick()
    life.fail_to_dial(final=True)

    assert life.tick() == [Action.GIVE_UP]
    assert str(life.life.cause) == "refused"


def test_without_timeouts_it_is_tried_for_ever() -> None:
    life = Life(connect_timeout=None)
    for _ in range(2000):
        assert life.tick_at_deadline() == [Action.DIAL]
        life.fail_to_dial()

    assert life.life.state is State.CONNECTING
    assert life.draws[-1] == (0.0, 2.0)


# -- losing the link


def test_a_lost_link_is_dialled_anew_at_once_and_given_up_after_resume_timeout() -> None:
    life = connected(resume_timeout=30.0)
    life.lose(error=OSError("cut"))
    assert str(life.life.cause) == "cut"
    begun = life.now
    assert life.tick() == [Action.DIAL]
    life.fail_to_dial()
    life.run(lambda action: life.fail_to_dial() if action is Action.DIAL else None)

    assert life.now == begun + 30.0
    assert life.life.state is State.CLOSED


def test_a_link_that_is_lost_as_soon_as_it_is_there_is_not_dialled_in_a_tight_loop() -> None:
    life = connected(reconnect_initial=0.1, draw=0.5)
    dials = 0
    begun = life.now
    while life.now < begun + 10.0:
        life.lose(after=0.0001)
        assert life.tick_at_deadline() == [Action.DIAL]
        dials += 1
        life.life.link_up(life.now)

    assert dials <= 10.0 / 0.05
    assert life.draws[0] == (0.0, 0.1)


def test_the_end_that_does_not_dial_waits_for_resume_timeout() -> None:
    life = Life(dials=False, resume_timeout=30.0)
    life.lose()

    assert life.run() == [(30.0, Action.GIVE_UP)]


def test_without_resume_timeout_the_other_end_waits_for_ever() -> None:
    life = Life(dials=False, resume_timeout=None)
    life.lose()

    assert life.life.deadline == math.inf
    assert life.tick(after=1e9) == []


def test_a_new_link_forgets_the_failures_of_the_old() -> None:
    life = connected()
    life.lose(error=OSError("cut"))
    life.tick()
    life.fail_to_dial()
    life.tick_at_deadline()
    life.life.link_up(life.now)

    assert life.life.cause is None
    assert life.life.attempt == 0
    life.lose()
    life.tick()
    life.fail_to_dial()
    assert life.draws[-1] == (0.0, 0.1)


def test_a_draining_session_that_loses_its_link_is_resumed_like_any_other() -> None:
    life = reach("draining")
    life.lose()
    assert repr(life.life) == "<Lifecycle draining unlinked>"
    assert life.tick() == [Action.DIAL]
    life.life.link_up(life.now)
    assert repr(life.life) == "<Lifecycle draining>"
    life.lose()
    life.run(lambda action: life.fail_to_dial() if action is Action.DIAL else None)
    assert life.life.state is State.CLOSED


# -- heartbeat


def test_a_silent_peer_is_pinged_and_declared_dead_when_it_does_not_answer() -> None:
    life = connected(heartbeat_interval=8.0)
    log = life.run(lambda action: life.life.link_lost(life.now, None) if action is Action.DECLARE_DEAD else None, at_most=20)

    assert log[:2] == [(8.0, Action.PING), (16.0, Action.DECLARE_DEAD)]


def test_a_peer_that_answers_lives_on_and_is_not_pinged_while_it_talks() -> None:
    life = connected(heartbeat_interval=8.0)
    pings = 0
    for _ in range(1000):
        actions = life.tick_at_deadline()
        assert actions in ([], [Action.PING])
        if actions:
            pings += 1
            life.life.heard = True
    assert pings > 10

    begun = life.now
    while life.now < begun + 100:
        life.life.heard = True
        assert life.tick_at_deadline() == []


def test_a_death_is_noticed_within_two_intervals_and_a_quarter_of_the_last_word() -> None:
    for spoken in (0.0, 0.5, 1.9, 2.0, 2.1, 7.9):
        life = connected(heartbeat_interval=8.0)
        last = life.now + spoken
        spoke = False
        while True:
            if not spoke and life.life.deadline > last:
                life.life.heard = spoke = True
            if Action.DECLARE_DEAD in life.tick_at_deadline():
                break
        assert life.now - last <= 8.0 * 2.25


def test_without_an_interval_there_is_no_heartbeat() -> None:
    life = connected(heartbeat_interval=None)

    assert life.life.deadline == math.inf
    assert life.tick(after=1e9) == []


def test_after_this_end_slept_through_the_answer_the_peer_is_asked_once_more() -> None:
    life = connected(heartbeat_interval=8.0)
    assert life.tick_at_deadline() == []
    life.now += 6.0
    assert life.tick() == [Action.PING]

    assert life.tick(after=3600.0) == [Action.PING]
    life.life.heard = True
    assert life.tick(after=1.0) == []


def test_an_end_that_is_always_late_notices_a_death_all_the_same() -> None:
    life = connected(heartbeat_interval=8.0)

    assert [life.tick(after=100.0) for _ in range(3)] == [[Action.PING], [Action.PING], [Action.DECLARE_DEAD]]


def test_a_death_is_declared_once() -> None:
    life = connected(heartbeat_interval=8.0)
    for after in (100.0, 100.0, 100.0):
        life.tick(after=after)

    assert life.life.deadline == math.inf
    assert life.tick(after=100.0) == []


def test_a_peer_that_does_not_finish_what_it_has_begun_is_declared_stuck_though_it_is_heard() -> None:
    life = Life(dials=False)
    for taken in range(100):
        life.life.heard, life.life.begun = True, taken
        assert life.tick(2.0) == []
    since = life.now
    actions: list[Action] = []
    while not actions:
        assert life.now < since + 40.0
        life.life.heard = True
        actions = life.tick(2.0)
    assert actions == [Action.DECLARE_STUCK]
    assert life.now == since + 32.0
    life.life.heard = True
    assert life.tick(100.0) == []


def test_what_was_begun_on_a_lost_link_does_not_count_on_the_next_one() -> None:
    life = Life(dials=False)
    life.life.begun = 7
    for _ in range(15):
        life.life.heard = True
        assert life.tick(2.0) == []
    life.lose()
    life.life.link_up(life.now)
    for _ in range(15):
        life.life.heard = True
        assert life.tick(2.0) == []


def test_this_end_does_not_blame_the_peer_for_what_it_slept_through_itself() -> None:
    life = Life(dials=False)
    for _ in range(2):
        life.life.heard, life.life.begun = True, 7
        assert life.tick(2.0) == []
    life.life.heard = True
    assert life.tick(100.0) == []


def test_the_heartbeat_begins_anew_with_each_link() -> None:
    life = connected(heartbeat_interval=8.0)
    life.tick(after=8.0)
    life.lose()
    life.tick()
    life.life.link_up(life.now)

    assert life.tick(after=7.9) == []
    assert life.tick(after=0.1) == [Action.PING]


# -- idle


def test_an_unused_session_is_closed_after_idle_timeout() -> None:
    life = connected(idle_timeout=20.0, heartbeat_interval=None)
    life.life.unused(life.now)

    assert life.run() == [(20.0, Action.CLOSE_IDLE)]
    assert life.life.state is State.CONNECTED, "closing is the driver's to do"


def test_a_session_that_is_used_again_stays() -> None:
    life = connected(idle_timeout=20.0, heartbeat_interval=None)
    life.life.unused(life.now)
    life.now += 19.0
    life.life.in_use(life.now)

    assert life.tick(after=100.0) == []


def test_an_unused_session_without_a_link_is_closed_as_well() -> None:
    life = Life(idle_timeout=2.0, connect_timeout=10.0)
    life.life.unused(life.now)
    life.tick()

    assert life.tick(after=2.0) == [Action.CLOSE_IDLE]


def test_without_idle_timeout_an_unused_session_stays() -> None:
    life = connected(idle_timeout=None, heartbeat_interval=None)
    life.life.unused(life.now)

    assert life.life.deadline == math.inf


# -- the clock


def test_too_early_a_tick_does_no_harm() -> None:
    life = connected()
    life.life.unused(life.now)

    assert [life.tick(after=0.001) for _ in range(100)] == [[]] * 100


def test_a_clock_that_jumps_far_ahead_gives_one_answer_at_a_time() -> None:
    life = Life()
    assert life.tick(after=1e6) == [Action.GIVE_UP]

    life = connected(idle_timeout=20.0)
    life.life.unused(life.now)
    assert life.tick(after=1e6) == [Action.CLOSE_IDLE]
    assert life.tick() == [Action.PING]


@settings(deadline=None, max_examples=200)
@given(
    dials=st.booleans(),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["tick", "lose", "up", "fail", "heard", "drain", "used", "unused", "close"]), st.floats(0, 50)
        ),
        max_size=60,
    ),
)
def test_whatever_happens_and_however_the_clock_jumps_the_deadline_is_kept_and_ends_are_final(
    dials: bool, steps: list[tuple[str, float]]
) -> None:
    life = Life(dials=dials)
    lifecycle = life.life
    linked, dialling = not dials, False
    for what, after in steps:
        life.now += after
        closed = lifecycle.state is State.CLOSED
        if what == "tick":
            before = lifecycle.deadline
            actions = life.tick()
            assert life.now >= before or actions == []
            assert len(actions) <= 1
            dialling |= Action.DIAL in actions
            assert not (closed and actions)
        elif what == "lose" and linked:
            lifecycle.link_lost(life.now, None)
            linked = False
        elif what == "up" and not closed and (dialling or not dials):
            lifecycle.link_up(life.now)
            linked, dialling = True, False
        elif what == "fail" and dialling:
            lifecycle.dial_failed(life.now, OSError())
            dialling = False
        elif what == "heard":
            lifecycle.heard = True
        elif what == "drain":
            lifecycle.drain(life.now)
        elif what == "used":
            lifecycle.in_use(life.now)
        elif what == "unused":
            lifecycle.unused(life.now)
        elif what == "close" and after < 5:
            lifecycle.close(life.now)
        if lifecycle.state is State.CLOSED:
            assert lifecycle.deadline == math.inf
        elif not linked:
            assert lifecycle.deadline < math.inf, "without a link it waits for something"
    assert life.states.count(State.CLOSED) <= 1


def test_a_lifecycle_shows_its_state() -> None:
    life = Life()
    assert repr(life.life) == "<Lifecycle connecting>"
    life.tick()
    assert repr(life.life) == "<Lifecycle connecting attempt=1 dialing>"
    life.life.link_up(life.now)
    life.tick(after=8.0)
    assert repr(life.life) == "<Lifecycle connected unanswered=1>"


def test_nobody_need_be_told_of_the_states() -> None:
    lifecycle = Lifecycle(Config(), dials=False, now=0.0)
    lifecycle.close(1.0)

    assert lifecycle.state is State.CLOSED

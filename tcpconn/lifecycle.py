"""When to dial, to ping, to give up and to say goodbye: the life of one session across its links.

Sans-I/O, without a clock of its own: the driver says what has happened and what time it is, calls `tick` at the latest
when `deadline` comes, and performs the actions that `tick` returns. It knows times and states; it never learns what a
link, a frame or a message is.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from enum import Enum, StrEnum, auto

from tcpconn.config import Config

__all__ = ["Action", "Lifecycle", "State"]

_STEPS = 4
"""How often `Lifecycle.heard` is looked at in a heartbeat interval: a dead link is noticed within 2 1/4 intervals."""

_PATIENCE = 4
"""Heartbeat intervals for what the peer has begun to say. It bounds the wait for bytes that a changed length has promised
and that will never come, since heartbeats go on meanwhile and are taken for them."""

_HIGHEST_POWER = 64
"""Of two, in the backoff; `reconnect_max` limits it long before."""

_TOO_LATE = 0.001
"""An attempt that would begin so few seconds before the deadline cannot come to anything."""


class State(StrEnum):
    """What users see of a session's life."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    DRAINING = "draining"
    CLOSED = "closed"


class Action(Enum):
    """What the driver is to do now."""

    DIAL = auto()
    """Make an attempt to reach the peer, then say `link_up` or `dial_failed`."""

    PING = auto()
    """Send a PING, to see whether the peer lives."""

    DECLARE_DEAD = auto()
    """The peer missed its deadline: drop the link, then say `link_lost`."""

    DECLARE_STUCK = auto()
    """What the peer has begun to say does not come to an end: the same."""

    GIVE_UP = auto()
    """The session is over, since a timeout has passed or a failure is final; the state is CLOSED already."""

    CLOSE_IDLE = auto()
    """Nobody has used the session for `idle_timeout`: say goodbye and `close`, unless it is in use again by now."""


class _Phase(Enum):
    """A state and whether there is a link, which is all that decides what may come next."""

    CONNECTING = (State.CONNECTING, False)
    CONNECTED = (State.CONNECTED, True)
    RECONNECTING = (State.RECONNECTING, False)
    DRAINING = (State.DRAINING, True)
    DRAINING_UNLINKED = (State.DRAINING, False)
    CLOSED = (State.CLOSED, False)

    def __init__(self, state: State, linked: bool) -> None:
        self.state = state
        self.linked = linked


class _Input(Enum):
    """What can happen to a session."""

    LINK_UP = "link_up"
    LINK_LOST = "link_lost"
    DIAL_FAILED = "dial_failed"
    DRAIN = "drain"
    GIVEN_UP = "given_up"
    CLOSE = "close"


# A session begins without a link (the end that dials) or with its first one (the other end). While it has no link it
# has a deadline: it gets one by then, or it is given up. Draining is for good, so that nobody takes the session for new
# streams again; but what a draining session still has to deliver is worth a new link, so it loses its link, dials,
# resumes and expires as any other, only that its state goes on reading DRAINING. CLOSED is for good, too.
# A new link may take the place of one whose loss was not noticed here, because the peer noticed it first.
_TABLE = {
    (_Phase.CONNECTING, _Input.LINK_UP): _Phase.CONNECTED,
    (_Phase.CONNECTING, _Input.DIAL_FAILED): _Phase.CONNECTING,
    (_Phase.CONNECTING, _Input.DRAIN): _Phase.DRAINING_UNLINKED,
    (_Phase.CONNECTING, _Input.GIVEN_UP): _Phase.CLOSED,
    (_Phase.CONNECTING, _Input.CLOSE): _Phase.CLOSED,
    (_Phase.CONNECTED, _Input.LINK_UP): _Phase.CONNECTED,
    (_Phase.CONNECTED, _Input.LINK_LOST): _Phase.RECONNECTING,
    (_Phase.CONNECTED, _Input.DRAIN): _Phase.DRAINING,
    (_Phase.CONNECTED, _Input.CLOSE): _Phase.CLOSED,
    (_Phase.RECONNECTING, _Input.LINK_UP): _Phase.CONNECTED,
    (_Phase.RECONNECTING, _Input.DIAL_FAILED): _Phase.RECONNECTING,
    (_Phase.RECONNECTING, _Input.DRAIN): _Phase.DRAINING_UNLINKED,
    (_Phase.RECONNECTING, _Input.GIVEN_UP): _Phase.CLOSED,
    (_Phase.RECONNECTING, _Input.CLOSE): _Phase.CLOSED,
    (_Phase.DRAINING, _Input.LINK_UP): _Phase.DRAINING,
    (_Phase.DRAINING, _Input.LINK_LOST): _Phase.DRAINING_UNLINKED,
    (_Phase.DRAINING, _Input.CLOSE): _Phase.CLOSED,
    (_Phase.DRAINING_UNLINKED, _Input.LINK_UP): _Phase.DRAINING,
    (_Phase.DRAINING_UNLINKED, _Input.DIAL_FAILED): _Phase.DRAINING_UNLINKED,
    (_Phase.DRAINING_UNLINKED, _Input.GIVEN_UP): _Phase.CLOSED,
    (_Phase.DRAINING_UNLINKED, _Input.CLOSE): _Phase.CLOSED,
}

# Both ends may begin to drain at once; and what was under way when a session was closed still reports its outcome. A
# link that comes up after the end is not in this list: nobody but the driver could close it, so it must look first.
_IGNORED = frozenset(
    {
        (_Phase.DRAINING, _Input.DRAIN),
        (_Phase.DRAINING_UNLINKED, _Input.DRAIN),
        (_Phase.CLOSED, _Input.LINK_LOST),
        (_Phase.CLOSED, _Input.DIAL_FAILED),
        (_Phase.CLOSED, _Input.DRAIN),
        (_Phase.CLOSED, _Input.CLOSE),
    }
)


class Lifecycle:
    """Decides what one session does when. Its owner's lock guards it; every time is of one monotonic clock, in seconds.

    An input that makes no sense in the present state raises RuntimeError: it is a bug of the driver.

    Args:
        config: the timeouts.
        dials: whether this end makes the links. It begins CONNECTING and dials at once; the other end begins CONNECTED.
        now: the time.
        uniform: draws a number between two, to spread the attempts of many clients.
        on_state: called with each new state; the object is consistent by then, but the owner's lock is still held.

    Attributes:
        heard: the driver sets it when any byte has come, without looking at the clock; `tick` takes it as heard then.
        begun: the driver sets it before `tick`: None, or while something has come in part, a number that is another one
            for each such thing.
        cause: the last failure of a link or of an attempt, or None since a link is up, or if the peer just closed it.
        attempt: how many attempts were begun since there was a link.
    """

    def __init__(
        self,
        config: Config,
        *,
        dials: bool,
        now: float,
        uniform: Callable[[float, float], float] = random.uniform,
        on_state: Callable[[State], None] | None = None,
    ) -> None:
        self.heard = False
        self.begun: int | None = None
        self.cause: Exception | None = None
        self.attempt = 0
        self._config = config
        self._dials = dials
        self._uniform = uniform
        self._on_state = on_state
        self._phase = _Phase.CONNECTING if dials else _Phase.CONNECTED
        self._dialing = False
        self._dial_at = now if dials else math.inf
        self._give_up_at = now + _or_inf(config.connect_timeout) if dials else math.inf
        self._idle_at = math.inf
        self._interval = _or_inf(config.heartbeat_interval)
        self._looked_at = now
        self._quiet_since = now
        self._up_since = now
        self._unanswered = 0
        self._awaited: int | None = None
        self._awaited_since = now

    @property
    def state(self) -> State:
        """The state as users see it."""
        return self._phase.state

    @property
    def linked(self) -> bool:
        """Whether it takes the link for up."""
        return self._phase.linked

    @property
    def deadline(self) -> float:
        """When `tick` must be called next, at the latest; `math.inf` if never."""
        if self._phase is _Phase.CLOSED:
            return math.inf
        if self._phase.linked:
            return min(self._idle_at, self._looked_at + self._interval / _STEPS, self._quiet_since + self._interval)
        return min(self._idle_at, self._dial_at, self._give_up_at)

    # -- what happens

    def link_up(self, now: float) -> None:
        """Note that there is a link, after its handshake. A closed session takes none: the driver closes it instead."""
        phase = self._next(_Input.LINK_UP)
        self._dialing = False
        self._dial_at = self._give_up_at = math.inf
        self.attempt = 0
        self.cause = None
        self.heard = False
        self._looked_at = self._quiet_since = self._up_since = now
        self._unanswered = 0
        self._awaited = None
        self._enter(phase)

    def link_lost(self, now: float, error: Exception | None) -> None:
        """Note that the link failed, or (None) that the peer closed it; it has `resume_timeout` to be replaced."""
        phase = self._next(_Input.LINK_LOST)
        if phase is _Phase.CLOSED:
            return
        self.cause = error
        self._give_up_at = now + _or_inf(self._config.resume_timeout)
        if self._dials:
            # At once, but a peer that drops every link as soon as it has it must not be dialled in a tight loop.
            pause = self._config.reconnect_initial
            self._dial_at = now if now - self._up_since >= pause else now + self._uniform(0.0, pause)
        self._enter(phase)

    def dial_failed(self, now: float, error: Exception, *, final: bool = False) -> None:
        """Note that the attempt under way has failed.

        Args:
            now: the time.
            error: why.
            final: trying again would end the same way, so the session is given up at the next tick.
        """
        phase = self._next(_Input.DIAL_FAILED)
        if phase is _Phase.CLOSED:
            return
        if not self._dialing:
            raise RuntimeError(f"dial_failed without an attempt under way: {self!r}")
        self._dialing = False
        self.cause = error
        if final:
            self._give_up_at = now
            return
        config = self._config
        left = self._give_up_at - now
        if left > _TOO_LATE:
            backoff = config.reconnect_initial * 2.0 ** min(self.attempt - 1, _HIGHEST_POWER)
            # To sleep past the deadline would waste the time that is left, so the last draws are from that time only.
            self._dial_at = now + self._uniform(0.0, min(backoff, config.reconnect_max, left))

    def drain(self, now: float) -> None:
        """Note that one end has said GOAWAY: no new streams, only what is under way."""
        self._enter(self._next(_Input.DRAIN))

    def close(self, now: float) -> None:
        """End it; idempotent."""
        self._enter(self._next(_Input.CLOSE))

    def in_use(self, now: float) -> None:
        """Note that somebody uses the session (again)."""
        self._idle_at = math.inf

    def unused(self, now: float) -> None:
        """Note that its last user has gone: from here on `idle_timeout` counts."""
        self._idle_at = now + _or_inf(self._config.idle_timeout)

    # -- what is due

    def tick(self, now: float) -> list[Action]:
        """Return what is due by now, each action once; too early a call does no harm."""
        if self._phase is _Phase.CLOSED:
            return []
        if not self._phase.linked and now >= self._give_up_at:
            self._enter(self._next(_Input.GIVEN_UP))
            return [Action.GIVE_UP]
        if now >= self._idle_at:
            # Alone: what else is due comes with the next call, if the session is in use again by then.
            self._idle_at = math.inf
            return [Action.CLOSE_IDLE]
        if self._phase.linked:
            return self._heartbeat(now)
        if now >= self._dial_at:
            self._dial_at = math.inf
            self._dialing = True
            self.attempt += 1
            return [Action.DIAL]
        return []

    def _heartbeat(self, now: float) -> list[Action]:
        interval = self._interval
        # This end did not run for a while (suspended, or starved): an answer may lie unread, so ask again, but only
        # once, lest a driver that is always late never notices a death.
        overslept = now - self._looked_at > interval + interval / _STEPS
        self._looked_at = now
        if self.heard:
            self.heard = False
            self._quiet_since = now
            self._unanswered = 0
        if self.begun is None or self.begun != self._awaited or overslept:
            self._awaited = self.begun
            self._awaited_since = now
        elif now >= self._awaited_since + _PATIENCE * interval:
            self._looked_at = self._quiet_since = self._awaited_since = math.inf
            return [Action.DECLARE_STUCK]
        if now < self._quiet_since + interval:
            return []
        if self._unanswered == 0 or (overslept and self._unanswered == 1):
            self._unanswered += 1
            self._quiet_since = now
            return [Action.PING]
        self._looked_at = self._quiet_since = math.inf
        return [Action.DECLARE_DEAD]

    # -- transitions

    def _next(self, event: _Input) -> _Phase:
        step = (self._phase, event)
        if step in _IGNORED:
            return self._phase
        if step not in _TABLE:
            raise RuntimeError(f"{event.value} makes no sense now: {self!r}")
        return _TABLE[step]

    def _enter(self, phase: _Phase) -> None:
        before, self._phase = self._phase.state, phase
        if phase is _Phase.CLOSED:
            self._dialing = False
        if phase.state is not before and self._on_state is not None:
            self._on_state(phase.state)

    def __repr__(self) -> str:
        words = [str(self.state)]
        if self.state is State.DRAINING and not self._phase.linked:
            words.append("unlinked")
        if self.attempt:
            words.append(f"attempt={self.attempt}")
        if self._dialing:
            words.append("dialing")
        if self._unanswered and self._phase.linked:
            words.append(f"unanswered={self._unanswered}")
        return f"<Lifecycle {' '.join(words)}>"


def _or_inf(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds

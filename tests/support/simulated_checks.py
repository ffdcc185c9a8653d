"""What must hold in every simulated world, and the run of one schedule from its seed.

- Each message arrives once, whole, in order, unless its stream was broken off; then those that arrive are the first ones.
- Nobody waits for ever.
- No credit is lost, none is overdrawn, and what is kept for a replay is bounded.
- When a session ends, what is reported undelivered is all that the peer never got, and nothing that it has acknowledged.
"""

from __future__ import annotations

from bisect import bisect_right

from simulated import End, World
from simulated_users import Sender, Talk, Users
from tcpconn import outbox
from tcpconn.errors import ConnectionClosed, ConnectionLost, TcpconnError
from tcpconn.frames import HEADER_SIZE
from tcpconn.session import Session
from tcpconn.stream import Incoming, Stream

CHAOS = 1.5
"""Simulated seconds in which the network does what it likes."""

PATIENCE = 300.0
"""Simulated seconds after which whoever still waits is said to wait for ever."""


SMALL_FRAMES = 2000
"""Bytes of a batch that are not messages, at the most."""


class Violated(AssertionError):
    """A schedule after which something does not hold that must."""

    def __init__(self, world: World, text: str) -> None:
        last = "\n".join(f"  {when:9.4f}  {line}" for when, line in world.trace[-30:])
        super().__init__(
            f"seed {world.seed} at {world.now:.4f} s: {text}\n"
            f"replay it by: SIMULATION_SEED={world.seed} pytest tests/simulation\nwhat happened last:\n{last}"
        )


class Library:
    """What one end's library has received, as a function of how many frames it has counted."""

    def __init__(self) -> None:
        self.counts: list[int] = []
        self.messages: list[dict[int, int]] = []

    def look(self, end: End, streams: list[Stream]) -> None:
        self.counts.append(end.session.receiver.count)
        self.messages.append({stream.number: arrived(stream) for stream in streams})

    def at(self, count: int, number: int) -> int:
        """Return how many messages of a stream had arrived, at the least, when `count` frames had."""
        index = bisect_right(self.counts, count) - 1
        return self.messages[index].get(number, 0) if index >= 0 else 0


def arrived(stream: Stream) -> int:
    """Return how many whole messages of a stream its library has received, read or unread."""
    return stream.messages_received + sum(not isinstance(item, Incoming) or item.whole for item in stream.inbox)


class Checks:
    """Looks at a world after each of its steps, and at its end."""

    def __init__(self, world: World, users: Users) -> None:
        self.world = world
        self.users = users
        self.libraries = {client: Library() for client in (True, False)}
        for end in world.ends.values():
            end.after_read = self.read
            end.after_write = self.written

    def fail(self, text: str) -> None:
        raise Violated(self.world, text)

    def read(self, end: End) -> None:
        """Check what must hold whenever something was received."""
        library = self.libraries[end.client]
        if library.counts and library.counts[-1] == end.session.receiver.count:
            # No frame has taken effect since this was looked at.
            return
        mux = end.session.mux
        if not 0 <= mux.inbox.unconsumed <= mux.ours.session_credit:
            self.fail(f"the {end.name} holds {mux.inbox.unconsumed} bytes that are not consumed")
        for stream in mux.streams.values():
            if stream.window < 0:
                self.fail(f"{stream!r} at the {end.name} received more than its credit")
            if stream.inbox:
                held = sum(len(item) + HEADER_SIZE for item in stream.inbox if isinstance(item, bytes))
                if held > mux.ours.credit:
                    self.fail(f"{stream!r} at the {end.name} holds {held} bytes unread")
        library.look(end, [talk.readers[end.client].stream for talk in self.users.talks if end.client in talk.readers])

    def written(self, end: End) -> None:
        """Check what must hold whenever something was written."""
        session = end.session
        if session.outbox.credit < 0:
            self.fail(f"the {end.name} has overdrawn its credit: {session.outbox.credit}")
        # What is kept grows beyond the limit by one batch at most: by messages, whose bytes credit bounds, and small frames.
        if session.kept.bytes > self.world.keep_limits[end.client] + session.mux.theirs.session_credit + SMALL_FRAMES:
            self.fail(f"the {end.name} keeps {session.kept.bytes} bytes")
        for stream in session.mux.streams.values():
            if stream.send_credit < 0:
                self.fail(f"{stream!r} at the {end.name} has overdrawn its credit")

    # -- at the end

    def finished(self) -> None:
        """Check what must hold when everybody is done."""
        for talk in self.users.talks:
            for client in (True, False):
                self._direction(talk, client)
        ended = [end for end in self.world.ends.values() if end.session.ended is not None]
        if not ended:
            # An engine opens nothing that the other has to refuse: it knows the limits, and which ids are in use there.
            if refused := [talk.name for talk in self.users.talks if len(talk.readers) < 2]:
                self.fail(f"{refused} were refused")
            for end in self.world.ends.values():
                self._in_balance(end)

    def _direction(self, talk: Talk, client: bool) -> None:
        """Check what one end has sent to the other on one stream."""
        sender, reader = talk.senders.get(client), talk.readers.get(not client)
        if sender is None:
            return
        sent = sender.accepted
        received = reader.received if reader is not None else []
        if received != sent[: len(received)]:
            self.fail(f"{talk.name}: sent {shown(sent)}, received {shown(received)}")
        session = self.world.ends[client].session
        whole = not talk.breakers and session.ended is None and reader is not None
        if whole and len(received) < len(sent):
            clean = sender.error is None and reader is not None and isinstance(reader.error, ConnectionClosed)
            self.fail(f"{talk.name}: {len(sent) - len(received)} messages never arrived, {'silently' if clean else reader!r}")
        if session.ended is not None and not talk.breakers:
            self._losses(session, sender, reader.stream if reader is not None else None, client)

    def _losses(self, session: Session, sender: Sender, theirs: Stream | None, client: bool) -> None:
        lost = session.lost_to(sender.stream)
        there = arrived(theirs) if theirs is not None else 0
        if there + lost < len(sender.accepted):
            self.fail(f"{sender!r}: {len(sender.accepted)} accepted, {there} arrived, only {lost} reported lost")
        known = self.libraries[not client].at(session.acknowledged, sender.stream.number)
        if lost > len(sender.accepted) - known:
            self.fail(f"{sender!r}: {lost} reported lost, but {known} of {len(sender.accepted)} are acknowledged")
        error = raised(session, sender.stream)
        if isinstance(error, ConnectionLost) and session.lost[sender.stream.number] not in (0, error.undelivered):
            self.fail(f"{sender!r}: the error says {error.undelivered} undelivered, the session {lost}")

    def _in_balance(self, end: End) -> None:
        other = self.world.ends[not end.client]
        if end.session.mux.streams or end.session.mux.names or end.session.mux.peer_names:
            self.fail(f"the {end.name} has streams left: {end.session.mux.streams}")
        if not end.session.settled or end.session.kept.bytes:
            self.fail(f"the {end.name} is not settled: {end.session!r}")
        credit = end.session.outbox.credit + other.session.mux.inbox.unconsumed
        if credit != end.session.mux.theirs.session_credit:
            self.fail(f"credit of the {end.name} is {credit}, not {end.session.mux.theirs.session_credit}")
        inbox = other.session.mux.inbox
        if inbox.unconsumed != inbox.consumed:
            self.fail(f"the {other.name} holds {inbox.unconsumed - inbox.consumed} bytes for nobody")


def raised(session: Session, stream: Stream) -> TcpconnError | None:
    """Return what sending on a stream raises."""
    try:
        session.outbox.send(stream, b"")
    except TcpconnError as error:
        return error
    return None


def shown(messages: list[bytes]) -> str:
    return "[" + ", ".join(f"{message[:1].decode()}*{len(message)}" for message in messages) + "]"


def simulate(seed: int, session_type: type[Session] = Session) -> World:
    """Run one schedule.

    Raises:
        Violated: something does not hold, or an end has raised what it should not.
    """
    world = World(seed, session_type)
    # Small batches, for otherwise hardly anything would ever wait for its turn.
    batch = world.random.choice((40, 300, 2000))
    usual = outbox.BATCH_BYTES, outbox.LONE_BATCH_BYTES
    outbox.BATCH_BYTES = outbox.LONE_BATCH_BYTES = batch
    try:
        run(world)
    except Violated:
        raise
    except Exception as error:
        raise Violated(world, repr(error)) from error
    finally:
        outbox.BATCH_BYTES, outbox.LONE_BATCH_BYTES = usual
    return world


def run(world: World) -> None:
    """Let the users talk and the network do what it likes, and check it all."""
    users = Users(world)
    checks = Checks(world, users)
    draw = world.random
    for _ in range(draw.choice((0, 1, 2, 4, 8))):
        world.after(draw.random() * draw.choice((CHAOS / 3, CHAOS)), world.fault)
    if draw.random() < 0.1:
        # Nothing gets through any more for longer than anybody waits.
        world.after(draw.random() * CHAOS, lambda: outage(world))

    def calm() -> None:
        world.calm = True

    world.after(CHAOS, calm)
    step = world.step
    while not (world.calm and users.done and at_rest(world)):
        if world.now > PATIENCE or not step():
            waiting = [user for talk in users.talks for user in talk.users if not user.done]
            checks.fail(f"somebody waits for ever: {waiting or list(world.ends.values())}")
    checks.finished()
    if draw.random() < 0.3 and not any(end.session.ended for end in world.ends.values()):
        part(world, checks)


def at_rest(world: World) -> bool:
    """Whether all is said and acknowledged, or the session is over at both ends."""
    ended = [end.session.ended is not None for end in world.ends.values()]
    return all(ended) or (not any(ended) and all(end.session.settled and end.link for end in world.ends.values()))


def outage(world: World) -> None:
    """Lose the link for good."""
    world.note("the network is gone")
    world.dial = lambda end: world.after(0.1, lambda: end.dial_failed(OSError("unreachable"), final=False))  # type: ignore[method-assign]
    world.cut()


def part(world: World, checks: Checks) -> None:
    """Close the session in good order: nothing is lost to anybody."""
    first, second = (world.ends[client] for client in world.random.sample((True, False), 2))
    first.goodbye("enough")
    while second.session.ended is None:
        if world.now > 2 * PATIENCE or not world.step():
            checks.fail(f"the {second.name} never learns of the goodbye")
    for end in (first, second):
        if not checks.users.talks or end.session.lost.total() == 0:
            continue
        checks.fail(f"the {end.name} reports {end.session.lost} lost after a goodbye")

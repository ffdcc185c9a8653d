"""Two engines, a network that cuts, stalls, delays and splits, and clocks: all drawn from one seed, so that it repeats exactly.

`World` has the clock and the network, `End` does what a driver does and no more, `Link` is a pair of pipes of bytes. What
the users at both ends do is in `simulated_users.py`; what must hold is in `simulated_checks.py`.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from functools import cache
from heapq import heappop, heappush
from typing import Any, Protocol

from engine import hello, receive
from tcpconn.config import Config
from tcpconn.errors import HandshakeError, ProtocolError
from tcpconn.frames import Code, Hello, goaway
from tcpconn.handshake import HelloReader, check_answer
from tcpconn.lifecycle import Action, Lifecycle, State
from tcpconn.payloads import rest_of
from tcpconn.receiver import Receiver
from tcpconn.session import Session
from tcpconn.stream import Stream

ACK_DELAY = 0.005
FLUSH_DELAY = 0.0005
HANDSHAKE_TIMEOUT = 2.0


class _Receiver(Receiver):
    """With a buffer of 32 KiB instead of 256, for one is made for each link and most links carry little."""

    def _renew_buffer(self, size: int = 32 * 1024) -> None:
        super()._renew_buffer(size)


class Waiting(Protocol):
    """A user who waits for something of a stream; stands where a driver has its threads."""

    def woken(self) -> None:
        """Look again."""
        ...


class World:
    """The clock, what is to happen, and the network.

    Args:
        seed: everything is drawn from it.
        session_type: the engine; tests of the checks put a broken one here.
    """

    def __init__(self, seed: int, session_type: type[Session] = Session) -> None:
        self.seed = seed
        self.random = draw = random.Random(seed)
        self.now = 0.0
        self.calm = False
        self.trace: list[tuple[float, str]] = []
        self.links: list[Link] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self.heartbeat = draw.choice((None, 1.0, 3.0))
        self.resume_timeout = draw.choice((4.0, 30.0))
        self.delay = draw.choice((0.0, 0.0002, 0.02))
        self.ends: dict[bool, End] = {}
        self.keep_limits: dict[bool, int] = {}
        self.large = draw.random() < 0.2
        """Whether chunks are so large that they are received into memory of their own."""
        limits = {client: self._limits() for client in (True, False)}
        chunk_size = 9000 if self.large else draw.choice((256, 300, 1024))
        for client in (True, False):
            session = session_type(
                client=client,
                accepts=True,
                ours=limits[client],
                theirs=limits[not client],
                chunk_size=chunk_size,
                peer="the server" if client else "the client",
                receiver=_Receiver,
            )
            if draw.random() < 0.3:
                # So little that it is often reached.
                session._keep_limit = draw.choice((1, 500, 4000))
            self.keep_limits[client] = session._keep_limit
            self.ends[client] = End(self, session, client=client)
        link = Link(self)
        for end in self.ends.values():
            end.link_up(link, 0, b"")

    def _limits(self) -> Hello:
        credit = self.random.choice((30_000, 60_000) if self.large else (1024, 2048, 5000))
        return hello(
            max_chunk=20_000 if self.large else self.random.choice((1024, 4096)),
            credit=credit,
            session_credit=credit * self.random.choice((1, 1, 2, 8)),
            max_streams=self.random.choice((3, 100)),
        )

    # -- the clock

    def after(self, delay: float, event: Callable[[], None]) -> None:
        """Have something happen in so many seconds."""
        self.at(self.now + delay, event)

    def at(self, when: float, event: Callable[[], None]) -> None:
        """Have something happen at a time."""
        self._order = order = self._order + 1
        heappush(self._events, (when, order, event))

    def step(self) -> bool:
        """Let the next thing happen; return whether there was one."""
        if not self._events:
            return False
        self.now, _, event = heappop(self._events)
        event()
        return True

    def note(self, text: str) -> None:
        """Keep a line of what happened, for whoever looks for a fault."""
        self.trace.append((self.now, text))

    # -- the network

    def dial(self, end: End) -> None:
        """Make a link for the client, or fail."""
        if not self.calm and self.random.random() < 0.2:
            self.after(self.random.random() * 0.1, lambda: end.dial_failed(OSError("refused"), final=False))
            return
        self.after(self.delay, lambda: end.greet(Link(self)))

    def fault(self) -> None:
        """Let something go wrong."""
        draw = self.random.random()
        if draw < 0.6:
            self.cut()
        elif draw < 0.75:
            self.stall()
        elif draw < 0.85:
            self.half_open()
        elif draw < 0.93:
            # The next link is lost as well, while both ends are taking it up.
            self.cut()
            self.after(self.random.random() * (2 * self.delay + 0.02), self.cut)
        elif draw < 0.97:
            self.random.choice(list(self.ends.values())).sleep_through(self.random.choice((0.5, 5.0, 100.0)))
        else:
            self.random.choice(list(self.ends.values())).die()

    def stall(self) -> None:
        """Hold what is under way on the newest link, and what follows, for a while."""
        link = self.links[-1]
        if not link.cut:
            self.note("the link stalls")
            until = self.now + self.random.choice((0.01, 0.3, 8.0))
            for pipe in link.pipes.values():
                pipe.stalled_until = until

    def half_open(self) -> None:
        """Lose all that one end says from now on, while the other still is heard. Nobody is told."""
        link = self.links[-1]
        if self.heartbeat is None:
            # Nobody could ever notice.
            self.cut()
        elif not link.cut:
            client = self.random.random() < 0.5
            if link.pipes[client].budget is None:
                # Else it is so already, and what is under way now is behind what was lost.
                link.pipes[client].budget = link.pipes[client].size
            self.note(f"nothing from the {'client' if client else 'server'} gets through any more")

    def cut(self) -> None:
        """Cut the newest link, and with it what is under way, in each direction at a byte of its own."""
        link = self.links[-1]
        if link.cut:
            return
        link.cut = True
        for client, pipe in link.pipes.items():
            if pipe.budget is None:
                pipe.budget = self.random.randrange(pipe.size + 1) if self.random.random() < 0.7 else pipe.size
            self.note(f"cut, {pipe.budget} of {pipe.size} bytes from the {'client' if client else 'server'} get through")
        # A peer that vanished says nothing; then only the heartbeat can tell.
        for end in self.ends.values():
            if self.heartbeat is None or self.random.random() < 0.8:
                reason = OSError("reset") if self.random.random() < 0.5 else None
                self.after(self.random.choice((0.0, 0.001, 0.3)), lambda end=end, reason=reason: end.link_lost(link, reason))  # type: ignore[misc]


class Pipe:
    """One direction of a link: takes what fits, and delivers it later, in pieces, in order."""

    def __init__(self, world: World, link: Link, *, client: bool) -> None:
        self.size = 0
        self.budget: int | None = None
        """How many bytes still get through once the link is cut."""
        self.last_arrival = 0.0
        self.stalled_until = 0.0
        self._world = world
        # Narrow ones take most of the time that all of it takes, and find no more than others. Those narrower than a large
        # chunk are there for links to be cut while one is received.
        widths = (3000, 45_000, 3_000_000, 3_000_000) if world.large else (250, 1500, 1500, *(100_000,) * 5)
        self._capacity = world.random.choice(widths)
        self._under_way: deque[bytes] = deque()
        self._link = link
        self._client = client
        self.arrive = self._arrive  # made once, for it is what happens most

    def write(self, buffers: list[bytes | memoryview], *, force: bool = False) -> int:
        """Take what fits and return how much that was."""
        data = b"".join(buffers)
        taken = len(data) if force else min(self._capacity - self.size, len(data))
        if taken <= 0:
            return 0
        world = self._world
        draw = world.random.random
        self.size += taken
        rest = data if taken == len(data) else data[:taken]
        while rest:
            piece, rest = rest, b""
            if len(piece) > 1 and draw() < 0.2:
                size = 1 + int(draw() * (len(piece) - 1))
                piece, rest = piece[:size], piece[size:]
            self._under_way.append(piece)
            arrival = world.now + world.delay * draw() if world.delay else world.now
            if arrival > self.last_arrival:
                self.last_arrival = arrival
            world.at(self.last_arrival, self.arrive)
        return taken

    def _arrive(self) -> None:
        if self._world.now < self.stalled_until:
            # Whatever follows is scheduled behind it, in this order.
            self._world.at(self.stalled_until, self.arrive)
            return
        piece = self._under_way.popleft()
        self.size -= len(piece)
        if self.budget is not None:
            piece = piece[: self.budget]
            self.budget -= len(piece)
        world, link, client = self._world, self._link, self._client
        if piece:
            world.ends[not client].bytes_came(link, piece)
        writer = world.ends[client]
        if writer.leftover is not None and writer.link is link:
            writer.pump()


class Link:
    """A pipe in each direction, by whether the client writes to it."""

    def __init__(self, world: World) -> None:
        self.cut = False
        self.readers = {client: HelloReader() for client in (True, False)}
        """Who reads at each end, by whether it is the client's, until its HELLO is there or the link is lost."""
        self._world = world
        self.into_buffer = world.random.random() < 0.7
        self.pipes = {client: Pipe(world, self, client=client) for client in (True, False)}
        world.links.append(self)

    def close(self, *, client: bool) -> None:
        """Close it at one end: the other reads what is under way and then learns of it."""
        if not self.cut:
            self.cut = True
            self.pipes[not client].budget = 0
            arrival = self.pipes[client].last_arrival
            self._world.after(
                max(arrival - self._world.now, 0.0) + 1e-9, lambda: self._world.ends[not client].link_lost(self, None)
            )


@cache
def _config(resume_timeout: float, heartbeat: float | None) -> Config:
    return Config(resume_timeout=resume_timeout, heartbeat_interval=heartbeat, reconnect_initial=0.01, reconnect_max=0.3)


class End:
    """One end: a session, its lifecycle, and the little that a driver does between them and the network."""

    def __init__(self, world: World, session: Session, *, client: bool) -> None:
        self.world = world
        self.session = session
        self.client = client
        self.name = "client" if client else "server"
        self.link: Link | None = None
        self.on_open: Callable[[Stream], None] = lambda stream: None
        self.on_end: Callable[[], None] = lambda: None
        self.after_read: Callable[[End], None] = lambda end: None
        self.after_write: Callable[[End], None] = lambda end: None
        self._dialled: tuple[Link, Hello] | None = None
        self.leftover: list[bytes | memoryview] | None = None
        self._ack_due = False
        self._scheduled = float("inf")
        self._slept = 0.0
        self.lifecycle = Lifecycle(
            _config(world.resume_timeout, world.heartbeat), dials=client, now=0.0, uniform=world.random.uniform
        )
        if client:
            assert self.lifecycle.tick(0.0) == [Action.DIAL]

    # -- time

    @property
    def now(self) -> float:
        """What its own clock says."""
        return self.world.now + self._slept

    def sleep_through(self, seconds: float) -> None:
        """Have its clock jump, as that of a machine that was suspended while the other went on."""
        self.world.note(f"the clock of the {self.name} jumps by {seconds} s")
        self._slept += seconds
        self._scheduled = float("inf")
        self._reschedule()

    # -- links

    def link_up(self, link: Link, received: int, rest: bytes) -> None:
        link.readers.pop(self.client, None)
        if self.link is not None:
            self.session.link_down()
            self._drop_link()
        self.session.link_up(received)
        self.link = link
        self.leftover = None
        self.lifecycle.link_up(self.now)
        self.world.note(f"{self.name} is linked, the peer has {received} frames")
        if rest:
            self.session.data_received(rest)
        self._after_read()
        self.pump()
        self._reschedule()

    def link_lost(self, link: Link, reason: Exception | None) -> None:
        link.readers.pop(self.client, None)
        if self._dialled is not None and self._dialled[0] is link:
            self._not_linked(OSError("the link broke in the handshake"))
        if link is not self.link:
            return
        if self.session.receiver._landing is not None:
            self.world.note(f"{self.name} was receiving a large chunk")
        self.session.link_down()
        self._drop_link()
        farewell = self.session.farewell
        if farewell is not None and farewell[0] == Code.CLOSED:
            self.finish(farewell[1], in_order=True)
            return
        self.lifecycle.link_lost(self.now, reason)
        self.world.note(f"{self.name} has lost its link")
        self._reschedule()

    def _drop_link(self) -> None:
        link, self.link = self.link, None
        self.leftover = None
        if link is not None:
            link.close(client=self.client)

    def finish(self, text: str, *, in_order: bool) -> None:
        """End the session for good."""
        if self.session.ended is None:
            self.world.note(f"{self.name} ends: {text}")
            self.session.end(text, in_order=in_order)
            self._drop_link()
            self.lifecycle.close(self.now)
            self._wake_woken()
            self.on_end()

    def die(self) -> None:
        """End as a process that is killed: nothing more is said, and nobody knows the session any more."""
        self.world.note(f"the {self.name} dies")
        self.finish("killed", in_order=False)

    def goodbye(self, text: str) -> None:
        """Close in good order."""
        self.session.say_goodbye(Code.CLOSED, text)
        self.pump()
        self.finish(text, in_order=True)

    # -- handshakes

    def greet(self, link: Link) -> None:
        """Say HELLO on a new link and wait for the answer."""
        if self.lifecycle.state is State.CLOSED:
            link.close(client=True)
            return
        ours = self.session.hello(resume=True)
        self._dialled = link, ours
        link.pipes[True].write([ours.encode().encode()], force=True)

        def too_late() -> None:
            if self._dialled is not None and self._dialled[0] is link:
                link.close(client=True)
                self._not_linked(OSError("no answer in time"))

        self.world.after(HANDSHAKE_TIMEOUT, too_late)

    def dial_failed(self, error: Exception, *, final: bool) -> None:
        self.lifecycle.dial_failed(self.now, error, final=final)
        self._reschedule()

    def _not_linked(self, error: Exception, *, final: bool = False) -> None:
        self._dialled = None
        self.dial_failed(error, final=final)

    def _greeted(self, link: Link, data: bytes) -> None:
        reader = link.readers[self.client]
        try:
            theirs = reader.feed(data)
        except HandshakeError as error:
            assert self.client, "a client says nothing but HELLO"
            link.close(client=True)
            self._not_linked(error, final=error.code == Code.UNKNOWN_SESSION)
            return
        if theirs is None:
            return
        del link.readers[self.client]
        if self.client:
            assert self._dialled is not None
            check_answer(self._dialled[1], theirs)
            self._dialled = None
            if self.lifecycle.state is State.CLOSED:
                link.close(client=True)
                return
        elif self.session.ended is not None:
            link.pipes[False].write([goaway(Code.UNKNOWN_SESSION, "").encode()], force=True)
            link.close(client=False)
            return
        else:
            try:
                self.session.check_resume(theirs.received)
            except ProtocolError as error:
                # Said before a later link was taken up, and held up by the network since.
                self.world.note(f"the server turns a link away: {error}")
                link.pipes[False].write([goaway(Code.PROTOCOL_ERROR, str(error)).encode()], force=True)
                link.close(client=False)
                return
            link.pipes[False].write([self.session.hello(resume=True).encode().encode()], force=True)
        self.link_up(link, theirs.received, reader.rest)

    # -- bytes

    def bytes_came(self, link: Link, data: bytes) -> None:
        if link is not self.link:
            if (not self.client and self.client in link.readers) or (self._dialled is not None and self._dialled[0] is link):
                self._greeted(link, data)
            return
        if link.into_buffer:
            receive(self.session, data)
        else:
            self.session.data_received(data)
        self._after_read()

    def _after_read(self) -> None:
        session = self.session
        mux = session.mux
        self.lifecycle.heard = True
        if mux.woken:
            self._wake_woken()
        if mux.opened:
            opened, mux.opened[:] = list(mux.opened), []
            for stream in opened:
                self.on_open(stream)
        if session.stirred:
            session.stirred = False
            if session.farewell is not None and self.lifecycle.state is State.CONNECTED:
                self.lifecycle.drain(self.now)
            if session.demands.due:
                session.demands.settle(self.now, self.name)
        if session.has_urgent_output:
            self.pump()
        if session.owes_ack and not self._ack_due:
            self._ack_due = True
            self.world.after(ACK_DELAY, self._acknowledge)
        self.after_read(self)

    def _acknowledge(self) -> None:
        self._ack_due = False
        if self.session.acknowledge():
            self.pump()

    def pump(self) -> None:
        """Write what there is, as far as the link takes it."""
        session = self.session
        wrote = False
        while (link := self.link) is not None:
            buffers = self.leftover or session.take()
            if not buffers:
                break
            wrote = True
            taken = link.pipes[self.client].write(buffers)
            if not taken and self.leftover is not None:
                break
            self.leftover = rest_of(buffers, taken)
            if self.leftover is not None:
                break
        if session.mux.woken:
            self._wake_woken()
        if wrote:
            self.after_write(self)

    def pump_soon(self) -> None:
        """Write a little later, with what else has come by then."""
        self.world.after(FLUSH_DELAY, self.pump)

    def _wake_woken(self) -> None:
        woken = self.session.mux.woken
        while woken:
            for waiter in list(woken.pop(0).waiters):
                waiter.woken()

    # -- time

    def _reschedule(self) -> None:
        deadline = self.lifecycle.deadline
        if deadline < self._scheduled:
            self._scheduled = deadline
            self.world.after(max(deadline - self.now, 0.0), lambda: self._tick(deadline))

    def _tick(self, deadline: float) -> None:
        if self._scheduled != deadline:
            return
        self._scheduled = float("inf")
        self.lifecycle.begun = self.session.receiver.begun
        for action in self.lifecycle.tick(self.now):
            self._act(action)
        self._reschedule()

    def _act(self, action: Action) -> Any:
        match action:
            case Action.DIAL:
                self.world.dial(self)
            case Action.PING:
                self.session.ping()
                self.pump()
            case Action.DECLARE_DEAD:
                assert self.link is not None
                self.link_lost(self.link, TimeoutError("silence"))
            case Action.DECLARE_STUCK:
                assert self.link is not None
                self.link_lost(self.link, TimeoutError("a frame without an end"))
            case Action.GIVE_UP:
                self.finish("the link could not be restored", in_order=False)
            case Action.CLOSE_IDLE:
                raise AssertionError("nobody has said that the session is unused")

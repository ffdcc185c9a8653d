"""Two joined sessions against a model that is a list of messages for each direction of each stream.

Hypothesis chooses what the users do and how many bytes get through when; links are cut in between.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from unittest import mock

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from engine import Joined, hello
from tcpconn import outbox
from tcpconn.errors import ConnectError, ConnectionClosed, ConnectionLost, TcpconnError
from tcpconn.frames import HEADER_SIZE, Code
from tcpconn.stream import Incoming, Stream

LIMITS = {"max_chunk": 1024, "credit": 1024, "session_credit": 3000, "max_streams": 3}
SIZES = st.sampled_from((0, 1, 30, 230, 237, 600, 2500))


@dataclass(eq=False)
class Side:
    """One end of one stream: what its user has had accepted and has received."""

    client: bool
    stream: Stream
    accepted: list[bytes] = field(default_factory=list)
    received: list[bytes] = field(default_factory=list)
    pieces: list[bytes] | None = None
    closed: bool = False
    broken: bool = False
    peer: Side | None = None


class Sessions(RuleBasedStateMachine):
    """The rules are what users and the network may do."""

    sides = Bundle("sides")

    @initialize()
    def join(self) -> None:
        # Small batches, for otherwise hardly anything would ever wait for its turn.
        self.small_batches = mock.patch.multiple(outbox, BATCH_BYTES=300, LONE_BATCH_BYTES=600)
        self.small_batches.start()
        self.joined = Joined(client=hello(**LIMITS), server=hello(**LIMITS), chunk_size=256)
        for client in (True, False):
            self.joined.end(client).mux.accepts = True
        self.all: list[Side] = []
        self.sent = 0

    def message(self, size: int) -> bytes:
        self.sent += 1
        return (b"%d " % self.sent)[:size].ljust(size, b".")

    # -- users

    @rule(target=sides, client=st.booleans(), name=st.sampled_from("ab"))
    def open(self, client: bool, name: str) -> object:
        mux = self.joined.end(client).mux
        ours = [side for side in self.all if side.client is client and side.stream.number in mux.streams]
        in_use = [side for side in ours if mux.names.get(name) is side.stream]
        try:
            stream = mux.open(name)
        except ConnectError:
            assert in_use or sum(number % 2 == client for number in mux.streams) >= LIMITS["max_streams"]
            return multiple()
        assert not in_use
        side = Side(client, stream)
        self.all.append(side)
        return side

    @rule(target=sides, client=st.booleans())
    def accept(self, client: bool) -> object:
        opened = self.joined.end(client).mux.opened
        if not opened:
            return multiple()
        stream = opened.pop(0)
        opener = next(side for side in self.all if side.client is not client and side.stream.number == stream.number)
        side = Side(client, stream, peer=opener)
        opener.peer = side
        self.all.append(side)
        return side

    @rule(side=sides, size=SIZES)
    def send(self, side: Side, size: int) -> None:
        session = self.joined.end(side.client)
        message = self.message(size)
        possible = session.outbox.may_send(side.stream, size)
        try:
            accepted = session.outbox.send(side.stream, message)
        except TcpconnError:
            assert side.closed or side.broken or (side.stream.got_end and side.stream.sent_end)
            return
        assert accepted is possible
        assert not accepted or (side.pieces is None and not side.closed)
        if accepted:
            side.accepted.append(message)

    @rule(side=sides)
    def begin_message(self, side: Side) -> None:
        try:
            if self.joined.end(side.client).outbox.begin_message(side.stream):
                assert side.pieces is None
                side.pieces = []
        except TcpconnError:
            assert side.closed or side.broken or side.stream.sent_end

    @rule(side=sides, size=st.sampled_from((1, 50, 230)))
    def send_piece(self, side: Side, size: int) -> None:
        if side.pieces is None:
            return
        piece = self.message(size)
        try:
            if self.joined.end(side.client).outbox.send_chunk(side.stream, piece):
                side.pieces.append(piece)
        except TcpconnError:
            self.reset(side)

    @rule(side=sides)
    def end_message(self, side: Side) -> None:
        if side.pieces is None:
            return
        try:
            if self.joined.end(side.client).outbox.end_message(side.stream):
                side.accepted.append(b"".join(side.pieces))
                side.pieces = None
        except TcpconnError:
            self.reset(side)

    @rule(side=sides)
    def receive(self, side: Side) -> None:
        mux = self.joined.end(side.client).mux
        readable = side.stream.readable()
        try:
            message = mux.take(side.stream)
        except (ConnectionClosed, ConnectionLost, ConnectError):
            assert readable
            return
        if message is not None:
            assert readable
            side.received.append(message)

    @rule(side=sides)
    def look_and_put_back(self, side: Side) -> None:
        mux = self.joined.end(side.client).mux
        try:
            message = mux.take(side.stream)
        except TcpconnError:
            return
        if message is not None:
            mux.put_back(side.stream, message)

    @rule(side=sides)
    def half_close(self, side: Side) -> None:
        if side.pieces is None:
            self.joined.end(side.client).mux.close_sending(side.stream)
            side.closed = True

    @rule(side=consumes(sides))
    def close(self, side: Side) -> None:
        if side.pieces is not None:
            self.reset(side)
            return
        self.joined.end(side.client).mux.close(side.stream)
        side.closed = side.broken = True

    @rule(side=consumes(sides))
    def reset(self, side: Side) -> None:
        self.joined.end(side.client).mux.reset(side.stream, Code.CANCELLED, "broken off")
        side.pieces = None
        side.closed = side.broken = True

    # -- the network

    @rule(client=st.booleans(), count=st.sampled_from((1, 11, 12, 13, 300, 10_000)))
    def deliver(self, client: bool, count: int) -> None:
        self.joined.write(client=client)
        self.joined.deliver(count, client=client)

    @rule()
    def settle(self) -> None:
        self.joined.settle()

    @rule(client=st.booleans())
    def acknowledge(self, client: bool) -> None:
        self.joined.end(client).acknowledge()

    @rule()
    def cut(self) -> None:
        self.joined.cut()
        self.joined.resume()

    # -- what holds

    @invariant()
    def what_is_received_was_sent_first(self) -> None:
        for side in self.all:
            sent = side.peer.accepted if side.peer is not None else []
            assert side.received == sent[: len(side.received)]

    @invariant()
    def credit_is_never_overdrawn(self) -> None:
        for client in (True, False):
            session = self.joined.end(client)
            assert session.outbox.credit >= 0
            assert 0 <= session.mux.inbox.unconsumed <= LIMITS["session_credit"]
            for stream in session.mux.streams.values():
                assert 0 <= stream.window <= LIMITS["credit"]
                assert 0 <= stream.send_credit <= LIMITS["credit"]
                held = sum(len(item) + HEADER_SIZE for item in stream.inbox if isinstance(item, bytes))
                assert held <= LIMITS["credit"]

    @invariant()
    def bytes_are_counted(self) -> None:
        for side in self.all:
            if side.broken or (side.peer is not None and side.peer.broken):
                continue
            inbox = side.stream.inbox
            # Of a message of unknown total what was gathered so far.
            begun = inbox[0].size if inbox and isinstance(inbox[0], Incoming) else 0
            assert side.stream.bytes_received == sum(map(len, side.received)) + begun
            assert side.stream.bytes_sent == sum(map(len, side.accepted + (side.pieces or [])))

    @invariant()
    def what_is_not_delivered_is_counted(self) -> None:
        for side in self.all:
            session = self.joined.end(side.client)
            if not side.broken and side.peer is not None and not side.peer.broken:
                there = len(side.peer.received) + sum(getattr(item, "whole", True) for item in side.peer.stream.inbox)
                assert len(side.accepted) - there <= session.undelivered()[side.stream.number] <= len(side.accepted)

    def teardown(self) -> None:
        """Let everything arrive, have everybody read to the end and close: then nothing is missing and nothing left."""
        for side in self.all:
            if side.pieces is not None:
                self.reset(side)
            self.half_close(side)
        self.small_batches.stop()
        reading = True
        while reading:
            self.joined.settle()
            for client in (True, False):
                while self.accept(client) != multiple():
                    pass
            reading = False
            for side in self.all:
                self.half_close(side)
                with contextlib.suppress(TcpconnError):
                    while (message := self.joined.end(side.client).mux.take(side.stream)) is not None:
                        side.received.append(message)
                        reading = True
        self.joined.settle()
        for side in self.all:
            if side.peer is not None and not side.broken and not side.peer.broken:
                assert side.received == side.peer.accepted
        for client in (True, False):
            sender, receiver = self.joined.end(client), self.joined.end(not client)
            assert not sender.mux.streams
            assert sender.mux.names == sender.mux.peer_names == {}
            assert sender.outbox.credit + receiver.mux.inbox.unconsumed == LIMITS["session_credit"]
            assert receiver.mux.inbox.unconsumed == receiver.mux.inbox.consumed


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    deadline=None, max_examples=150, stateful_step_count=60, suppress_health_check=[HealthCheck.too_slow]
)

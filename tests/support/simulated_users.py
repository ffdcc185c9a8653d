"""The users at both ends of a simulated session: who sends, who reads, who closes and who breaks off.

They wait as threads of a driver do: a user that has to wait is registered with its stream and does nothing until the
engine wakes it. So one wake-up that is missed leaves a user waiting for ever, and the checks notice.
"""

from __future__ import annotations

from collections.abc import Callable

from simulated import End, World
from tcpconn.errors import ConnectionLost, TcpconnError
from tcpconn.frames import Code
from tcpconn.stream import Stream

TOTAL_SIZE = 8


class User:
    """Somebody who acts on one stream, until there is nothing left to do."""

    def __init__(self, end: End, stream: Stream) -> None:
        self.end = end
        self.world = end.world
        self.stream = stream
        self.done = False
        self.error: TcpconnError | None = None
        self._ready: Callable[[], bool] | None = None

    def begin(self) -> None:
        """Act soon."""
        self.world.after(self.world.random.random() * 0.05, self.act)

    def act(self) -> None:
        """Go on until it has to wait or to pause."""
        raise NotImplementedError

    def wait(self, ready: Callable[[], bool]) -> None:
        """Go on when it is ready, which the engine has to say."""
        self._ready = ready
        self.stream.waiting_list().append(self)
        self.end.pump()
        self.woken()

    def woken(self) -> None:
        """Look again."""
        if self._ready is not None and self._ready():
            self._ready = None
            self.stream.waiting_list().remove(self)
            self.world.after(0.0, self.act)

    def pause(self) -> None:
        """Go on after a while."""
        self.world.after(self.world.random.choice((0.0, 0.0, 0.001, 0.2)), self.act)

    def __repr__(self) -> str:
        state = "done" if self.done else "waiting" if self._ready is not None else "pausing"
        return f"<{type(self).__name__} {state} at the {self.end.name} on {self.stream!r} error={self.error}>"


class Sender(User):
    """Sends messages of all kinds, and ends its direction."""

    def __init__(self, end: End, stream: Stream) -> None:
        super().__init__(end, stream)
        self.accepted: list[bytes] = []
        draw = self.world.random
        self._plan: list[bytes | list[bytes]] = []
        sizes = (0, 20, 5000, 9000, 40_000) if self.world.large else (0, 1, 20, 200, 235, 236, 237, 600, 1100, 1100, 3000)
        for index in range(draw.choice((0, 1, 1, 2, 2, 5))):
            fill = bytes([97 + index])
            if draw.random() < 0.2:
                pieces = [fill * draw.choice((1, 50, 200)) for _ in range(draw.randrange(4))]
                self._plan.append(pieces)
            else:
                self._plan.append(fill * draw.choice(sizes))
        self._step = 0

    def act(self) -> None:
        try:
            while self._plan:
                item = self._plan[0]
                if not (self._send(item) if isinstance(item, bytes) else self._stream(item)):
                    return
            self.end.session.mux.close_sending(self.stream)
        except TcpconnError as error:
            self.error = error
            if self._step and self.end.session.ended is None:
                self.end.session.mux.reset(self.stream, Code.CANCELLED, "the sender gave up in the middle of a message")
        self.done = True
        self.end.pump()

    def _send(self, message: bytes) -> bool:
        outbox, stream = self.end.session.outbox, self.stream
        if not outbox.send(stream, message):
            self.wait(lambda: outbox.may_send(stream, len(message)))
            return False
        self._accepted(message)
        return self._sent()

    def _stream(self, pieces: list[bytes]) -> bool:
        outbox, stream = self.end.session.outbox, self.stream
        step = self._step
        if step == 0:
            gone, size = outbox.begin_message(stream), TOTAL_SIZE
        elif step <= len(pieces):
            gone, size = outbox.send_chunk(stream, pieces[step - 1]), len(pieces[step - 1])
        else:
            gone, size = outbox.end_message(stream), 0
        if not gone:
            self.wait(lambda: (outbox.may_step if step else outbox.may_send)(stream, size))
            return False
        self._step += 1
        if step > len(pieces):
            self._step = 0
            self._accepted(b"".join(pieces))
        return self._sent()

    def _accepted(self, message: bytes) -> None:
        self.accepted.append(message)
        del self._plan[0]

    def _sent(self) -> bool:
        if self.world.random.random() < 0.5:
            self.end.pump()
        else:
            self.end.pump_soon()
        if self.world.random.random() < 0.4:
            self.pause()
            return False
        return True


class Reader(User):
    """Receives messages, whole or in pieces, until the stream ends."""

    def __init__(self, end: End, stream: Stream) -> None:
        super().__init__(end, stream)
        self.received: list[bytes] = []
        self._pieces: list[bytes] = []
        self._patience = self.world.random.choice((0.0, 0.3))

    def act(self) -> None:
        try:
            while self._take():
                if self.world.random.random() < self._patience:
                    self.pause()
                    return
        except TcpconnError as error:
            self.error = error
            self.done = True
            # As the drivers do: what was taken before has given credit back.
            self.end.pump()
            return
        stream = self.stream
        self.wait(stream.readable)

    def _take(self) -> bool:
        mux, stream, draw = self.end.session.mux, self.stream, self.world.random
        if self._pieces or draw.random() < 0.3:
            piece = mux.take_piece(stream)
            if piece is None:
                return False
            chunk, last = piece
            self._pieces.append(chunk)
            if last:
                self.received.append(b"".join(self._pieces))
                self._pieces.clear()
        else:
            message = mux.take(stream)
            if message is None:
                return False
            if draw.random() < 0.1:
                mux.put_back(stream, message)
            else:
                self.received.append(message)
        if self.end.session.outbox.urgent:
            self.end.pump()
        return True


class Breaker(User):
    """Closes or resets a stream at some time, whatever goes on there."""

    def begin(self) -> None:
        self.world.after(self.world.random.random() * self.world.random.choice((0.02, 0.1, 0.6)), self.act)

    def act(self) -> None:
        mux = self.end.session.mux
        if self.world.random.random() < 0.5:
            mux.close(self.stream)
        else:
            mux.reset(self.stream, Code.CANCELLED, "broken off")
        self.done = True
        self.end.pump()


class Talk:
    """One stream with its users at both ends, by whether they are at the client's."""

    def __init__(self, name: str, opener: End) -> None:
        self.name = name
        self.opener = opener
        self.senders: dict[bool, Sender] = {}
        self.readers: dict[bool, Reader] = {}
        self.breakers: list[Breaker] = []

    def join(self, end: End, stream: Stream) -> None:
        """Put the users of one end to work."""
        self.senders[end.client] = Sender(end, stream)
        self.readers[end.client] = Reader(end, stream)
        self.senders[end.client].begin()
        self.readers[end.client].begin()
        if end.world.random.random() < 0.25:
            self.breakers.append(Breaker(end, stream))
            self.breakers[-1].begin()

    @property
    def users(self) -> list[User]:
        return [*self.senders.values(), *self.readers.values(), *self.breakers]


class Users:
    """All talks of a world. Ids are used again as soon as they are free."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.talks: list[Talk] = []
        self._busy: list[Talk] = []
        self.refused = 0
        self.to_open = world.random.choice((1, 2, 4))
        self._opening: dict[tuple[bool, int], Talk] = {}
        for end in world.ends.values():
            end.on_open = lambda stream, end=end: self._opened(end, stream)  # type: ignore[misc]
        for _ in range(self.to_open):
            world.after(world.random.random() * 0.4, self._open)

    def _open(self) -> None:
        self.to_open -= 1
        end = self.world.ends[self.world.random.random() < 0.6]
        name = self.world.random.choice("abcd")
        try:
            if end.session.ended is not None:
                raise ConnectionLost("ended")
            stream = end.session.mux.open(name)
        except TcpconnError:
            self.refused += 1
            return
        talk = Talk(name, end)
        self._opening[(end.client, stream.number)] = talk
        self.talks.append(talk)
        self._busy.append(talk)
        talk.join(end, stream)
        end.pump()

    def _opened(self, end: End, stream: Stream) -> None:
        talk = self._opening.pop((not end.client, stream.number))
        talk.join(end, stream)
        self._busy.append(talk)

    @property
    def done(self) -> bool:
        """Whether nobody has anything left to do."""
        # Asked after each step, so those who were found to be done are not asked again.
        busy = self._busy
        while busy and all(user.done for user in busy[-1].users):
            busy.pop()
        return not self.to_open and not busy

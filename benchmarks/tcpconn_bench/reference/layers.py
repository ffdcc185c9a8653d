"""What each layer adds to a message of 100 B: the same work over a loopback socket by more and more of the library.

A layer here is a subject that `ends` finds by name. The socket blocks in all of them, and no layer polls but the last.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from tcpconn import Config
from tcpconn.frames import FIRST, HEADER, HEADER_SIZE, LAST, FrameType, Hello
from tcpconn.multiplexer import Multiplexer
from tcpconn.outbox import BATCH_BYTES
from tcpconn.receiver import Receiver
from tcpconn.runs import LEAST_EQUAL, count_equal, cut_equal, frame_run
from tcpconn.session import Session
from tcpconn_bench.reference.ends import Pair
from tcpconn_bench.reference.figures import Figure
from tcpconn_bench.subjects import Endpoint, Message
from tcpconn_bench.subjects.plain_socket import PlainSocket

__all__ = ["ENGINE", "FRAMES", "MULTIPLEXER", "measure"]

_SIZE = 100
_STREAMED = 200_000
_ROUND_TRIPS = 4000
_READ = 256 * 1024
_STREAM = 1
_WHOLE = FIRST | LAST


class _OverSocket:
    """An end of a connected socket."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connected
        self.close = connected.close


class FramesEnd(_OverSocket):
    """Headers and bodies as the library writes and cuts them; no streams, no credit, nothing kept."""

    def __init__(self, connected: socket.socket) -> None:
        super().__init__(connected)
        self._buffer = bytearray(_READ)
        self._begin = self._end = 0

    def send(self, message: bytes) -> None:
        header = HEADER.pack(FrameType.DATA, _WHOLE, 0, _STREAM, len(message))
        self._socket.sendall(header + message)

    def send_many(self, messages: Sequence[bytes]) -> None:
        count = BATCH_BYTES // (len(messages[0]) + HEADER_SIZE)
        for start in range(0, len(messages), count):
            self._socket.sendall(b"".join(frame_run(_STREAM, messages[start : start + count])))

    def receive(self) -> Message:
        return self.receive_many(1)[0]

    def receive_many(self, count: int) -> Sequence[Message]:
        found: list[Message] = []
        while len(found) < count:
            begin, end = self._begin, self._end
            stride = HEADER_SIZE + HEADER.unpack_from(self._buffer, begin)[4] if end - begin >= HEADER_SIZE else HEADER_SIZE
            most = min((end - begin) // stride, count - len(found)) if stride > HEADER_SIZE else 0
            if not most:
                self._read()
            elif equal := count_equal(self._buffer, begin, stride, most) if most >= LEAST_EQUAL else 0:
                found += cut_equal(self._buffer, begin, stride - HEADER_SIZE, equal)
                self._begin += equal * stride
            else:
                found.append(bytes(self._buffer[begin + HEADER_SIZE : begin + stride]))
                self._begin += stride
        return found

    def _read(self) -> None:
        rest = self._buffer[self._begin : self._end]
        self._buffer[: len(rest)] = rest
        received = self._socket.recv_into(memoryview(self._buffer)[len(rest) :])
        if not received:
            raise ConnectionError("the peer closed the connection")
        self._begin, self._end = 0, len(rest) + received


class MultiplexerEnd(_OverSocket):
    """Streams, credit, fair turns and the inbox as the drivers use them; nothing is kept, acknowledged or locked."""

    def __init__(self, connected: socket.socket, *, client: bool) -> None:
        super().__init__(connected)
        self._mux, self._receiver = self._make(client)
        if client:
            self._stream = self._mux.open("layers")
            self._write()
        else:
            while not self._mux.opened:
                self._read()
            self._stream = self._mux.opened.pop()

    def _make(self, client: bool) -> tuple[Multiplexer, Receiver]:
        hello = _hello()
        mux = Multiplexer(
            client=client, accepts=not client, ours=hello, theirs=hello, chunk_size=Config().chunk_size, peer="the other end"
        )
        return mux, Receiver(mux, _refuse)

    def send(self, message: bytes) -> None:
        while not self._mux.outbox.send(self._stream, message):
            self._write()
            self._read()
        self._write()

    def send_many(self, messages: Sequence[bytes]) -> None:
        outbox, stream = self._mux.outbox, self._stream
        index = 0
        while index < len(messages):
            accepted = outbox.send_run(stream, messages, index)
            if accepted == index:
                # Too long for one frame, or without credit.
                self.send(messages[index])
                accepted += 1
            index = accepted
            self._write()

    def receive(self) -> Message:
        while (message := self._mux.take(self._stream)) is None:
            self._read()
        self._answer()
        return message

    def receive_many(self, count: int) -> Sequence[Message]:
        found: list[Message] = [self.receive()]
        while len(found) < count:
            run = self._mux.inbox.take_run(self._stream, count - len(found))
            found += run or [self.receive()]
        self._answer()
        return found

    def _read(self) -> None:
        received = self._socket.recvmsg_into(self._receiver.get_buffers())[0]
        if not received:
            raise ConnectionError("the peer closed the connection")
        self._decode(received)
        self._answer()

    def _decode(self, received: int) -> None:
        self._receiver.buffer_updated(received)

    def _answer(self) -> None:
        if self._mux.outbox.urgent:
            self._write()

    def _write(self) -> None:
        while buffers := self._take():
            self._socket.sendall(b"".join(buffers))

    def _take(self) -> Sequence[bytes | memoryview] | None:
        outbox = self._mux.outbox
        outbox.fill()
        batch, outbox.batch = outbox.batch, []
        outbox.batch_bytes = outbox.batch_frames = outbox.batch_ends = 0
        outbox.urgent = False
        return batch


class EngineEnd(MultiplexerEnd):
    """The same with the session: what was sent is kept until it is acknowledged. Without links, locks or threads."""

    def _make(self, client: bool) -> tuple[Multiplexer, Receiver]:
        hello = _hello()
        self._session = Session(
            client=client, accepts=not client, ours=hello, theirs=hello, chunk_size=Config().chunk_size, peer="the other end"
        )
        self._session.link_up(0)
        return self._session.mux, self._session.receiver

    def _decode(self, received: int) -> None:
        self._session.buffer_updated(received)

    def _answer(self) -> None:
        if self._session.has_urgent_output:
            self._write()

    def _take(self) -> Sequence[bytes | memoryview] | None:
        return self._session.take()


def _hello() -> Hello:
    config = Config()
    return Hello(bytes(16), credit=config.credit, session_credit=config.session_credit)


def _refuse(kind: int, body: bytes) -> None:
    raise ConnectionError(f"a control frame came, of type {kind} with {len(body)} bytes: there is no session to take it")


class _LayerListener:
    """Accepts sockets for one layer."""

    def __init__(self, make: Callable[[socket.socket], Endpoint]) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._make = make
        self.close = self._socket.close

    @property
    def address(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"{host}:{port}"

    def accept(self) -> Endpoint:
        return self._make(self._socket.accept()[0])


class _Layer(PlainSocket):
    """A subject made of the ends of one layer."""

    def __init__(
        self, name: str, client: Callable[[socket.socket], Endpoint], server: Callable[[socket.socket], Endpoint]
    ) -> None:
        self.name = name
        self._client = client
        self._server = server

    def listen(self) -> _LayerListener:  # type: ignore[override]
        return _LayerListener(self._server)

    def connect(self, address: str) -> Endpoint:  # type: ignore[override]
        host, _, port = address.rpartition(":")
        return self._client(socket.create_connection((host, int(port))))


FRAMES = _Layer("frames", FramesEnd, FramesEnd)
MULTIPLEXER = _Layer("multiplexer", partial(MultiplexerEnd, client=True), partial(MultiplexerEnd, client=False))
ENGINE = _Layer("engine", partial(EngineEnd, client=True), partial(EngineEnd, client=False))

_OFF = {"busy_poll": 0}
_LAYERS = {
    "plain socket": ("plain-socket", _OFF),
    "+ frames": (f"{__name__}:FRAMES", _OFF),
    "+ multiplexer": (f"{__name__}:MULTIPLEXER", _OFF),
    "+ session": (f"{__name__}:ENGINE", _OFF),
    "+ link and connection": ("tcp", _OFF),
    "+ polling": ("tcp", {}),
}


def measure(rounds: int) -> Sequence[Figure]:
    """Measure each layer beside the one below it, by the clock and in processor time of both processes together."""
    names = list(_LAYERS)
    below = dict(zip(names[1:], names, strict=False))
    works = {
        "stream": (Pair.stream, _STREAMED),
        "round trip": (Pair.round_trips, _ROUND_TRIPS),
    }
    figures = {
        (work, unit, name): Figure(f"{work} of {_SIZE} B, {name}", unit, peer=below.get(name, ""))
        for work in works
        for unit in ("µs", "µs CPU")
        for name in names
    }
    with ExitStack() as stack:
        pairs = {name: Pair(stack, subject, settings) for name, (subject, settings) in _LAYERS.items()}
        for number in range(rounds + 1):
            turn = number % len(names)
            for work, (carry_out, count) in works.items():
                taken = {name: carry_out(pairs[name], _SIZE, count) for name in names[turn:] + names[:turn]}
                for index, unit in enumerate(("µs", "µs CPU")) if number else ():
                    each = {name: cost[index] / count * 1e6 for name, cost in taken.items()}
                    for name in names:
                        figures[work, unit, name].add(each[name], each[below[name]] if name in below else None)
    return list(figures.values())

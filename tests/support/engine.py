"""What the tests of the engine share: limits to negotiate, frames read back, and two sessions joined by a wire of bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tcpconn.ablation import MakeReceiver
from tcpconn.frames import Frame, Hello, decode_frames
from tcpconn.multiplexer import Multiplexer
from tcpconn.receiver import Receiver
from tcpconn.session import Session
from tcpconn.stream import Stream

CHUNK = 64 * 1024


def hello(**limits: Any) -> Hello:
    """Return a HELLO with the default limits but for those given."""
    return Hello(session=bytes(range(16)), **limits)


def frames_of(buffers: Iterable[bytes | memoryview] | None) -> list[Frame]:
    """Read frames back from buffers that were to be written."""
    return list(decode_frames(b"".join(buffers or ())))


def new_session(
    *,
    client: bool,
    ours: Hello | None = None,
    theirs: Hello | None = None,
    chunk_size: int = CHUNK,
    receiver: MakeReceiver = Receiver,
) -> Session:
    """Return one end of a session."""
    return Session(
        client=client,
        accepts=not client,
        ours=ours or hello(),
        theirs=theirs or hello(),
        chunk_size=chunk_size,
        peer="the server" if client else "the client",
        receiver=receiver,
    )


class Joined:
    """A client's and a server's session, and the bytes that are under way from each to the other."""

    def __init__(
        self,
        *,
        client: Hello | None = None,
        server: Hello | None = None,
        chunk_size: int = CHUNK,
        receiver: MakeReceiver = Receiver,
    ) -> None:
        self.client = new_session(client=True, ours=client, theirs=server, chunk_size=chunk_size, receiver=receiver)
        self.server = new_session(client=False, ours=server, theirs=client, chunk_size=chunk_size, receiver=receiver)
        self.wires = {True: bytearray(), False: bytearray()}
        """Bytes under way, by whether the client has sent them."""
        self.resume()

    def end(self, client: bool) -> Session:
        """Return one of the two sessions."""
        return self.client if client else self.server

    def open(self, name: str = "a", *, client: bool = True) -> tuple[Stream, Stream]:
        """Open a stream; return it as its opener has it and as the other end has it."""
        opener, other = self.end(client), self.end(not client)
        stream = opener.mux.open(name)
        self.settle()
        return stream, other.mux.opened.pop()

    def write(self, *, client: bool) -> int:
        """Put what one end has to write on the wire; return how many bytes are on it."""
        session = self.end(client)
        while buffers := session.take():
            self.wires[client] += b"".join(buffers)
        return len(self.wires[client])

    def deliver(self, count: int | None = None, *, client: bool) -> int:
        """Let the other end read up to `count` bytes of what one end has written; return how many it read."""
        wire = self.wires[client]
        data = bytes(wire[:count])
        del wire[:count]
        receive(self.end(not client), data)
        return len(data)

    def settle(self) -> None:
        """Write and read at both ends until nothing more comes."""
        for _ in range(10_000):
            moved = 0
            for client in (True, False):
                self.write(client=client)
                moved += self.deliver(client=client)
            if not moved:
                return
        raise AssertionError("the two never come to rest")

    def cut(self) -> None:
        """Lose the link and all that is under way."""
        for client in (True, False):
            self.wires[client].clear()
            self.end(client).link_down()

    def resume(self) -> None:
        """Join both ends by a new link."""
        received = {client: self.end(client).hello(resume=True).received for client in (True, False)}
        for client in (True, False):
            self.end(client).link_up(received[not client])


def receive(session: Session, data: bytes) -> None:
    """Feed bytes as a link does that receives into the session's buffer."""
    view = memoryview(data)
    while view:
        buffer = session.get_buffer()
        count = min(len(buffer), len(view))
        buffer[:count] = view[:count]
        view = view[count:]
        session.buffer_updated(count)


def take_all(session: Session, stream: Stream) -> list[bytes]:
    """Take every message that is whole."""
    messages = []
    while (message := session.mux.take(stream)) is not None:
        messages.append(message)
    return messages


def said(mux: Multiplexer) -> list[str]:
    """Return, in words, what a multiplexer has put out."""
    mux.outbox.fill()
    words = [str(frame) for frame in frames_of(mux.outbox.batch)]
    mux.outbox.batch = []
    mux.outbox.batch_bytes = mux.outbox.batch_frames = 0
    return words


def send(session: Session, stream: Stream, *messages: bytes) -> None:
    for message in messages:
        assert session.outbox.send(stream, message)


def receiving(stream: Stream) -> bool:
    """Whether a message of the stream is under way."""
    return stream.assembly is not None or stream.incoming is not None


def assert_no_credit_is_lost(joined: Joined) -> None:
    """Each end may send as much as the other has promised, less what is received and not yet granted anew."""
    for client in (True, False):
        sender, receiver = joined.end(client), joined.end(not client)
        assert sender.outbox.credit + receiver.mux.inbox.unconsumed == sender.mux.theirs.session_credit

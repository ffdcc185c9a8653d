"""What the tests of receiving share: one end to feed, the bytes of messages of every kind, and ways to cut them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Any

from hypothesis import strategies as st

from engine import frames_of, hello
from tcpconn import frames
from tcpconn.ablation import MakeReceiver
from tcpconn.frames import FIRST, HEADER, HEADER_SIZE, LAST, UNKNOWN_TOTAL, Frame, FrameType
from tcpconn.multiplexer import Multiplexer
from tcpconn.receiver import Receiver
from tcpconn.stream import Incoming, Stream

__all__ = ["GIB", "WHOLE", "End", "conversations", "data", "fed", "frame_by_frame", "in_chunks", "split", "streamed", "total"]

WHOLE = FIRST | LAST
GIB = 1 << 30


class End:
    """A receiver and its multiplexer, with streams that the peer has opened; each limit is this end's own."""

    def __init__(self, streams: int = 1, receiver: MakeReceiver = Receiver, **limits: Any) -> None:
        self.mux = Multiplexer(
            client=False, accepts=True, ours=hello(**limits), theirs=hello(), chunk_size=65536, peer="the peer"
        )
        self.control: list[tuple[int, bytes]] = []
        self.receiver = receiver(self.mux, lambda kind, body: self.control.append((kind, body)))
        for index in range(streams):
            self.mux.peer_opened(2 * index + 1, frames.open_stream(1, f"s{index}", None).body)

    def stream(self, number: int = 1) -> Stream:
        return self.mux.streams[number]

    def receive(self, data: bytes, *, lone: bool = False) -> None:
        view = memoryview(data)
        while view:
            buffer = self.receiver.get_buffer()
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            view = view[count:]
            if not lone or not self.receiver.take_lone(count):
                self.receiver.buffer_updated(count)

    def scatter(self, data: bytes) -> None:
        """Receive as a link does that fills several buffers by one call."""
        view = memoryview(data)
        while view:
            rest = view
            for buffer in self.receiver.get_buffers():
                count = min(len(buffer), len(rest))
                buffer[:count] = rest[:count]
                rest = rest[count:]
            taken = len(view) - len(rest)
            assert b"".join(self.receiver.filled(taken)) == view[:taken]
            view = rest
            self.receiver.buffer_updated(taken)

    def receive_lone(self, data: bytes) -> None:
        """Receive as a session does, for which the bytes may be one whole message."""
        self.receive(data, lone=True)

    def receive_lone_of_its_own(self, data: bytes | memoryview) -> None:
        """The same, of bytes in memory of their own."""
        if not self.receiver.take_lone(len(data), data):
            self.receiver.data_received(data)

    def take(self, number: int = 1) -> list[bytes]:
        messages = []
        while (message := self.mux.take(self.stream(number))) is not None:
            messages.append(message)
        return messages

    def state(self) -> dict[str, Any]:
        """Return all that depends on what was received."""
        return {
            "count": self.receiver.count,
            "unconsumed": self.mux.inbox.unconsumed,
            "consumed": self.mux.inbox.consumed,
            "control": self.control,
            "answers": [str(frame) for frame in frames_of(self.mux.outbox.batch)],
            "streams": {number: stream_state(stream) for number, stream in self.mux.streams.items()},
        }


def stream_state(stream: Stream) -> dict[str, Any]:
    assembly = stream.assembly
    return {
        "inbox": [
            item if isinstance(item, bytes) else list(item.chunks) if isinstance(item, Incoming) else item.data
            for item in stream.inbox
        ],
        "assembly": assembly and (assembly.total, assembly.filled, bytes(assembly.room(0, assembly.filled))),
        "incoming": stream.incoming and list(stream.incoming.chunks),
        "window": stream.window,
        "consumed": stream.consumed,
        "got_end": stream.got_end,
    }


def data(body: bytes = b"", flags: int = WHOLE, number: int = 1) -> bytes:
    return Frame(FrameType.DATA, flags, number, body).encode()


def total(size: int) -> bytes:
    return frames.U64.pack(size)


def in_chunks(message: bytes, size: int, number: int = 1) -> list[bytes]:
    """Return the DATA frames of a message of several chunks."""
    pieces = [message[start : start + size] for start in range(0, len(message), size)] or [b""]
    first, last = data(total(len(message)) + pieces[0], FIRST, number), data(b"", LAST, number)
    return [first, *(data(piece, 0, number) for piece in pieces[1:]), last]


def streamed(chunks: Iterable[bytes], number: int = 1) -> list[bytes]:
    return [
        data(total(UNKNOWN_TOTAL), FIRST, number),
        *(data(chunk, 0, number) for chunk in chunks),
        data(b"", LAST, number),
    ]


def interleave(draw: st.DrawFn, sequences: list[list[bytes]]) -> bytes:
    """Mix sequences of frames, keeping the order within each."""
    mixed = b""
    while sequences := [sequence for sequence in sequences if sequence]:
        mixed += draw(st.sampled_from(sequences)).pop(0)
    return mixed


SIZES = st.one_of(st.integers(0, 40), st.sampled_from([4095, 4096, 4097, 20_000, 70_000]))


@st.composite
def messages_of_a_stream(draw: st.DrawFn, number: int) -> list[bytes]:
    written: list[bytes] = []
    for index in range(draw(st.integers(0, 4))):
        message = bytes([65 + index]) * draw(SIZES)
        kind = draw(st.sampled_from(["whole", "many", "chunks", "streamed"]))
        if kind == "whole":
            written.append(data(message, WHOLE, number))
        elif kind == "many":
            # One item: they stay in a row, as what is taken together must.
            written.append(data(message, WHOLE, number) * draw(st.integers(15, 600 if len(message) < 100 else 20)))
        elif kind == "chunks":
            written += in_chunks(message, 7 if len(message) < 100 else draw(st.sampled_from([5000, 40_000])), number)
        else:
            written += streamed([message] * draw(st.integers(0, 2)), number)
    if draw(st.booleans()):
        written.append(frames.close(number).encode())
    return written


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    others = [frames.ping(1).encode(), frames.ack(0).encode(), frames.open_stream(5, "late", None).encode()]
    return interleave(draw, [draw(messages_of_a_stream(1)), draw(messages_of_a_stream(3)), others])


def split(conversation: bytes, generator: random.Random) -> Iterable[bytes]:
    """Cut bytes into pieces, mostly small ones."""
    position = 0
    while position < len(conversation):
        size = generator.choice((1, 2, 11, 12, 13, 20, 300, 4096, 60_000)) * generator.choice((1, 1, 10))
        yield conversation[position : position + size]
        position += size


def frame_by_frame(written: bytes) -> Iterable[bytes]:
    """Cut bytes into what their headers say is a frame each; what is left over is one piece."""
    while written:
        size = HEADER_SIZE + HEADER.unpack_from(written)[4] if len(written) >= HEADER_SIZE else len(written)
        yield written[:size]
        written = written[size:]


def fed(conversation: bytes, feed: Callable[[End], None], receiver: MakeReceiver = Receiver) -> dict[str, Any]:
    """Return the state of an end with two streams that was fed a conversation."""
    end = End(2, receiver, credit=8 << 20)
    feed(end)
    return end.state()

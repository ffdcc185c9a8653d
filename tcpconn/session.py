"""One session: acknowledgement, and replay when a new link takes the place of a lost one.

Sans-I/O. It owns the multiplexer and the receiver, keeps every sequenced frame by reference until the peer has
acknowledged it, and answers the frames that concern the session as a whole. It knows neither links nor threads nor time:
the driver says `link_up` and `link_down`, writes what `take` gives, and feeds what it reads.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from tcpconn import frames
from tcpconn.errors import ConnectionClosed, ConnectionLost, ProtocolError, TcpconnError
from tcpconn.frames import LAST, Code, Frame, FrameType, Hello
from tcpconn.kept import Batch, Kept, count_messages
from tcpconn.multiplexer import Multiplexer
from tcpconn.receiver import Receiver
from tcpconn.stream import Piece, Stream

__all__ = ["ACK_BYTES", "ACK_FRAMES", "Session"]

ACK_FRAMES = 1024
"""Acknowledge at the latest after so many sequenced frames."""

ACK_BYTES = 2 * 1024 * 1024
"""Acknowledge at the latest after so many bytes, be there anything else to write or not; less than `_LEAST_KEPT`."""

_ALONG_BYTES = 256 * 1024
"""After so many bytes an ACK goes along with whatever is written, credit for one: a write of its own costs some 10 µs."""


_LEAST_KEPT = 4 * 1024 * 1024
"""Bytes that are always kept for a peer that acknowledges late; ACKs come much sooner, see `ACK_BYTES`."""

_ENDS_KEPT = 65_536
"""How many answers to streams that the peer opened and closed, beyond `max_streams`, may wait for its acknowledgement."""


class Session:
    """What two ends share across links.

    Args:
        client: whether this end dialled.
        accepts: whether the peer may open streams.
        ours: the HELLO of this end, for its limits; `theirs`: the peer's.
        chunk_size: bytes of a chunk, see `Multiplexer`.
        peer: the peer's address, for error texts.
        receiver: makes the receiver, of the multiplexer and what takes control frames.
        secret: what proves the right to resume it, see `authentication`.

    Attributes:
        mux: the streams.
        linked: whether a link is there to write to.
        kept: the sequenced frames that were written and not acknowledged. While they are more bytes than the session's own
            credit (and 4 MiB) nothing more is written, so that no peer can make them grow for ever.
        farewell: (code, text) of the peer's GOAWAY, or None.
        ended: why the session is over, or None.
        stirred: something changed that concerns more than one stream; the driver clears it.
        demands: what the peer asks for that costs it nothing; the driver settles it with the time.
        lost: once ended, the undelivered messages of each stream by its number.
        control: frames that are not sequenced and wait to be written, one of each type at most.
        replay: batches of the old link that are to be written anew over the present one.
        taken: bytes of what `take` has returned last.
    """

    def __init__(
        self,
        *,
        client: bool,
        accepts: bool,
        ours: Hello,
        theirs: Hello,
        chunk_size: int,
        peer: str,
        receiver: Callable[[Multiplexer, Callable[[int, bytes], None]], Receiver] = Receiver,
        secret: bytes = b"",
    ) -> None:
        self.id = ours.session
        self.secret = secret
        self.mux = Multiplexer(client=client, accepts=accepts, ours=ours, theirs=theirs, chunk_size=chunk_size, peer=peer)
        self.outbox = self.mux.outbox
        self.demands = self.mux.demands
        self.demands.stir = self._stir
        self.receiver = receiver(self.mux, self._on_control)
        self.linked = False
        self.kept = Kept()
        self.farewell: tuple[int, str] | None = None
        self.ended: str | None = None
        self.stirred = False
        self.lost: Counter[int] = Counter()
        self.taken = 0
        self._client = client
        self._keep_limit = max(ours.session_credit, _LEAST_KEPT)
        self.replay: deque[Batch] = deque()
        # The number of the first frame in the replay.
        self._replay_first = 0
        # One of each type: a newer ACK or PONG says all that an older one said.
        self.control: dict[int, bytes | memoryview] = {}
        self._goodbye: Frame | None = None
        self._acked_to_peer = 0
        self._pings = 0

    @property
    def acknowledged(self) -> int:
        """Sequenced frames that the peer has acknowledged."""
        return self.kept.acknowledged

    # -- links

    def hello(self, *, resume: bool) -> Hello:
        """Return the HELLO that begins the next link, still with the nonce of the first."""
        ours = self.mux.ours
        return Hello(
            session=ours.session,
            resume=resume,
            received=self.receiver.count,
            max_chunk=ours.max_chunk,
            max_message=ours.max_message,
            max_streams=ours.max_streams,
            credit=ours.credit,
            session_credit=ours.session_credit,
            capabilities=ours.capabilities,
            authentication=ours.authentication,
        )

    def check_resume(self, received: int) -> None:
        """Check what a peer says in its HELLO, before anything is done for it.

        Raises:
            ProtocolError: it claims frames that were never sent, or has forgotten some that it acknowledged.
        """
        if not self.acknowledged <= received <= self.kept.framed:
            raise ProtocolError(
                f"{self.mux.peer} resumes after {received} frames; between {self.acknowledged} and {self.kept.framed} can be"
            )

    def link_up(self, received: int) -> None:
        """Go on over a new link on which the HELLOs have been exchanged; the peer has `received` of our frames.

        Raises:
            ProtocolError: as for `check_resume`.
        """
        self.check_resume(received)
        self._acknowledge(received)
        self.replay = deque(self.kept.unacknowledged())
        self._replay_first = self.acknowledged
        self._acked_to_peer = self.receiver.count
        self.receiver.unacknowledged_bytes = 0
        self.receiver.link_up()
        self.linked = True
        self.stirred = True
        if self._goodbye is not None:
            # GOAWAY is not among the frames that are replayed.
            self._put(self._goodbye)

    def prove(self, proof: Frame) -> None:
        """Say something on a link that has just come up before anything else."""
        self.control = {proof.type: proof.encode(), **self.control}

    def link_down(self) -> None:
        """Stop writing; what is not acknowledged is kept for the next link."""
        self.linked = False
        self.replay.clear()
        self.control.clear()
        self.receiver.link_lost()

    # -- reading

    def get_buffer(self) -> memoryview:
        """Return where to receive to."""
        return self.receiver.get_buffer()

    def buffer_updated(self, count: int) -> None:
        """Take `count` bytes received into the last buffer or buffers.

        Raises:
            ProtocolError: the peer broke the rules; the driver says GOAWAY (`violated`) and drops the link.
        """
        receiver = self.receiver
        if not receiver.take_lone(count):
            self.outbox.under_way = True
            try:
                receiver.buffer_updated(count)
            except ProtocolError:
                self.outbox.under_way = False
                raise
            self.outbox.under_way = False
        # Looked at here, for it is on the way of every message.
        if (
            receiver.count - self._acked_to_peer >= ACK_FRAMES
            or receiver.unacknowledged_bytes >= ACK_BYTES
            or self.outbox.batch_ends
        ):
            self._acknowledge_if_due()

    def data_received(self, data: bytes | memoryview) -> None:
        """Take bytes received elsewhere.

        Raises:
            ProtocolError: as for `buffer_updated`.
        """
        receiver = self.receiver
        if not receiver.take_lone(len(data), data):
            self.outbox.under_way = True
            try:
                receiver.data_received(data)
            except ProtocolError:
                self.outbox.under_way = False
                raise
            self.outbox.under_way = False
        if (
            receiver.count - self._acked_to_peer >= ACK_FRAMES
            or receiver.unacknowledged_bytes >= ACK_BYTES
            or self.outbox.batch_ends
        ):
            self._acknowledge_if_due()

    def _acknowledge_if_due(self) -> None:
        if self.kept.ends + self.outbox.batch_ends > self.mux.ours.max_streams + _ENDS_KEPT:
            raise ProtocolError(f"{self.mux.peer} opens and closes connections without acknowledging the answers")
        receiver = self.receiver
        if receiver.unacknowledged_bytes >= ACK_BYTES or receiver.count - self._acked_to_peer >= ACK_FRAMES:
            self.acknowledge()

    def acknowledge(self) -> bool:
        """Put an ACK out if something was received that is not acknowledged; say whether it was."""
        count = self.receiver.count
        if count == self._acked_to_peer or not self.linked:
            return False
        self._acked_to_peer = count
        self.receiver.unacknowledged_bytes = 0
        self._put(frames.ack(count))
        return True

    @property
    def owes_ack(self) -> bool:
        """Whether something was received that is not acknowledged yet."""
        return self.receiver.count != self._acked_to_peer

    def _stir(self) -> None:
        self.stirred = True

    def _on_control(self, kind: int, body: bytes) -> None:
        match kind:
            case FrameType.ACK | FrameType.PING | FrameType.PONG:
                if len(body) != frames.U64.size:
                    raise ProtocolError(f"{self.mux.peer} sent a {FrameType(kind).name} of {len(body)} bytes instead of 8")
                number = frames.U64.unpack(body)[0]
                if kind == FrameType.ACK:
                    self._peer_acknowledged(number)
                else:
                    self.demands.note_idle()
                    if kind == FrameType.PING:
                        self.acknowledge()
                        self._put(frames.pong(number))
            case FrameType.GOAWAY:
                self.demands.note_idle()
                self.farewell = frames.decode_reason(body)
                code, text = self.farewell
                self.mux.going_away = text or Code.describe(code)
                self.stirred = True
            case FrameType.HELLO:
                raise ProtocolError(f"{self.mux.peer} sent a second HELLO on one link")
            case FrameType.PROOF:
                raise ProtocolError(f"{self.mux.peer} sent a PROOF that was not asked for")
            case _:
                raise ProtocolError(f"{self.mux.peer} sent a frame of the unknown type {kind}")

    def _peer_acknowledged(self, count: int) -> None:
        if count > self.kept.framed:
            raise ProtocolError(f"{self.mux.peer} acknowledged {count} frames; {self.kept.framed} were sent")
        if count <= self.kept.acknowledged:
            self.demands.note_idle()
            return
        self._acknowledge(count)

    def _acknowledge(self, count: int) -> None:
        if count <= self.acknowledged:
            return
        kept = self.kept
        before = kept.bytes
        kept.acknowledge(count)
        self.stirred = True
        if before >= self._keep_limit > kept.bytes and self.outbox.has_output:
            self.outbox.urgent = True

    # -- writing

    def _put(self, frame: Frame) -> None:
        self.control[frame.type] = frame.encode()

    @property
    def has_output(self) -> bool:
        """Whether `take` would return something."""
        outbox = self.outbox
        return self.linked and bool(outbox.batch or outbox.ring or self.control or self.replay)

    @property
    def has_urgent_output(self) -> bool:
        """Whether something waits to be written that the peer should not wait for."""
        outbox = self.outbox
        return bool(outbox.urgent or outbox.ring or self.control)

    @property
    def settled(self) -> bool:
        """Whether the peer has acknowledged everything that was accepted here."""
        if self.acknowledged != self.kept.framed or self.outbox.has_output:
            return False
        return not any(stream.sendq for stream in self.mux.streams.values())

    def take(self) -> Batch | None:
        """Return the next buffers to write, in order, or None; the session keeps what must survive the link."""
        outbox = self.outbox
        if not self.linked or not (outbox.batch or outbox.ring or self.control or self.replay):
            return None
        if self.receiver.unacknowledged_bytes >= _ALONG_BYTES and outbox.has_output:
            self.acknowledge()
        batch = self._next_replay() if self.replay else None
        size = sum(map(len, batch)) if batch else 0
        kept = self.kept
        if not batch and kept.bytes < self._keep_limit:
            if outbox.ring:
                outbox.fill()
            batch = outbox.batch
            if batch:
                size = outbox.batch_bytes
                kept.add(batch, frames=outbox.batch_frames, size=size, ends=outbox.batch_ends)
                outbox.batch = []
                outbox.batch_bytes = outbox.batch_frames = outbox.batch_ends = 0
                outbox.urgent = False
        if self.control:
            # A PING goes behind the batch, for its answer acknowledges what came before it.
            size += sum(map(len, self.control.values()))
            ping = self.control.pop(FrameType.PING, None)
            batch = [*self.control.values(), *(batch or ()), *(() if ping is None else (ping,))]
            self.control.clear()
        self.taken = size
        return batch or None

    def _next_replay(self) -> Batch | None:
        while self.replay:
            batch = self.replay.popleft()
            skip = self.acknowledged - self._replay_first
            self._replay_first += len(batch) // 2
            if skip > 0:
                batch = batch[2 * skip :]
            if batch:
                return batch
        return None

    def ping(self) -> None:
        """Ask the peer for an acknowledgement and a sign of life."""
        if self.linked:
            self._pings += 1
            self._put(frames.ping(self._pings))

    def say_goodbye(self, code: Code, text: str) -> None:
        """Tell the peer that this end opens and takes no more streams."""
        self.mux.going_away = self.mux.going_away or text
        self._goodbye = frames.goaway(code, text)
        if self.linked:
            self._put(self._goodbye)

    def flush_target(self, stream: Stream) -> int | None:
        """Return what `acknowledged` must reach for all that was sent on a stream to be there; None: not all is framed yet."""
        if stream.sendq or (stream.closing and not stream.sent_end):
            return None
        return self.kept.framed + self.outbox.batch_frames

    # -- the end

    def undelivered(self) -> Counter[int]:
        """Count, for each stream, the messages that were accepted here and never acknowledged by the peer."""
        counts: Counter[int] = Counter()
        count_messages(counts, (*self.kept.unacknowledged(), self.outbox.batch))
        for stream in self.mux.streams.values():
            for item in stream.sendq:
                if type(item) is not Piece or item.flags & LAST:
                    counts[stream.number] += 1
        return counts

    def lost_to(self, stream: Stream) -> int:
        """Return how many messages that were accepted on a stream are lost for good; 0 while there is hope for all."""
        return self.lost[stream.number] + stream.abandoned

    def end(self, text: str, *, in_order: bool = False) -> None:
        """End the session for good: every stream learns it, with the number of messages that are lost to it.

        Args:
            text: why.
            in_order: the peer said goodbye, so a stream without losses is closed rather than lost.
        """
        if self.ended is not None:
            return
        self.linked = False
        # What was found to be lost by one who was interrupted here is not there any more to be counted again.
        self.lost = counts = self.lost or self.undelivered()

        def failure(stream: Stream) -> Callable[[], TcpconnError]:
            lost = counts[stream.number]
            where = f"id {stream.name!r} at {self.mux.peer}: {text}"
            if in_order and not lost:
                return lambda: ConnectionClosed(where)
            return lambda: ConnectionLost(f"{where}; undelivered messages: {lost}", lost)

        self.mux.fail(failure)
        # Its buffer is large, and whoever keeps a connection keeps the session.
        self.receiver.link_lost()
        self.kept.clear()
        self.replay.clear()
        self.control.clear()
        self.stirred = True
        # Last: where an interrupt comes before that, all of it is done again.
        self.ended = text

    def __repr__(self) -> str:
        state = "ended" if self.ended is not None else "linked" if self.linked else "unlinked"
        unacked = self.kept.framed - self.acknowledged
        return f"<Session {self.id.hex()[:8]} {state} streams={len(self.mux.streams)} unacked={unacked}>"

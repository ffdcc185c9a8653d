"""The frames that were written and that the peer has not acknowledged: kept by reference, in the batches that they went in.

Sans-I/O. It counts frames; it knows nothing of sessions and links, and of what is in a frame only what counts messages.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from tcpconn.frames import HEADER, LAST, FrameType

__all__ = ["Batch", "Kept", "count_messages"]

Batch = list[bytes | memoryview]
"""The buffers of frames that are written together, header and body in turn, two for each frame."""


class Kept:
    """What may have to be written again.

    Of a lone small message it keeps the header and the list of its buffers, and no other object: hence a deque for each figure
    of a batch, and no record of them all.

    Attributes:
        acknowledged: frames that the peer has acknowledged.
        framed: frames that were added, those included.
        bytes: bytes of the batches that are not acknowledged as a whole.
        ends: how many frames of them end a stream that the peer has opened.
    """

    __slots__ = ("_batches", "_ends", "_first", "_sizes", "acknowledged", "bytes", "ends", "framed")

    def __init__(self) -> None:
        self.acknowledged = 0
        self.framed = 0
        self.bytes = 0
        self.ends = 0
        self._batches: deque[Batch] = deque()
        self._sizes: deque[int] = deque()
        # Of the few batches that end streams: the number of the frame behind, and how many they end.
        self._ends: deque[tuple[int, int]] = deque()
        # The number of the first frame in the batches.
        self._first = 0

    def add(self, batch: Batch, *, frames: int, size: int, ends: int) -> None:
        """Keep a batch of so many frames, bytes, and frames that end a stream of the peer's.

        Without a call in it, after which a signal's handler might raise: a batch is kept or not.
        """
        self._batches += (batch,)
        self._sizes += (size,)
        self.framed += frames
        self.bytes += size
        if ends:
            self._ends += ((self.framed, ends),)
            self.ends += ends

    def acknowledge(self, count: int) -> None:
        """Forget the batches of which the peer has every frame, now that it has `count` in all."""
        self.acknowledged = count
        batches = self._batches
        while batches and (after := self._first + len(batches[0]) // 2) <= count:
            batches.popleft()
            self._first = after
            self.bytes -= self._sizes.popleft()
            if self.ends and self._ends[0][0] == after:
                self.ends -= self._ends.popleft()[1]

    def unacknowledged(self) -> Iterator[Batch]:
        """Yield what the peer has not acknowledged, batch by batch, as it stands when each is asked for."""
        position = self._first
        for batch in self._batches:
            skip = max(self.acknowledged - position, 0)
            position += len(batch) // 2
            if 2 * skip < len(batch):
                yield batch[2 * skip :] if skip else batch

    def clear(self) -> None:
        """Forget everything; nothing will be written again."""
        for one in (self._batches, self._sizes, self._ends):
            one.clear()
        self._first = self.framed
        self.bytes = self.ends = 0


def count_messages(counts: Counter[int], batches: Iterable[Batch]) -> None:
    """Count the messages that end in batches, for each stream by its number."""
    for batch in batches:
        for header in batch[::2]:
            kind, flags, _, number, _ = HEADER.unpack_from(header)
            if kind == FrameType.DATA and flags & LAST:
                counts[number] += 1

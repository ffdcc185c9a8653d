"""What was written and is not acknowledged: nothing is forgotten too early, nothing kept too long."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from tcpconn import frames
from tcpconn.frames import FIRST, LAST, Frame, FrameType
from tcpconn.kept import Batch, Kept, count_messages


def batch_of(*numbers: int) -> Batch:
    """Return a batch of empty frames that are told apart by their numbers."""
    return [piece for number in numbers for piece in (b"%d" % number, b"")]


def numbers_in(kept: Kept) -> list[int]:
    return [int(bytes(header)) for batch in kept.unacknowledged() for header in batch[::2]]


@settings(deadline=None)
@given(sizes=st.lists(st.integers(1, 6), max_size=8), data=st.data())
def test_after_any_acknowledgements_exactly_the_frames_beyond_them_are_kept(sizes: list[int], data: st.DataObject) -> None:
    kept = Kept()
    last = 0
    ends: list[tuple[int, int]] = []
    for size in sizes:
        first = kept.framed
        kept.add(batch_of(*range(first, first + size)), frames=size, size=100 * size, ends=size % 3)
        ends.append((kept.framed, size % 3))
        last = data.draw(st.integers(last, kept.framed))
        kept.acknowledge(last)
        assert numbers_in(kept) == list(range(last, kept.framed))
        assert kept.acknowledged == last
        # Whole batches are let go of, so up to one more of them is held than is not acknowledged.
        assert 0 <= kept.bytes // 100 - (kept.framed - last) < 6
        assert kept.ends == sum(count for after, count in ends if after > last)
    kept.acknowledge(kept.framed)
    assert (numbers_in(kept), kept.bytes, kept.ends) == ([], 0, 0)


def test_cleared_it_keeps_nothing_and_goes_on_counting() -> None:
    kept = Kept()
    kept.add(batch_of(0, 1, 2), frames=3, size=300, ends=1)
    kept.acknowledge(1)
    kept.clear()
    assert (numbers_in(kept), kept.bytes, kept.ends, kept.framed, kept.acknowledged) == ([], 0, 0, 3, 1)


def test_the_messages_of_a_stream_are_counted_where_they_end() -> None:
    written = [
        Frame(FrameType.DATA, FIRST | LAST, 1, b"whole"),
        Frame(FrameType.DATA, FIRST, 3, b"begun"),
        frames.close(5),
        Frame(FrameType.DATA, LAST, 3, b"ended"),
        Frame(FrameType.DATA, FIRST | LAST, 1, b""),
    ]
    counts: Counter[int] = Counter({1: 1})
    count_messages(counts, [[frame.encode(), b""] for frame in written])
    assert counts == {1: 3, 3: 1}

"""The part of the contract that says: bytes arrive in order and unaltered, however they are cut."""
# ruff: noqa: D102

from __future__ import annotations

import random
import threading

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcpconn.testing.contract.case import ContractCase
from tcpconn.testing.contract.ends import LIMIT, End, Ends, RecordingSink, in_thread
from tcpconn.transport import Buffer

__all__ = ["CarryingContract"]

_SIZES = st.one_of(st.integers(0, 40), st.integers(0, 5000), st.integers(60_000, 70_000), st.integers(0, 200_000))


class CarryingContract(ContractCase):
    """Bytes in, the same bytes out."""

    def test_bytes_arrive_in_order_both_ways(self, ends: Ends) -> None:
        near, far = ends.join()
        ends.send(near, [b"question"])
        ends.send(far, [b"ans", b"wer"])
        ends.drive(lambda: len(far.sink.data) == 8 and len(near.sink.data) == 6)
        assert far.sink.data == b"question"
        assert near.sink.data == b"answer"

    def test_bytes_arrive_in_order_however_they_are_cut(self, ends: Ends) -> None:
        near, far = ends.join()

        @settings(
            max_examples=25,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
        )
        @given(st.lists(st.lists(_SIZES, max_size=4), max_size=4), st.integers(1000, 70_000), st.integers(0, 1000))
        def check(writes: list[list[int]], buffer_size: int, seed: int) -> None:
            chance = random.Random(seed)
            far.sink = RecordingSink(buffer_size)
            far.link.sink = far.sink
            sent = bytearray()
            for sizes in writes:
                buffers: list[Buffer] = []
                for size in sizes:
                    data = chance.randbytes(size)
                    sent += data
                    buffers.append(chance.choice([bytes, bytearray, memoryview])(data))
                ends.send(near, buffers)
            ends.drive(lambda: len(far.sink.data) >= len(sent))
            assert far.sink.data == sent

        check()

    def test_more_buffers_than_one_system_call_takes_are_gathered(self, ends: Ends) -> None:
        near, far = ends.join()
        for size in (1, 5000):
            far.sink.data.clear()
            buffers = [index.to_bytes(4, "big") * size for index in range(2500)]
            ends.send(near, buffers)
            sent = b"".join(buffers)
            ends.drive(lambda sent=sent: len(far.sink.data) >= len(sent))  # type: ignore[misc]
            assert far.sink.data == sent

    def test_an_empty_write_takes_nothing_and_sends_nothing(self, ends: Ends) -> None:
        near, far = ends.join()
        assert near.link.write([]) == 0
        assert near.link.write([b"", bytearray(), memoryview(b"")]) == 0
        ends.send(near, [b"", b"x", b""])
        ends.drive(lambda: bool(far.sink.data))
        assert far.sink.data == b"x"
        assert not far.lost

    def test_a_write_never_blocks_though_nobody_reads_and_what_it_took_arrives(self, ends: Ends) -> None:
        near, far = ends.join()
        piece = bytes(range(256)) * 1024
        taken = 0

        def fill() -> int:
            taken = 0
            while taken < 64 * len(piece):
                count = near.link.write([memoryview(piece)[taken % len(piece) :]])
                if not count:
                    break
                taken += count
            return taken

        taken = in_thread(fill).result(LIMIT)
        assert taken > 0
        ends.drive(lambda: len(far.sink.data) >= taken)
        assert far.sink.data == (piece * (taken // len(piece) + 1))[:taken]

    def test_a_buffer_may_be_changed_once_it_is_taken(self, ends: Ends) -> None:
        near, far = ends.join()
        sent = bytearray()
        for size in (100, 5000, 100_000, 2_000_000):
            mutable = bytearray(b"a") * size
            view = memoryview(mutable)
            taken = near.link.write([view])
            view.release()
            mutable[:] = b"b" * size
            sent += b"a" * taken
        ends.drive(lambda: len(far.sink.data) >= len(sent))
        assert far.sink.data == sent

    def test_a_view_may_be_released_once_it_is_taken(self, ends: Ends) -> None:
        near, far = ends.join()
        sent = bytearray()
        for size in (100, 100_000, 2_000_000):
            view = memoryview(b"v" * size)
            sent += b"v" * near.link.write([view])
            view.release()
        ends.drive(lambda: len(far.sink.data) >= len(sent))
        assert far.sink.data == sent

    def test_what_is_sent_before_the_sink_is_set_arrives(self, ends: Ends) -> None:
        near = ends.dial()
        ends.send(near, [b"early ", b"bird"])
        ends.turn(0.01)
        far = ends.accept()
        ends.drive(lambda: len(far.sink.data) == 10)
        assert far.sink.data == b"early bird"

    def test_a_sink_may_be_exchanged_from_within_its_own_call(self, ends: Ends) -> None:
        near, far = ends.join()
        later = RecordingSink()

        class First(RecordingSink):
            def data_received(self, data: bytes | memoryview) -> None:
                super().data_received(data)
                far.link.sink = later

            def buffer_updated(self, count: int) -> None:
                super().buffer_updated(count)
                far.link.sink = later

        first = far.sink = First(buffer_size=1000)
        far.link.sink = first
        for end in range(20):
            ends.send(near, [bytes([end]) * 997])
        ends.drive(lambda: len(first.data) + len(later.data) >= 20 * 997)
        assert first.data
        assert later.data
        assert first.data + later.data == b"".join(bytes([end]) * 997 for end in range(20))
        near.link.close()
        ends.drive(lambda: bool(later.losses))
        assert not first.losses

    def test_reading_and_writing_may_go_on_beside_each_other(self, ends: Ends) -> None:
        joined = ends.join()
        total = 3_000_000
        streams = [random.Random(seed).randbytes(total) for seed in range(2)]
        stop = threading.Event()

        def write(end: End, data: bytes) -> None:
            rest = memoryview(data)
            while rest and not stop.is_set():
                taken = end.link.write([rest[:40_000]])
                rest = rest[taken:]
                if not taken:
                    end.link.wait(0.05, read=False, write=True)

        def read(end: End) -> None:
            while len(end.sink.data) < total and not stop.is_set():
                end.link.channel.read(0.2)

        try:
            tasks = [in_thread(lambda end=end, data=data: write(end, data)) for end, data in zip(joined, streams, strict=True)]  # type: ignore[misc]
            tasks += [in_thread(lambda end=end: read(end)) for end in joined]  # type: ignore[misc]
            for task in tasks:
                task.result(LIMIT)
        finally:
            stop.set()
        assert joined[1].sink.data == streams[0]
        assert joined[0].sink.data == streams[1]

    def test_many_links_of_one_listener_do_not_mix(self, ends: Ends) -> None:
        pairs: dict[bytes, tuple[End, End]] = {}
        for index in range(20):
            near, far = ends.join()
            pairs[b"%02d" % index] = near, far
            ends.send(near, [b"%02d" % index])
            ends.drive(lambda far=far: len(far.sink.data) == 2)  # type: ignore[misc]
            assert far.sink.data == b"%02d" % index
        for _ in range(5):
            for name, (near, far) in pairs.items():
                ends.send(near, [name * 100])
                ends.send(far, [name * 50])
        ends.drive(lambda: all(len(far.sink.data) == 1002 and len(near.sink.data) == 500 for near, far in pairs.values()))
        for name, (near, far) in pairs.items():
            assert far.sink.data == name * 501
            assert near.sink.data == name * 250

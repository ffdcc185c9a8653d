"""The part of the contract about ends: goodbyes, losses, peers that are killed, descriptors given back."""
# ruff: noqa: D102

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from contextlib import suppress

import pytest

from tcpconn.address import Address
from tcpconn.testing.contract.case import ContractCase
from tcpconn.testing.contract.ends import LIMIT, End, Ends, descriptors, in_thread
from tcpconn.testing.relay import Relay
from tcpconn.transport import Transport

__all__ = ["EndingContract"]

_PEER = """
import importlib, sys, time
from tcpconn.address import Address
from tcpconn.transport import LinkOptions
transport = getattr(importlib.import_module(sys.argv[1]), sys.argv[2])()
address = Address.parse(sys.argv[4])
if sys.argv[3] == "dial":
    link = transport.connect(address, LinkOptions(), 20)
else:
    listener = transport.listen(address, LinkOptions())
    print(listener.address, flush=True)
    while (link := listener.accept()) is None:
        if listener.channel is not None:
            listener.channel.read(0.02)
class Sink:
    def get_buffer(self): return bytearray(100)
    def get_buffers(self): return [bytearray(100)]
    def buffer_updated(self, count): pass
    def data_received(self, data): pass
    def link_lost(self, reason): pass
link.sink = Sink()
link.write([b"ready"])
while True:
    link.channel.read(1)
"""


class EndingContract(ContractCase):
    """Every link ends once, for both, and leaves nothing behind."""

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_a_goodbye_is_reported_once_after_all_that_was_written(self, ends: Ends, side: int) -> None:
        pair = ends.join()
        leaving, staying = pair[side], pair[1 - side]
        data = bytes(range(256)) * 4096
        taken = leaving.link.write([data])
        leaving.link.close()
        ends.drive(lambda: staying.lost)
        assert staying.sink.data == data[:taken]
        assert staying.sink.losses == [None]
        for _ in range(3):
            assert staying.link.channel.read(0) == 0
        assert staying.sink.losses == [None]
        assert not leaving.lost

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_what_was_written_before_a_goodbye_is_read_though_the_other_end_wrote_on(self, ends: Ends, side: int) -> None:
        pair = ends.join()
        leaving, staying = pair[side], pair[1 - side]
        data = bytes(range(256)) * 4096
        sent = 0
        while sent < 16 * len(data) and (taken := leaving.link.write([data])):
            sent += taken
            data = data[taken % 256 :] + data[: taken % 256]
        leaving.link.close()
        for _ in range(3):
            with suppress(OSError):
                staying.link.write([b"x" * 1000])
        ends.drive(lambda: staying.lost)
        assert len(staying.sink.data) == sent
        assert staying.sink.data == (bytes(range(256)) * (sent // 256 + 1))[:sent]

    def test_both_may_say_goodbye_at_once(self, ends: Ends) -> None:
        near, far = ends.join()
        near.link.close()
        far.link.close()
        ends.turn(0.05)
        assert not near.lost
        assert not far.lost

    def test_a_closed_link_takes_nothing(self, ends: Ends) -> None:
        for end in ends.join():
            end.link.close()
            with pytest.raises(OSError, match="closed"):
                end.link.write([b"x"])

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_a_link_whose_peer_has_gone_takes_nothing_after_a_while(self, ends: Ends, side: int) -> None:
        pair = ends.join()
        leaving, staying = pair[side], pair[1 - side]
        leaving.link.close()
        ends.drive(lambda: staying.lost)
        end = time.monotonic() + LIMIT

        def write() -> None:
            while time.monotonic() < end:
                staying.link.write([b"x"])

        with pytest.raises(OSError, match=r"."):
            write()

    def test_a_close_is_idempotent_and_may_come_from_any_number_of_threads(self, ends: Ends) -> None:
        for _ in range(20):
            for end in ends.join():
                start = threading.Barrier(4)

                def close(end: End = end, start: threading.Barrier = start) -> None:
                    start.wait(LIMIT)
                    end.link.close()

                for closing in [in_thread(close) for _ in range(4)]:
                    closing.result(LIMIT)
                end.link.close()

    def test_a_sink_may_close_its_link(self, ends: Ends) -> None:
        near, far = ends.join()

        class Closing(type(far.sink)):  # type: ignore[misc]
            def data_received(self, data: bytes | memoryview) -> None:
                super().data_received(data)
                far.link.close()

            def buffer_updated(self, count: int) -> None:
                super().buffer_updated(count)
                far.link.close()

        far.sink = far.link.sink = Closing(buffer_size=10)
        ends.send(near, [b"x" * 10])
        ends.send(near, [b"y" * 10])
        ends.drive(lambda: near.lost)
        assert far.sink.data[:10] == b"x" * 10
        assert not far.lost

    def test_threads_that_use_a_link_see_its_close_as_an_end(self, ends: Ends) -> None:
        for _ in range(10):
            near, far = ends.join()
            ends.ends.remove(near)  # read by a thread of its own
            closed, stop = threading.Event(), threading.Event()

            def write(  # far ahead of the reader only once the link is closed, as some backends take whatever they are given
                near: End = near, far: End = far, closed: threading.Event = closed, stop: threading.Event = stop
            ) -> None:
                taken = 0
                while not stop.is_set():
                    ahead = taken > len(far.sink.data) + 100_000
                    try:
                        count = 0 if ahead and not closed.is_set() else near.link.write([b"x" * 1000])
                    except OSError:
                        return
                    taken += count
                    if not count:
                        stop.wait(0.001)

            def read(near: End = near, stop: threading.Event = stop) -> None:
                while not stop.is_set():
                    near.link.channel.read(0.05)

            writing, reading = in_thread(write), in_thread(read)
            try:
                ends.drive(lambda far=far: len(far.sink.data) > 1000)  # type: ignore[misc]
                near.link.close()
                closed.set()
                writing.result(LIMIT)
                stop.set()
                reading.result(LIMIT)
                ends.drive(lambda far=far: far.lost)  # type: ignore[misc]
            finally:
                stop.set()
                near.link.close()
            assert set(far.sink.data) == {ord("x")}
            assert not near.lost
            far.link.close()

    def test_a_link_that_is_reset_is_reported_once_with_the_cause(self, ends: Ends) -> None:
        if not self.uses_stream_sockets:
            pytest.skip("no relay can stand in between")
        with Relay(ends.listener.address) as relay:
            near = ends.dial(Address.parse(relay.address))
            far = ends.accept()
            ends.send(near, [b"x"])
            ends.send(far, [b"y"])
            ends.drive(lambda: bool(far.sink.data and near.sink.data))
            relay.cut(reset=True)
            ends.drive(lambda: near.lost and far.lost)
            for end in (near, far):
                end.link.channel.read(0)
                assert len(end.sink.losses) == 1
            assert isinstance(near.sink.losses[0], OSError)

    @pytest.mark.parametrize("role", ["dial", "listen"])
    def test_a_peer_that_is_killed_is_noticed(self, ends: Ends, role: str) -> None:
        if not self.reaches_other_processes:
            pytest.skip("no other process can be reached")
        where = ends.listener.address
        if role == "listen":
            where = Address(path=f"{where.path}2") if where.path is not None else Address(where.host, 0)
        kind: type[Transport] = type(ends.transport)
        with subprocess.Popen(  # noqa: S603 - it runs this interpreter
            [sys.executable, "-c", _PEER, kind.__module__, kind.__qualname__, role, str(where)],
            stdout=subprocess.PIPE,
            text=True,
        ) as peer:
            try:
                if role == "dial":
                    end = ends.accept()
                else:
                    assert peer.stdout is not None
                    end = ends.dial(Address.parse(peer.stdout.readline().strip()))
                ends.drive(lambda: end.sink.data == b"ready")
            finally:
                peer.kill()
            ends.drive(lambda: end.lost)
            assert len(end.sink.losses) == 1
        if where.path is not None and role == "listen":
            os.unlink(where.path)

    def test_a_forked_child_that_closes_everything_leaves_the_parent_s_links_alone(self, ends: Ends) -> None:
        if not hasattr(os, "fork"):
            pytest.skip("the system has no fork")
        near, far = ends.join()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                ends.finish()
            finally:
                os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0
        ends.send(near, [b"still"])
        ends.send(far, [b"here"])
        ends.drive(lambda: far.sink.data == b"still" and near.sink.data == b"here")
        ends.join()

    def test_descriptors_are_given_back(self, ends: Ends) -> None:
        def round_trip() -> None:
            near, far = ends.join()
            ends.send(near, [b"x"])
            ends.drive(lambda: far.sink.data == b"x")
            near.link.channel.wake()
            near.link.channel.read(0.001)
            near.link.close()
            ends.drive(lambda: far.lost)
            far.link.close()
            ends.ends.clear()

        round_trip()
        before = descriptors()
        if before is None:
            pytest.skip("the system does not tell how many descriptors are open")
        for _ in range(20):
            round_trip()
        ends.drive(lambda: (descriptors() or 0) <= before + 1)

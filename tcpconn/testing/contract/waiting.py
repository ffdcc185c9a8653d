"""The part of the contract about threads that wait: `read`, `wait`, `wake`, and a close beside them."""
# ruff: noqa: D102

from __future__ import annotations

import select
import threading

import pytest

from tcpconn.testing.contract.case import ContractCase
from tcpconn.testing.contract.ends import LIMIT, End, Ends, in_thread

__all__ = ["WaitingContract"]


class WaitingContract(ContractCase):
    """Nobody waits for longer than they must."""

    def test_a_read_of_nothing_returns_zero(self, ends: Ends) -> None:
        near, far = ends.join()
        for end in (near, far):
            assert end.link.channel.read(0) == 0
            assert end.link.channel.read(0.01) == 0
            assert not end.lost

    def test_a_waiting_read_delivers_what_comes(self, ends: Ends) -> None:
        for near, far in (ends.join(), ends.join()[::-1]):
            stop = threading.Event()

            def read(far: End = far, stop: threading.Event = stop) -> int:
                count = 0
                while count < 5 and not stop.is_set():
                    count += far.link.channel.read(LIMIT)
                return count

            reading = in_thread(read)
            try:
                assert near.link.write([b"hello"]) == 5
                assert reading.result(LIMIT) == 5
            finally:
                stop.set()
            assert far.sink.data == b"hello"

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_a_wake_up_before_a_read_ends_it(self, ends: Ends, side: int) -> None:
        channel = ends.join()[side].link.channel
        for _ in range(5):
            channel.wake()
            channel.wake()
            assert in_thread(lambda: channel.read(None)).result(LIMIT) == 0

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_a_wake_up_during_a_read_ends_it_every_time(self, ends: Ends, side: int) -> None:
        channel = ends.join()[side].link.channel
        rounds = 200
        begun = threading.Semaphore(0)

        def read() -> None:
            for _ in range(rounds):
                begun.release()
                channel.read(None)

        reading = in_thread(read)
        for _ in range(rounds):
            assert begun.acquire(timeout=LIMIT)
            channel.wake()
        reading.result(LIMIT)

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_wake_ups_lose_no_data(self, ends: Ends, side: int) -> None:
        pair = ends.join()
        near, far = pair[1 - side], pair[side]
        rounds = 300
        channel = far.link.channel

        stop = threading.Event()

        def read() -> None:
            while len(far.sink.data) < 4 * rounds and not stop.is_set():
                channel.read(None)

        reading = in_thread(read)
        try:
            for index in range(rounds):
                channel.wake()
                while not near.link.write([index.to_bytes(4, "big")]):
                    assert near.link.wait(LIMIT, read=False, write=True)[1]
            reading.result(LIMIT)
        finally:
            stop.set()
        assert far.sink.data == b"".join(index.to_bytes(4, "big") for index in range(rounds))

    def test_waiting_tells_what_is_possible_and_receives_nothing(self, ends: Ends) -> None:
        for near, far in (ends.join(), ends.join()[::-1]):
            assert far.link.wait(0.01, read=True, write=False) == (False, False)
            assert far.link.wait(0, read=True, write=True) == (False, True)
            assert far.link.wait(LIMIT, read=False, write=True) == (False, True)
            assert near.link.write([b"hello"]) == 5
            assert far.link.wait(LIMIT, read=True, write=False) == (True, False)
            assert far.link.wait(LIMIT, read=True, write=True) == (True, True)
            assert not far.sink.data
            ends.drive(lambda far=far: far.sink.data == b"hello")  # type: ignore[misc]

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_a_wake_up_ends_a_wait_to_read(self, ends: Ends, side: int) -> None:
        link = ends.join()[side].link
        begun = threading.Semaphore(0)
        rounds = 50

        def wait() -> list[tuple[bool, bool]]:
            found = []
            for _ in range(rounds):
                begun.release()
                found.append(link.wait(None, read=True, write=False))
            return found

        waiting = in_thread(wait)
        for _ in range(rounds):
            assert begun.acquire(timeout=LIMIT)
            link.channel.wake()
        assert set(waiting.result(LIMIT)) == {(False, False)}

    def test_a_wake_up_ends_a_wait_to_write(self, ends: Ends) -> None:
        near, _ = ends.join()
        piece = bytes(1_000_000)
        for _ in range(60):
            if not near.link.write([piece]):
                break
        else:
            return  # it takes everything, so nobody waits
        waiting = in_thread(lambda: near.link.wait(None, read=False, write=True))
        assert not waiting.done()
        near.link.channel.wake()
        assert waiting.result(LIMIT) in ((False, False), (False, True))

    def test_a_close_ends_a_wait_to_write(self, ends: Ends) -> None:
        near, _ = ends.join()
        piece = bytes(1_000_000)
        for _ in range(60):
            if not near.link.write([piece]):
                break
        waiting = in_thread(lambda: near.link.wait(None, read=False, write=True))
        near.link.close()
        waiting.result(LIMIT)

    def test_a_close_ends_a_read_on_the_link_s_own_channel(self, ends: Ends) -> None:
        for _ in range(20):
            near, far = ends.join()
            begun = threading.Event()

            def read(near=near, begun=begun) -> None:  # type: ignore[no-untyped-def]
                begun.set()
                near.link.channel.read(None)

            reading = in_thread(read)
            assert begun.wait(LIMIT)
            near.link.close()
            reading.result(LIMIT)
            assert not near.lost
            ends.drive(lambda far=far: far.lost)  # type: ignore[misc]
            far.link.close()

    def test_the_descriptor_is_readable_while_there_is_something_to_read(self, ends: Ends) -> None:
        near, far = ends.join()
        ends.send(near, [b"x" * 10])
        descriptor = far.link.channel.fileno()
        assert select.select([descriptor], [], [], LIMIT)[0]
        assert select.select([descriptor], [], [], 0)[0]
        ends.drive(lambda: len(far.sink.data) == 10)

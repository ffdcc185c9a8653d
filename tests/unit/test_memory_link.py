"""What an interrupt in the middle of closing or reading leaves to the backend `memory`: nothing that stays open."""

from __future__ import annotations

import gc
from functools import partial

import pytest

from interrupting import interrupted_at
from tcpconn.testing.contract import RecordingSink
from tcpconn_memory.link import MemoryLink, pair


class ClosingSink(RecordingSink):
    """Closes the link upon what it receives, as a carrier does that cannot make sense of it."""

    def __init__(self, link: MemoryLink) -> None:
        super().__init__()
        self._link = link

    def data_received(self, data: bytes | memoryview) -> None:
        """Close it."""
        super().data_received(data)
        self._link.close()


@pytest.mark.parametrize("reads", [False, True], ids=["closing", "closing while reading"])
def test_an_interrupt_in_the_middle_of_closing_leaves_no_socket_to_the_garbage_collector(reads: bool) -> None:
    place = 0
    interrupted = True
    while interrupted:
        near, far = pair("far", "near")
        near.sink = ClosingSink(near)
        far.write([b"x"])
        signal = near._signal
        sockets = (signal._ear, signal._mouth)
        del signal
        interrupted = interrupted_at(place, partial(near.read, 0) if reads else near.close)
        far.close()
        del near, far
        gc.collect()
        assert [one.fileno() for one in sockets] == [-1, -1], f"interrupted at place {place}"
        place += 1
    assert place > 8

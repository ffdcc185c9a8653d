"""What the tcp backend does beyond the contract: options, Unix sockets' files, sinks that raise."""

from __future__ import annotations

import errno
import gc
import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from eventually import eventually
from interrupting import Interrupted, interrupted_at
from tcpconn.address import Address
from tcpconn.testing.contract import Ends, RecordingSink
from tcpconn.testing.contract.ends import LIMIT
from tcpconn.transport import LinkOptions, load_transport
from tcpconn_tcp import lingering
from tcpconn_tcp.link import TcpLink


@pytest.fixture
def folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as path:
        yield path


def _option(descriptor: int, level: int, option: int) -> int:
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        return copy.getsockopt(level, option)


def test_the_sizes_of_buffers_and_the_absence_of_delay_reach_both_sockets() -> None:
    options = LinkOptions(send_buffer=50_000, receive_buffer=60_000)
    ends = Ends(load_transport("tcp"), Address("127.0.0.1", 0), options)
    for end in ends.join():
        descriptor = end.link.channel.fileno()
        for option, asked in ((socket.SO_SNDBUF, 50_000), (socket.SO_RCVBUF, 60_000)):
            assert _option(descriptor, socket.SOL_SOCKET, option) in (asked, 2 * asked)  # Linux doubles it
        assert _option(descriptor, socket.IPPROTO_TCP, socket.TCP_NODELAY)
    ends.settle()


def test_the_file_of_a_dead_listener_is_no_obstacle(folder: str) -> None:
    path = f"{folder}/socket"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    for _ in range(2):
        ends = Ends(load_transport("tcp"), Address(path=path), LinkOptions())
        ends.join()
        ends.settle()
    assert not os.path.exists(path)


def test_a_file_that_is_no_socket_is_left_alone(folder: str) -> None:
    path = f"{folder}/precious"
    with open(path, "w") as file:
        file.write("data")
    for backend in ("tcp", "zmq"):
        with pytest.raises(OSError, match=r".") as caught:
            load_transport(backend).listen(Address(path=path), LinkOptions())
        assert caught.value.errno == errno.EADDRINUSE
    assert os.path.getsize(path) == 4


def test_a_listener_leaves_the_file_of_its_successor_alone(folder: str) -> None:
    path = f"{folder}/socket"
    transport = load_transport("tcp")
    first = transport.listen(Address(path=path), LinkOptions())
    os.rename(path, f"{path}.old")
    second = transport.listen(Address(path=path), LinkOptions())
    first.close()
    assert os.path.exists(path)
    second.close()
    assert not os.path.exists(path)


def test_an_error_of_the_sink_s_own_is_not_taken_for_the_loss_of_the_link() -> None:
    ends = Ends(load_transport("tcp"), Address("127.0.0.1", 0), LinkOptions())
    near, far = ends.join()

    class Failing(RecordingSink):
        def buffer_updated(self, count: int) -> None:
            raise ConnectionError("the sink's own")

    far.sink = Failing()
    far.link.sink = far.sink
    near.link.write([b"x"])
    with pytest.raises(ConnectionError, match="own"):
        far.link.channel.read(LIMIT)
    assert not far.lost
    far.sink = RecordingSink()
    far.link.sink = far.sink
    near.link.write([b"y"])
    ends.drive(lambda: far.sink.data == b"y")
    ends.settle()


@pytest.mark.parametrize("wrong", ["datagram", "unconnected"])
def test_only_a_connected_stream_socket_is_adopted(wrong: str) -> None:
    kind = socket.SOCK_DGRAM if wrong == "datagram" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as refused, pytest.raises(NotImplementedError, match="not"):
        load_transport("tcp").adopt(refused, LinkOptions())


def test_a_socket_is_never_connected_to_itself() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        address = Address("127.0.0.1", holder.getsockname()[1])
        with pytest.raises(ConnectionRefusedError):
            load_transport("tcp").connect(address, LinkOptions(), LIMIT)


class ClosingSink(RecordingSink):
    """Closes the link upon what it receives, as a carrier does that cannot make sense of it."""

    def __init__(self, link: TcpLink) -> None:
        super().__init__()
        self._link = link

    def buffer_updated(self, count: int) -> None:
        """Close it."""
        super().buffer_updated(count)
        self._link.close()


@pytest.mark.parametrize("reads", [False, True], ids=["closing", "closing while reading"])
def test_an_interrupt_in_the_middle_of_closing_leaves_no_socket_to_the_garbage_collector(reads: bool) -> None:
    place = 0
    interrupted = True
    while interrupted:
        near, far = socket.socketpair()
        gone: list[bool] = []
        link = TcpLink(near, "the peer", partial(gone.append, True))
        link.sink = ClosingSink(link)
        far.send(b"x")
        far.close()
        interrupted = interrupted_at(place, partial(link.read, 0) if reads else link.close)
        if not link._closed:
            link.close()
        del link
        gc.collect()
        assert (near.fileno(), gone) == (-1, [True]), f"interrupted at place {place}"
        place += 1
    assert place > 10


def test_what_an_interrupt_has_left_is_closed_without_waiting_for_a_lock_that_the_collecting_thread_may_hold() -> None:
    near, far = socket.socketpair()
    gone: list[bool] = []
    link = TcpLink(near, "the peer", partial(gone.append, True))
    link._closed = True
    with far, lingering._lingering._lock:
        del link
        gc.collect()
    assert (near.fileno(), gone) == (-1, [True])


def test_the_end_of_a_link_that_a_forked_child_has_closed_is_not_told_there_nor_is_any_lock_waited_for() -> None:
    near, far = socket.socketpair()
    gone: list[bool] = []
    link = TcpLink(near, "the peer", partial(gone.append, True))
    link._pid += 1
    with far, link._releasing:
        link.close()
        del link
        gc.collect()
    assert (near.fileno(), gone) == (-1, [])


def test_a_link_that_cannot_be_made_leaves_nothing_to_complain_of() -> None:
    near, far = socket.socketpair()
    near.close()
    with far, pytest.raises(OSError, match="descriptor"):
        TcpLink(near, "the peer")
    gc.collect()


def test_a_socket_that_was_closed_on_its_way_to_who_waits_for_the_peers_does_not_end_the_wait_for_others() -> None:
    closed, staying = threading.Event(), threading.Event()
    near, far = socket.socketpair()
    spoilt, other = socket.socketpair()
    with far, other:
        near.setblocking(False)
        spoilt.close()
        for connected, on_close in ((near, staying.set), (spoilt, closed.set)):
            lingering._lingering.add((connected, on_close, time.monotonic() + 2 * LIMIT))
        assert closed.wait(LIMIT)
        assert not staying.is_set()
        far.close()
        assert staying.wait(LIMIT)
    assert near.fileno() == -1


def test_an_interrupt_while_the_thread_that_waits_for_the_peers_is_started_does_not_end_the_wait_for_others() -> None:
    place = 0
    interrupted = True
    seen = False
    while interrupted:
        waiting = lingering._Lingering()
        first, far = socket.socketpair()
        second, other = socket.socketpair()
        closed = [threading.Event(), threading.Event()]
        runs = False
        earlier, another = socket.socketpair()
        # As an interrupt leaves it that comes before there is a thread.
        waiting._arrived.append((earlier, closed[0].set, time.monotonic() + 2 * LIMIT))
        with first, far, second, other, earlier, another:

            def step(waiting: lingering._Lingering = waiting, first: socket.socket = first) -> None:
                nonlocal runs
                try:
                    waiting.add((first, threading.Event().set, time.monotonic() + LIMIT))
                except RuntimeError as error:
                    # What becomes of an interrupt in the middle of Python's own waiting for the thread, which runs by then.
                    runs = True
                    raise Interrupted from error

            threads = threading.active_count()
            interrupted = interrupted_at(place, step)
            assert not runs or eventually(lambda: waiting._waker is not None or threading.active_count() <= threads)  # noqa: B023
            seen = seen or runs
            waiting.add((second, closed[1].set, time.monotonic() + 2 * LIMIT))
            another.close()
            other.close()
            assert all(event.wait(LIMIT) for event in closed), f"interrupted at place {place}"
        place += 1
    if not seen:
        pytest.skip("the thread was there before it was waited for")

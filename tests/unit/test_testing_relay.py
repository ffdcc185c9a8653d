"""The relay of `tcpconn.testing`: what it does to real connections."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from tcpconn.testing import Relay
from tcpconn.testing.relayed import Flow


class Ends:
    """A listening socket, a relay to it, and pairs of sockets joined through the relay."""

    def __init__(self, stack: ExitStack, relay: Relay, server: socket.socket) -> None:
        self._stack = stack
        self.relay = relay
        self.server = server

    def dial(self) -> socket.socket:
        host, _, port = self.relay.address.rpartition(":")
        return self._stack.enter_context(socket.create_connection((host, int(port)), timeout=20))

    def pair(self) -> tuple[socket.socket, socket.socket]:
        client = self.dial()
        accepted = self._stack.enter_context(self.server.accept()[0])
        accepted.settimeout(20)
        return client, accepted


@contextmanager
def unix_server() -> Iterator[tuple[socket.socket, str]]:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = os.path.join(folder, "target")
        server.bind(path)
        server.listen()
        yield server, f"unix:{path}"


@contextmanager
def tcp_server() -> Iterator[tuple[socket.socket, str]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture(params=[tcp_server, unix_server], ids=["tcp", "unix"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    with ExitStack() as stack:
        server, target = stack.enter_context(request.param())
        server.settimeout(20)
        yield Ends(stack, stack.enter_context(Relay(target)), server)


def receive(end: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = end.recv(count - len(data))
        assert piece, f"the end after {len(data)} of {count} bytes"
        data += piece
    return bytes(data)


def test_bytes_pass_both_ways_and_are_counted(ends: Ends) -> None:
    client, server = ends.pair()
    client.sendall(b"question")
    assert receive(server, 8) == b"question"
    server.sendall(b"answer!")
    assert receive(client, 7) == b"answer!"
    assert ends.relay.wait_for(lambda relay: (relay.bytes_to_target, relay.bytes_to_client) == (8, 7))
    assert ends.relay.links == ends.relay.links_made == 1


def test_an_end_that_finishes_still_receives(ends: Ends) -> None:
    client, server = ends.pair()
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert receive(server, 4) == b"last"
    assert server.recv(1) == b""
    server.sendall(b"reply")
    server.close()
    assert receive(client, 5) == b"reply"
    assert client.recv(1) == b""
    assert ends.relay.wait_for(lambda relay: relay.links == 0)


def test_a_cut_ends_both_ends_of_every_link_by_fin(ends: Ends) -> None:
    pairs = [ends.pair() for _ in range(3)]
    assert ends.relay.wait_for(lambda relay: relay.links == 3)
    assert ends.relay.cut() == 3
    for end in (end for pair in pairs for end in pair):
        assert end.recv(1) == b""
    assert ends.relay.links == 0
    assert ends.relay.cut() == 0


def test_a_cut_by_fin_stays_one_though_an_end_goes_on_writing(ends: Ends) -> None:
    client, server = ends.pair()
    ends.relay.cut()
    for _ in range(20):
        client.sendall(b"x" * 10_000)
    assert client.recv(1) == b""
    assert server.recv(1) == b""


def test_a_reset_is_felt_as_a_reset(ends: Ends) -> None:
    client, server = ends.pair()
    client.sendall(b"x")
    receive(server, 1)
    assert ends.relay.cut(reset=True) == 1
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    if server.family != socket.AF_UNIX:  # a Unix socket knows no reset
        with pytest.raises(ConnectionResetError):
            server.recv(1)


def test_a_target_that_resets_is_felt_as_a_reset(ends: Ends) -> None:
    client, server = ends.pair()
    client.sendall(b"x")
    assert ends.relay.wait_for(lambda relay: relay.bytes_to_target == 1)
    server.close()  # with a byte unread
    with pytest.raises(ConnectionResetError):
        client.recv(1)


@pytest.mark.parametrize("to_client", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_a_link_is_cut_after_an_exact_number_of_bytes(ends: Ends, to_client: bool, reset: bool) -> None:
    client, server = ends.pair()
    sender, receiver = (server, client) if to_client else (client, server)
    ends.relay.cut_after(1000, to_client=to_client, reset=reset)
    sender.sendall(bytes(600))
    receive(receiver, 600)
    assert ends.relay.links == 1
    sender.sendall(bytes(600))
    assert ends.relay.wait_for(lambda relay: relay.links == 0)
    counts = ends.relay.bytes_to_target, ends.relay.bytes_to_client
    assert counts == ((0, 1000) if to_client else (1000, 0))
    if not reset:  # which may destroy what has not been read
        receive(receiver, 400)
        assert receiver.recv(1) == b""


@pytest.mark.parametrize("to_client", [False, True])
def test_one_byte_is_inverted_and_no_other(ends: Ends, to_client: bool) -> None:
    client, server = ends.pair()
    sender, receiver = (server, client) if to_client else (client, server)
    ends.relay.corrupt(5, to_client=to_client)
    sender.sendall(bytes(3))
    assert receive(receiver, 3) == bytes(3)
    sender.sendall(bytes(10))
    assert receive(receiver, 10) == bytes(2) + b"\xff" + bytes(7)


def test_a_trickle_passes_in_pieces_and_no_faster_than_it_may(ends: Ends) -> None:
    client, server = ends.pair()
    ends.relay.trickle(2, 0.05)
    begun = time.monotonic()
    client.sendall(b"abcdefgh")
    pieces: list[bytes] = []
    while sum(map(len, pieces)) < 8:
        pieces.append(server.recv(100))
    assert b"".join(pieces) == b"abcdefgh"
    assert time.monotonic() - begun >= 0.15
    late, _ = ends.pair()
    ends.relay.resume()
    client.sendall(bytes(100_000))
    receive(server, 100_000)
    late.close()


def test_one_byte_at_a_time_is_slow_and_loses_nothing(ends: Ends) -> None:
    client, server = ends.pair()
    ends.relay.trickle()
    sent = bytes(range(256)) * 4
    client.sendall(sent)
    assert receive(server, len(sent)) == sent
    server.sendall(sent)
    assert receive(client, len(sent)) == sent


def test_a_stalled_relay_holds_everything_and_resumes_with_it(ends: Ends) -> None:
    client, server = ends.pair()
    ends.relay.stall()
    client.sendall(b"held")
    server.setblocking(False)
    with pytest.raises(BlockingIOError):
        server.recv(4)
    ends.relay.resume()
    server.settimeout(20)
    assert receive(server, 4) == b"held"


def test_a_stalled_link_may_be_cut(ends: Ends) -> None:
    client, server = ends.pair()
    ends.relay.stall()
    client.sendall(b"lost")
    assert ends.relay.cut() == 1
    assert client.recv(1) == b""
    assert server.recv(1) == b""


def test_a_link_that_was_stalled_as_soon_as_it_was_made_is_cut_in_good_order(ends: Ends) -> None:
    for _ in range(30):
        # Now and then the relay has not noticed yet that the target has accepted.
        client, server = ends.pair()
        ends.relay.stall()
        assert ends.relay.cut() == 1
        assert (client.recv(1), server.recv(1)) == (b"", b"")
        ends.relay.resume()


def test_links_are_refused_and_accepted_again_at_the_same_address(ends: Ends) -> None:
    client, server = ends.pair()
    address = ends.relay.address
    ends.relay.refuse()
    ends.relay.refuse()
    with pytest.raises(ConnectionRefusedError):
        ends.dial()
    client.sendall(b"on")
    assert receive(server, 2) == b"on"
    ends.relay.accept()
    ends.relay.accept()
    assert ends.relay.address == address
    ends.pair()


def test_a_target_that_is_gone_is_felt_as_a_reset(ends: Ends) -> None:
    ends.server.close()
    # Some systems tell of it as early as in `connect`.
    with pytest.raises(ConnectionResetError):
        ends.dial().recv(1)
    assert ends.relay.wait_for(lambda relay: relay.links == 0)


def test_a_direction_holds_no_more_than_its_buffer_and_loses_nothing() -> None:
    (sender, source), (destination, receiver) = socket.socketpair(), socket.socketpair()
    with sender, source, destination, receiver:
        source.setblocking(False)
        flow = Flow(source, destination, 1000)
        sent = bytes(range(250)) * 20
        sender.sendall(sent)
        received = b""
        while len(received) < len(sent):
            while flow.has_room:
                flow.fill()
            assert len(flow.held) == 1000
            flow.drain()
            received += receive(receiver, 1000)
        assert received == sent
        assert flow.count == len(sent)


def test_it_listens_at_a_unix_path_too() -> None:
    with tempfile.TemporaryDirectory() as folder, tcp_server() as (server, target):
        path = os.path.join(folder, "relay")
        with Relay(target, listen=f"unix:{path}") as relay, socket.socket(socket.AF_UNIX) as client:
            assert relay.address == f"unix:{path}"
            relay.refuse()
            relay.accept()
            client.connect(path)
            client.sendall(b"hello")
            accepted = server.accept()[0]
            with accepted:
                assert receive(accepted, 5) == b"hello"
        assert not os.path.exists(path)


def test_a_closed_relay_refuses_links_and_commands(ends: Ends) -> None:
    client, server = ends.pair()
    ends.relay.close()
    ends.relay.close()
    assert client.recv(1) == b""
    assert server.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        ends.dial()
    with pytest.raises(RuntimeError, match="closed"):
        ends.relay.cut()


def open_descriptors() -> set[str]:
    """Return what is open by names that are not used twice; nothing where the system does not tell."""
    found = set()
    with suppress(FileNotFoundError):
        for descriptor in os.listdir("/proc/self/fd"):
            with suppress(FileNotFoundError):
                found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {name for name in found if not name.startswith("/proc/")}


def test_nothing_is_left_open() -> None:
    before = open_descriptors()
    with tcp_server() as (server, target), Relay(target) as relay, ExitStack() as stack:
        ends = Ends(stack, relay, server)
        for reset in (True, False) * 5:
            ends.pair()
            relay.cut(reset=reset)
    assert open_descriptors() <= before

"""The zmq backend's listener: addresses, and peers that do not behave."""

from __future__ import annotations

import errno
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
import zmq

from tcpconn.address import Address
from tcpconn.testing.contract import Ends
from tcpconn.testing.contract.ends import LIMIT
from tcpconn.transport import LinkOptions, load_transport
from tcpconn_zmq.accepted import RouterLink
from tcpconn_zmq.peers import Peer


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends(load_transport("zmq"), Address("127.0.0.1", 0), LinkOptions(handshake_timeout=0.3))
    yield ends
    ends.settle()


@pytest.mark.parametrize("kind", ["port", "path"])
def test_an_address_may_be_listened_at_again_at_once(kind: str) -> None:
    transport = load_transport("zmq")
    with tempfile.TemporaryDirectory() as folder:
        address = Address("127.0.0.1", 0) if kind == "port" else Address(path=f"{folder}/socket")
        for _ in range(20):
            ends = Ends(transport, address, LinkOptions())
            ends.join()
            ends.settle()
            address = ends.listener.address


def test_an_address_that_another_socket_has_is_refused_at_once(ends: Ends) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(OSError, match="cannot listen") as caught:
        load_transport("zmq").listen(Address("127.0.0.1", other.getsockname()[1]), LinkOptions())
    assert caught.value.errno == errno.EADDRINUSE


def _is_ended(connection: socket.socket) -> bool:
    try:
        return connection.recv(1000) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", b"\xff" + bytes(200)], ids=["silence", "http", "zeros"]
)
def test_a_peer_that_does_not_speak_zeromq_is_dropped_and_others_are_served(ends: Ends, said: bytes) -> None:
    where = ends.listener.address
    with socket.create_connection((where.host, where.port), timeout=LIMIT) as stranger:
        stranger.sendall(said)
        stranger.setblocking(False)
        ends.drive(lambda: _is_ended(stranger), listening=True)
        assert ends.listener.accept() is None
    near, far = ends.join()
    ends.send(near, [b"x"])
    ends.drive(lambda: far.sink.data == b"x")


def test_a_peer_that_shakes_hands_and_says_nothing_is_dropped(ends: Ends) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, closing(context.socket(zmq.DEALER)) as dealer:
        monitor = dealer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.RECONNECT_IVL, -1)
        dealer.connect(f"tcp://{ends.listener.address}")
        ends.drive(lambda: bool(monitor.poll(0)), listening=True)
        assert ends.listener.accept() is None
        dealer.disable_monitor()
        monitor.close()


def test_a_peer_that_is_no_dealer_is_refused(ends: Ends) -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with context, closing(context.socket(zmq.PUB)) as publisher:
        publisher.setsockopt(zmq.LINGER, 0)
        publisher.connect(f"tcp://{ends.listener.address}")
        near, far = ends.join()
        ends.send(near, [b"x"])
        ends.drive(lambda: far.sink.data == b"x")
        assert ends.listener.accept() is None


def test_dialling_something_that_does_not_speak_zeromq_fails_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(LIMIT)
        where = Address("127.0.0.1", other.getsockname()[1])
        with pytest.raises(OSError, match=r"127\.0\.0\.1"):
            load_transport("zmq").connect(where, LinkOptions(handshake_timeout=0.2), LIMIT)
        with pytest.raises(TimeoutError, match="in time"):
            load_transport("zmq").connect(where, LinkOptions(handshake_timeout=None), 0.1)


def test_a_peer_that_is_told_to_go_when_its_time_for_a_hello_is_over_still_hears_why(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    near, far = ends.join()
    link = far.link
    assert isinstance(link, RouterLink)
    router, peer = link.channel, link.standing_on
    assert peer is not None
    cut: list[object] = []
    monkeypatch.setattr(Peer, "shut_down", cut.append)
    link.write([b"why"])
    link.close()
    with router._lock:
        router._alarm.add(0.0, time.monotonic(), peer)
        router._drop_overdue()
    assert not cut
    ends.drive(lambda: near.lost)
    assert near.sink.data == b"why"

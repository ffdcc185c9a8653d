"""Listeners: addresses, ids, what they refuse, and peers that do not speak the protocol."""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Echo, Listen
from eventually import eventually
from flavours import Api
from stranger import Stranger, hello
from tcpconn.frames import Frame, FrameType


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.fixture(params=["127.0.0.1:0", "localhost:0", "[::1]:0", "unix"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "[::1]:0" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    return f"unix:{tmp_path / 'socket'}" if request.param == "unix" else request.param


def test_every_kind_of_address_can_be_listened_at_and_connected_to(where: str, listen: Listen, connect: Connect) -> None:
    listener = listen(where)
    assert not listener.address.endswith(":0")
    client = connect(listener.address, "somebody")
    client.send(b"hello")
    server = listener.accept(DEADLINE)
    assert (server.id, server.receive(DEADLINE)) == ("somebody", b"hello")
    assert client.peer == listener.address
    assert server.peer


@pytest.mark.parametrize(
    ("id", "seen"),
    [
        ("name", "name"),
        ("ü" * 127, "ü" * 127),
        (b"\x00\xff", b"\x00\xff"),
        (uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007"),
    ],
)
def test_an_id_arrives_as_it_was_given(listen: Listen, connect: Connect, id: object, seen: object) -> None:
    listener = listen()
    assert connect(listener.address, id).id == seen
    assert listener.accept(DEADLINE).id == seen


def test_without_an_id_a_random_one_is_made(listen: Listen, connect: Connect) -> None:
    listener = listen()
    made = {connect(listener.address).id for _ in range(3)}
    assert len({uuid.UUID(str(one)) for one in made}) == 3


@pytest.mark.parametrize(
    ("id", "reason"),
    [("", "0 bytes"), ("ü" * 128, "256 bytes"), ("\ud800", "cannot be encoded"), (7, "use str, bytes or uuid.UUID")],
)
def test_an_id_that_cannot_be_one_is_refused(listen: Listen, connect: Connect, id: object, reason: str) -> None:
    with pytest.raises(tcpconn.ConfigError, match=reason):
        connect(listen().address, id)


def test_metadata_travel_with_the_connection(api: Api, listen: Listen, backend: str, pool: tcpconn.Pool) -> None:
    listener = listen()
    metadata = {"version": 3, "labels": ["a", "b"], "raw": b"\x00"}
    with api.connect(listener.address, backend=backend, pool=pool, metadata=metadata) as client:
        assert client.metadata == metadata
        assert listener.accept(DEADLINE).metadata == metadata


def test_an_address_in_use_is_refused_with_a_reason(listen: Listen) -> None:
    listener = listen()
    with pytest.raises(tcpconn.ConnectError, match=f"cannot listen at {listener.address}.*in use"):
        listen(listener.address)


def test_connections_beyond_the_backlog_are_refused_and_the_rest_are_served(listen: Listen, connect: Connect) -> None:
    listener = listen(backlog=2)
    clients = [connect(listener.address, f"{number}") for number in range(3)]
    with pytest.raises(tcpconn.ConnectError, match=r"2 connections wait to be accepted \(backlog\)"):
        clients[2].receive(DEADLINE)
    for client in clients[:2]:
        client.send(b"hello")
    for _ in range(2):
        assert listener.accept(DEADLINE).receive(DEADLINE) == b"hello"


def test_connections_beyond_max_streams_are_refused(listen: Listen, connect: Connect) -> None:
    listener = listen(max_streams=2)
    first = connect(listener.address, "1")
    connect(listener.address, "2")
    with pytest.raises(tcpconn.ConnectError, match="allows 2 connections on one link"):
        connect(listener.address, "3")
    first.close()
    listener.accept(DEADLINE).close()
    connect(listener.address, "3")


def test_accept_times_out(listen: Listen) -> None:
    with pytest.raises(tcpconn.TimedOut, match=r"nobody opened a connection .* within 0\.01 s"):
        listen().accept(0.01)


INTRUSIONS: dict[str, tuple[bytes, str]] = {
    "an HTTP request": (b"GET / HTTP/1.1\r\nHost: here\r\n\r\n", "speaks HTTP, not tcpconn"),
    "a TLS greeting": (b"\x16\x03\x01\x02\x00\x01\x00", "speaks TLS"),
    "garbage": (b"\xde\xad\xbe\xef" * 10, "does not speak tcpconn"),
    "wrong magic": (Frame(FrameType.HELLO, 0, 0, b"XXXX\x01").encode(), "not with b'TCPN'"),
    "another version": (Frame(FrameType.HELLO, 0, 0, b"TCPN\x63").encode(), "protocol version 99"),
    "an oversized length": (struct.pack("!BBHII", FrameType.HELLO, 0, 0, 0, 1 << 31), "65536 are allowed"),
    "no words at all": (b"", r"sent no HELLO within handshake_timeout=1\.0 s"),
    "half a greeting": (hello().encode().encode()[:20], r"sent no HELLO within handshake_timeout=1\.0 s"),
    "data in place of a greeting": (Frame(FrameType.DATA, 3, 1, b"x").encode(), "DATA, not HELLO"),
}


@pytest.mark.parametrize("intrusion", INTRUSIONS)
def test_a_peer_that_does_not_speak_the_protocol_is_shown_out_and_the_others_are_served(
    backend: str, echo: Echo, connect: Connect, caplog: pytest.LogCaptureFixture, intrusion: str
) -> None:
    words, reason = INTRUSIONS[intrusion]
    # Long enough for zmq to have heard of the peer by then: whom it has not, it drops by itself, without a word.
    listener = echo(handshake_timeout=1.0)
    good = connect(listener.address)
    with Stranger(backend, listener.address) as stranger:
        stranger.say(words)
        answer = stranger.hear_out()
    assert [frame.type for frame in answer] == [FrameType.GOAWAY]
    (refusal,) = [record.message for record in caplog.records if "refused" in record.message]
    assert re.search(f"refused: .*{reason}", refusal), refusal
    good.send(b"still here")
    assert good.receive(DEADLINE) == b"still here"


def test_a_stranger_who_does_not_even_speak_zeromq_is_shown_out(backend: str, echo: Echo, connect: Connect) -> None:
    if backend != "zmq":
        pytest.skip("on the other backends every byte reaches the engine, as tested above")
    listener = echo(handshake_timeout=0.3)
    good = connect(listener.address)
    host, _, port = listener.address.rpartition(":")
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"", bytes(64), b"\xff" + bytes(8) + b"\x7f"):
        with socket.create_connection((host, int(port)), timeout=DEADLINE) as stranger, suppress(ConnectionResetError):
            stranger.sendall(words)
            while stranger.recv(4096):
                pass
    good.send(b"still here")
    assert good.receive(DEADLINE) == b"still here"


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([Frame(99)], id="an unknown type"),
        pytest.param([Frame(FrameType.DATA, 3, 7, b"x")], id="data on an unknown stream"),
        pytest.param([Frame(FrameType.OPEN, 0, 2, b"\x92\xa1a\x80")], id="an even number from a client"),
        pytest.param([Frame(FrameType.OPEN, 0, 1, b"\xc1")], id="an OPEN that is no msgpack"),
        pytest.param([Frame(FrameType.ACK, 0, 0, bytes([255] * 8))], id="an acknowledgement of what was not sent"),
        pytest.param([hello().encode()], id="a second HELLO"),
        pytest.param([Frame(FrameType.CREDIT, 0, 0, bytes([255] * 4))], id="more credit than announced"),
    ],
)
def test_a_peer_that_breaks_the_rules_after_the_greeting_loses_its_link_and_nobody_else_does(
    backend: str, echo: Echo, connect: Connect, caplog: pytest.LogCaptureFixture, frames: list[Frame]
) -> None:
    listener = echo()
    good = connect(listener.address)
    with Stranger(backend, listener.address) as stranger:
        stranger.say(hello().encode().encode() + b"".join(frame.encode() for frame in frames))
        answer = stranger.hear_out()
    assert answer[0].type == FrameType.HELLO
    assert answer[-1].type == FrameType.GOAWAY
    assert [record for record in caplog.records if record.levelno == logging.ERROR]
    assert eventually(lambda: listener.sessions == 1)
    good.send(b"still here")
    assert good.receive(DEADLINE) == b"still here"


def test_a_client_of_something_else_is_told_what_it_is_at_once(backend: str, connect: Connect) -> None:
    if backend != "tcp":
        pytest.skip("it is about what the engine says")
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            accepted, _ = other.accept()
            with accepted:
                accepted.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                while accepted.recv(4096):
                    pass

        thread = Thread(target=answer)
        thread.start()
        with pytest.raises(tcpconn.HandshakeError, match="speaks HTTP, not tcpconn"):
            connect(f"127.0.0.1:{other.getsockname()[1]}", connect_timeout=None)
        thread.join(DEADLINE)


def test_a_peer_that_accepts_and_says_nothing_is_given_up(backend: str, connect: Connect) -> None:
    if backend == "memory":
        pytest.skip("there are no sockets")
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        pytest.raises(tcpconn.ConnectError, match=r"connect_timeout=0\.5 s"),
    ):
        connect(f"127.0.0.1:{other.getsockname()[1]}", connect_timeout=0.5, handshake_timeout=0.2)


def test_an_accepted_socket_can_be_wrapped(api: Api, backend: str, connect: Connect) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        if backend != "tcp":
            with pytest.raises(tcpconn.ConfigError, match="use backend='tcp'"):
                api.wrap(ours, backend=backend)
            return
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as thread:
        connecting = thread.submit(connect, f"127.0.0.1:{server.getsockname()[1]}")
        with api.wrap(server.accept()[0], backend=backend, linger=1.0, resume_timeout=0.1) as listener:
            client = connecting.result(DEADLINE)
            client.send(b"over a socket of my own")
            connection = next(iter(listener))
            assert connection.receive(DEADLINE) == b"over a socket of my own"


def test_a_wrapped_socket_that_is_gone_ends_the_iteration(api: Api, backend: str) -> None:
    if backend != "tcp":
        pytest.skip("only tcp wraps sockets")
    ours, theirs = socket.socketpair()
    theirs.close()
    with api.wrap(ours, backend=backend) as listener:
        assert list(listener) == []


def test_descriptors_are_given_back(
    api: Api, listen: Listen, connect: Connect, backend: str, descriptors: Callable[[], int]
) -> None:
    def once() -> None:
        with (
            api.Pool() as pool,
            api.listen("127.0.0.1:0", backend=backend, linger=1.0) as listener,
            api.connect(listener.address, pool=pool, backend=backend, linger=1.0) as client,
        ):
            client.send(b"x")
            assert listener.accept(DEADLINE).receive(DEADLINE) == b"x"

    once()
    before = descriptors()
    for _ in range(10):
        once()
    assert eventually(lambda: descriptors() <= before)


def test_the_file_of_a_unix_socket_goes_with_its_listener(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    listener = listen(f"unix:{path}")
    listener.close()
    assert eventually(lambda: not os.path.exists(path))

"""CURVE on zmq, in both flavours: who is taken for the listener, what is refused and why; and backends that do not encrypt."""

from __future__ import annotations

from typing import Any

import pytest
import zmq

import tcpconn
from behaving import DEADLINE, Connect, Echo, Lines, Listen

PUBLIC, SECRET = zmq.curve_keypair()
OTHER_PUBLIC, OTHER_SECRET = zmq.curve_keypair()
SERVER: dict[str, Any] = {"encrypt": True, "curve_secret_key": SECRET}
CLIENT: dict[str, Any] = {"encrypt": True, "curve_server_key": PUBLIC.decode()}


@pytest.fixture
def curve(backend: str) -> None:
    if backend != "zmq":
        pytest.skip("it is zmq that has CURVE")
    if not zmq.has("curve"):
        pytest.skip("this build of libzmq has no CURVE")


def check_echo(connection: tcpconn.Connection, message: bytes = b"hello") -> None:
    connection.send(message)
    assert connection.receive(DEADLINE) == message


@pytest.mark.usefixtures("curve")
@pytest.mark.parametrize("own", [{}, {"curve_secret_key": OTHER_SECRET.decode()}], ids=["a key for the link", "its own"])
def test_messages_go_there_and_back_also_after_a_cut(line: Lines, echo: Echo, connect: Connect, own: dict[str, Any]) -> None:
    between = line(echo(**SERVER, auth_key="one key beside the other"))
    client = connect(between.address, **CLIENT, **own, auth_key="one key beside the other")
    for size in (0, 1, 1_000_000):
        check_echo(client, b"x" * size)
        between.cut()
    check_echo(client)
    assert client.stats().reconnects


@pytest.mark.usefixtures("curve")
@pytest.mark.parametrize(
    ("server", "client"),
    [(SERVER, {**CLIENT, "curve_server_key": OTHER_PUBLIC.decode()}), (SERVER, {}), ({}, CLIENT)],
    ids=["another key", "a plain client", "a plain listener"],
)
def test_ends_that_do_not_agree_do_not_come_together(
    listen: Listen, connect: Connect, server: dict[str, Any], client: dict[str, Any]
) -> None:
    listener = listen(**server)
    with pytest.raises(tcpconn.ConnectError, match="cannot connect to"):
        connect(listener.address, **client, connect_timeout=1.0)
    assert listener.sessions == 0


@pytest.mark.usefixtures("curve")
@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"encrypt": True}, "a listener needs a key: set curve_secret_key"),
        ({"encrypt": True, "curve_secret_key": "\x7f" * 40}, "curve_secret_key is no key of CURVE"),
        ({"encrypt": True, "curve_secret_key": "short"}, "curve_secret_key=<str of 5>.* 40 characters"),
        ({"curve_secret_key": SECRET}, "curve_secret_key .* does nothing while encrypt is off"),
        (
            {**SERVER, "tls_require_client_cert": True, "tls_ca": "ca.pem"},
            "lets in every client here: set auth_key for the purpose",
        ),
    ],
)
def test_a_listener_whose_keys_cannot_be_used_does_not_begin(listen: Listen, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(tcpconn.ConfigError, match=text):
        listen(**settings)


@pytest.mark.usefixtures("curve")
def test_a_client_without_the_listeners_key_says_so(listen: Listen, connect: Connect) -> None:
    with pytest.raises(tcpconn.ConfigError, match="set curve_server_key"):
        connect(listen(**SERVER).address, encrypt=True, connect_timeout=None)


def test_a_secret_key_shows_nowhere() -> None:
    config = tcpconn.Config(**SERVER)
    assert SECRET.decode() not in repr(config) + str(vars(config)) + repr(config.link_options())


def test_a_backend_that_does_not_encrypt_is_refused(listen: Listen, connect: Connect, backend: str) -> None:
    if backend != "memory":
        pytest.skip("this one does")
    listener = listen()
    with pytest.raises(tcpconn.ConfigError, match="backend='memory' does not encrypt"):
        listen(encrypt=True)
    with pytest.raises(tcpconn.ConfigError, match="backend='memory' does not encrypt"):
        connect(listener.address, encrypt=True, connect_timeout=None)

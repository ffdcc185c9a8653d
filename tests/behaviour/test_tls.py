"""TLS on tcp, in both flavours: who is let in, what is refused and why, and certificates that change."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import ssl
import warnings
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Echo, Lines, Listen
from certificates import certificates
from eventually import eventually
from flavours import Api
from tcpconn.address import Address

MADE = certificates()
SERVER: dict[str, Any] = {"encrypt": True, "tls_cert": MADE.server.cert, "tls_key": MADE.server.key}
CLIENT: dict[str, Any] = {"encrypt": True, "tls_ca": MADE.ca}
MUTUAL: dict[str, Any] = {**SERVER, "tls_ca": MADE.ca, "tls_require_client_cert": True}


@pytest.fixture(autouse=True)
def _tcp(backend: str) -> None:
    if backend != "tcp":
        pytest.skip("it is tcp that has TLS")


def check_echo(connection: tcpconn.Connection, *messages: bytes) -> None:
    for message in messages or (b"hello",):
        connection.send(message)
        assert connection.receive(DEADLINE) == message


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_messages_of_every_size_go_there_and_back(echo: Echo, connect: Connect, host: str) -> None:
    listener = echo(**SERVER)
    client = connect(listener.address.replace("127.0.0.1", host), **CLIENT)
    check_echo(client, b"", b"x", os.urandom(16_384), os.urandom(16_385), os.urandom(3_000_000))


def test_an_end_that_polls_its_own_way_is_served_by_the_other_flavour(echo: Echo) -> None:
    with tcpconn.connect(echo(**SERVER).address, backend="tcp", **CLIENT) as client:
        check_echo(client, *(b"%d" % number for number in range(300)))


def test_cuts_and_a_shared_key_beneath_change_nothing(line: Lines, echo: Echo, connect: Connect) -> None:
    between = line(echo(**SERVER, auth_key="one key beside the other"))
    client = connect(between.address, **CLIENT, auth_key="one key beside the other")
    for number in range(10):
        check_echo(client, b"%d" % number * 50_000)
        between.cut()
    assert client.stats().reconnects


@dataclass
class Tap:
    """Passes one connection on and keeps what it sees."""

    seen: list[bytes] = field(default_factory=list)

    def run(self, listening: socket.socket, target: str) -> None:
        near, _ = listening.accept()
        where = Address.parse(target)
        with closing(near), socket.create_connection((where.host, where.port)) as far:
            back = Thread(target=self._pass, args=(far, near))
            back.start()
            self._pass(near, far)
            back.join()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.seen.append(data)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("encrypt", [True, False])
def test_nobody_on_the_way_can_read_along(echo: Echo, connect: Connect, encrypt: bool) -> None:
    listener = echo(**(SERVER if encrypt else {}))
    tap = Tap()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = Thread(target=tap.run, args=(listening, listener.address), daemon=True)
        thread.start()
        client = connect(f"127.0.0.1:{listening.getsockname()[1]}", **(CLIENT if encrypt else {}), idle_timeout=0)
        check_echo(client, b"a secret message")
        client.close()
        thread.join(DEADLINE)
    assert (b"a secret message" in b"".join(tap.seen)) is not encrypt


# -- who is let in


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"tls_ca": MADE.other_ca}, "tls_ca names the authorities to trust"),
        ({"tls_ca": None}, "tls_ca names the authorities to trust"),
        ({"tls_hostname": "elsewhere.example"}, "elsewhere.example.*tls_hostname the name"),
    ],
)
def test_a_client_refuses_a_listener_that_it_has_no_reason_to_trust(
    listen: Listen, connect: Connect, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(tcpconn.AuthenticationError, match=f"cannot connect to .*certificate of .* is not accepted: .*{text}"):
        connect(listen(**SERVER).address, **{**CLIENT, **settings}, connect_timeout=None)


def test_a_client_may_be_told_not_to_look(echo: Echo, connect: Connect) -> None:
    check_echo(connect(echo(**SERVER).address, encrypt=True, tls_verify=False))


def test_a_name_may_be_expected_that_is_not_the_address(echo: Echo, connect: Connect) -> None:
    check_echo(connect(echo(**SERVER).address, **CLIENT, tls_hostname="localhost"))


@pytest.mark.parametrize(
    ("mine", "text"),
    [(None, "does not accept this end's certificate"), (MADE.other, "does not accept this end's certificate")],
    ids=["none", "another authority's"],
)
def test_a_listener_that_asks_for_certificates_refuses_who_has_no_good_one(
    listen: Listen, connect: Connect, caplog: pytest.LogCaptureFixture, mine: Any, text: str
) -> None:
    listener = listen(**MUTUAL)
    own = {"tls_cert": mine.cert, "tls_key": mine.key} if mine else {}
    with pytest.raises(tcpconn.AuthenticationError, match=text):
        connect(listener.address, **CLIENT, **own, connect_timeout=None)
    assert listener.sessions == 0
    assert eventually(lambda: "refused" in caplog.text)


def test_a_listener_that_asks_for_certificates_serves_who_has_a_good_one(echo: Echo, connect: Connect) -> None:
    check_echo(connect(echo(**MUTUAL).address, **CLIENT, tls_cert=MADE.client.cert, tls_key=MADE.client.key))


@pytest.mark.parametrize(
    ("server", "client", "text"),
    [(SERVER, {}, "the peer speaks TLS, not tcpconn"), ({}, CLIENT, "does not speak TLS.*set encrypt at both ends")],
    ids=["the listener", "the client"],
)
def test_one_end_alone_with_tls_is_told_so(
    listen: Listen, connect: Connect, server: dict[str, Any], client: dict[str, Any], text: str
) -> None:
    with pytest.raises(tcpconn.ConnectError, match=text):
        connect(listen(**server).address, **client, connect_timeout=1.0)


@pytest.mark.parametrize(
    "words", [b"", b"\x16\x03\x01\x02\x00", b"\x16\x03\x01\xff\xff" + bytes(1000), b"GET / HTTP/1.1\r\n\r\n"]
)
def test_who_does_not_complete_the_handshake_keeps_nobody_waiting_and_is_shown_out(
    echo: Echo, connect: Connect, words: bytes
) -> None:
    listener = echo(**SERVER, handshake_timeout=0.5)
    where = Address.parse(listener.address)
    with socket.create_connection((where.host, where.port), timeout=DEADLINE) as stranger:
        stranger.sendall(words)
        check_echo(connect(listener.address, **CLIENT))
        with suppress(ConnectionResetError):
            while stranger.recv(4096):
                pass
    check_echo(connect(listener.address, **CLIENT))


def test_an_old_version_of_tls_is_refused(listen: Listen) -> None:
    where = Address.parse(listen(**SERVER).address)
    context = ssl.create_default_context(cafile=MADE.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection((where.host, where.port), timeout=DEADLINE) as plain,
        pytest.raises(ssl.SSLError),
        context.wrap_socket(plain, server_hostname="127.0.0.1"),
    ):
        pass


# -- certificates that change


@dataclass
class Files:
    """A certificate that can be exchanged where it lies."""

    folder: Path

    @property
    def settings(self) -> dict[str, Any]:
        return {"encrypt": True, "tls_cert": str(self.folder / "cert"), "tls_key": str(self.folder / "key")}

    def put(self, cert: str, key: str) -> None:
        for source, name in ((cert, "cert"), (key, "key")):
            shutil.copy(source, self.folder / f"{name}.new")
            (self.folder / f"{name}.new").replace(self.folder / name)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.put(MADE.server.cert, MADE.server.key)
    return files


def test_a_new_certificate_is_used_for_new_links_without_a_restart(echo: Echo, connect: Connect, files: Files) -> None:
    listener = echo(**files.settings)
    before = connect(listener.address, **CLIENT)
    check_echo(before)
    files.put(MADE.other.cert, MADE.other.key)
    check_echo(connect(listener.address, **{**CLIENT, "tls_ca": MADE.other_ca}))
    check_echo(before)
    assert before.stats().reconnects == 0
    with pytest.raises(tcpconn.AuthenticationError):
        connect(listener.address, **CLIENT, linger=0.2)


def test_a_new_certificate_that_cannot_be_used_is_reported_and_the_old_one_goes_on(
    echo: Echo, connect: Connect, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    listener = echo(**files.settings)
    (files.folder / "cert").write_text("not a certificate")
    for number in range(2):
        check_echo(connect(listener.address, **CLIENT, linger=0.2 + number))
    (report,) = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert str(files.folder / "cert") in report
    assert "PRIVATE" not in caplog.text


# -- what cannot be set


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"encrypt": True}, "a listener needs a certificate: set tls_cert"),
        ({"encrypt": True, "tls_cert": "/nowhere.pem"}, "tls_cert='/nowhere.pem'.* cannot be used: .*No such file"),
        ({"encrypt": True, "tls_cert": MADE.server.cert}, "cannot be used"),
        ({**SERVER, "tls_key": MADE.client.key}, "cannot be used: .*mismatch"),
        ({**SERVER, "tls_ca": "/nowhere.pem"}, "tls_ca='/nowhere.pem' cannot be used"),
        ({**SERVER, "encrypt": False}, "tls_cert .* does nothing while encrypt is off"),
        ({"encrypt": True, "tls_key": MADE.server.key}, "tls_key .* set tls_cert as well"),
        ({**SERVER, "tls_require_client_cert": True}, "tls_require_client_cert .* set tls_ca as well"),
    ],
)
def test_a_listener_with_certificates_that_it_cannot_use_does_not_begin(
    listen: Listen, settings: dict[str, Any], text: str
) -> None:
    with pytest.raises(tcpconn.ConfigError, match=text):
        listen(**settings)


def test_a_client_with_certificates_that_it_cannot_use_says_so_at_once(listen: Listen, connect: Connect) -> None:
    with pytest.raises(tcpconn.ConfigError, match=r"tls_ca='/nowhere.pem' cannot be used"):
        connect(listen(**SERVER).address, encrypt=True, tls_ca="/nowhere.pem", connect_timeout=None)


def test_a_key_with_a_password_is_refused_and_not_asked_for(listen: Listen, tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(Path(MADE.server.key).read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"horse"),
        )
    )
    with pytest.raises(tcpconn.ConfigError, match="encrypted by a password; give one that is not"):
        listen(**{**SERVER, "tls_key": str(locked)})


def test_a_unix_socket_is_not_encrypted(listen: Listen, connect: Connect, tmp_path: Path) -> None:
    where = f"unix:{tmp_path / 'socket'}"
    with pytest.raises(tcpconn.ConfigError, match=r"cannot be encrypted.*leave encrypt off"):
        listen(where, **SERVER)
    with pytest.raises(tcpconn.ConfigError, match=r"cannot be encrypted.*leave encrypt off"):
        connect(where, **CLIENT, connect_timeout=None)


def test_an_accepted_socket_is_wrapped_before_there_is_tls_on_it(api: Api, connect: Connect) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(MADE.server.cert, MADE.server.key)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with socket.create_connection(server.getsockname()):
            accepted = context.wrap_socket(server.accept()[0], server_side=True, do_handshake_on_connect=False)
            with accepted, pytest.raises(tcpconn.ConfigError, match="give the plain one, and set encrypt"):
                api.wrap(accepted, backend="tcp", **SERVER)
        made: list[tcpconn.Connection] = []
        thread = Thread(target=lambda: made.append(connect(address, **CLIENT)))
        thread.start()
        with api.wrap(server.accept()[0], backend="tcp", linger=1.0, **SERVER) as listener:
            connection = listener.accept(DEADLINE)
            thread.join(DEADLINE)
            made[0].send(b"hello")
            assert connection.receive(DEADLINE) == b"hello"

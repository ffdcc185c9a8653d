"""Every backend, at every kind of address, keeps the contract of `tcpconn.transport`."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator

import pytest

from tcpconn.address import Address
from tcpconn.testing import FaultyTransport
from tcpconn.testing.contract import TransportContract
from tcpconn.transport import Transport, load_transport
from tcpconn_tcp import lingering


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


_HOSTS = [
    pytest.param("127.0.0.1", id="ipv4"),
    pytest.param("::1", id="ipv6", marks=pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6")),
]


@pytest.fixture
def folder() -> Iterator[str]:
    # Not tmp_path: the path of a Unix socket has room for about a hundred bytes.
    with tempfile.TemporaryDirectory() as path:
        yield path


@pytest.fixture(autouse=True)
def impatience(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is waited for, a tcp link gives its peer less time to end, too."""
    if request.function.__name__.endswith("after_a_while"):
        monkeypatch.setattr(lingering, "LIMIT", 0.3)


class _OnHosts(TransportContract):
    @pytest.fixture(params=_HOSTS)
    def address(self, request: pytest.FixtureRequest) -> Address:
        return Address(request.param, 0)


class _OnPaths(TransportContract):
    @pytest.fixture
    def address(self, folder: str) -> Address:
        return Address(path=f"{folder}/socket")


class TestTcp(_OnHosts):
    adopts_sockets = True

    @pytest.fixture
    def transport(self) -> Transport:
        return load_transport("tcp")


class TestTcpOverUnixSockets(_OnPaths):
    adopts_sockets = True

    @pytest.fixture
    def transport(self) -> Transport:
        return load_transport("tcp")


class TestZmq(_OnHosts):
    @pytest.fixture
    def transport(self) -> Transport:
        return load_transport("zmq")


class TestZmqOverUnixSockets(_OnPaths):
    @pytest.fixture
    def transport(self) -> Transport:
        return load_transport("zmq")


class TestMemory(TransportContract):
    reaches_other_processes = False
    uses_stream_sockets = False

    @pytest.fixture
    def transport(self) -> Transport:
        return load_transport("memory")

    @pytest.fixture(params=[Address("here", 0), Address(path="/here")], ids=["port", "path"])
    def address(self, request: pytest.FixtureRequest) -> Address:
        where: Address = request.param
        return where


class TestFaultyTransport(TestMemory):
    @pytest.fixture
    def transport(self) -> Transport:
        return FaultyTransport(load_transport("memory"))

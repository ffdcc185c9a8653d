"""Every backend, at every kind of address, keeps the contract of `tcpconn.transport`."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from typing import cast

import pytest

from certificates import certificates
from tcpconn.address import Address
from tcpconn.securing import TlsOptions
from tcpconn.testing import FaultyTransport
from tcpconn.testing.contract import TransportContract
from tcpconn.testing.contract.ends import End, Ends
from tcpconn.transport import LinkOptions, Transport, load_transport
from tcpconn_tcp import lingering
from tcpconn_tcp.tls_link import TlsLink


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


class _TlsEnds(Ends):
    """Ends that have shaken hands when they are joined; what is tested then is what goes on behind that."""

    def join(self) -> tuple[End, End]:
        near, far = super().join()
        links = [cast("TlsLink", end.link) for end in (near, far)]
        self.drive(lambda: all(link.established for link in links))
        return near, far


class TestTcpWithTls(_OnHosts):
    adopts_sockets = True
    # Those of the contract have no certificates.
    reaches_other_processes = False
    uses_stream_sockets = False

    @pytest.fixture
    def transport(self) -> Transport:
        return load_transport("tcp")

    @pytest.fixture
    def options(self) -> LinkOptions:
        made = certificates()
        return LinkOptions(tls=TlsOptions(cert=made.server.cert, key=made.server.key, ca=made.ca))

    @pytest.fixture
    def ends(self, transport: Transport, address: Address, options: LinkOptions) -> Iterator[Ends]:
        ends = _TlsEnds(transport, address, options)
        yield ends
        ends.settle()

    @pytest.mark.parametrize("side", [0, 1], ids=["near", "far"])
    def test_a_goodbye_is_reported_once_after_all_that_was_written(self, ends: Ends, side: int) -> None:
        # What was taken arrives, but in the middle of a record that was not there is no goodbye.
        pair = ends.join()
        leaving, staying = pair[side], pair[1 - side]
        data = bytes(range(256)) * 65_536
        taken = 0
        while count := leaving.link.write([memoryview(data)[taken:]]):
            taken += count
        assert 0 < taken < len(data)
        leaving.link.close()
        ends.drive(lambda: staying.lost)
        assert staying.sink.data == data[:taken]
        (loss,) = staying.sink.losses
        assert "without saying so" in str(loss)

    def test_a_link_that_has_sent_all_says_goodbye(self, ends: Ends) -> None:
        near, far = ends.join()
        ends.send(near, [b"x" * 100_000])
        near.link.close()
        ends.drive(lambda: far.lost)
        assert (len(far.sink.data), far.sink.losses) == (100_000, [None])


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

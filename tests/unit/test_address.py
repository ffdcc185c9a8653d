"""Addresses as users write them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tcpconn.address import Address
from tcpconn.errors import ConfigError

_quick = settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", Address("127.0.0.1", 9000)),
        ("localhost:0", Address("localhost", 0)),
        ("db-1.example.com:65535", Address("db-1.example.com", 65535)),
        ("bücher.example:80", Address("bücher.example", 80)),
        ("[::1]:9000", Address("::1", 9000)),
        ("[fe80::1%eth0]:1", Address("fe80::1%eth0", 1)),
        ("unix:/run/orders.sock", Address(path="/run/orders.sock")),
        ("unix:/run/with space:80", Address(path="/run/with space:80")),
        ("unix:/run/a://b", Address(path="/run/a://b")),
    ],
)
def test_an_address_is_read_from_text_and_written_back_the_same(text: str, address: Address) -> None:
    assert Address.parse(text) == address
    assert str(address) == text


def test_an_address_is_taken_as_it_is() -> None:
    address = Address("h", 1)
    assert Address.parse(address) is address


def test_equal_addresses_are_one_key() -> None:
    assert len({Address.parse("h:1"), Address("h", 1), Address.parse("h:2"), Address.parse("unix:/h")}) == 3


_ANY_FORM = "use 'host:port', '[v6]:port' or 'unix:/path'"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no host or no port"),
        ("localhost", "has no host or no port"),
        (":9000", "has no host or no port"),
        ("[]:9000", "has no host or no port"),
        ("[::1]", "has no host or no port"),
        ("[::1]:1:2", "has no host or no port"),
        ("unix:", "has no path"),
        ("unix:/a\0b", "holds a zero byte"),
        ("a b:1", "holds no blanks"),
        ("host/path:1", "holds no blanks, slashes"),
        ("user@host:1", "'@'"),
        ("a\x1b[2J:1", "has no host or no port"),
        ("a\x1b:1", "control characters"),
    ],
)
def test_what_is_no_address_is_refused_with_the_forms_that_are(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Address.parse(text)
    assert f"address {text!r}" in str(caught.value)
    assert complaint in str(caught.value)
    assert _ANY_FORM in str(caught.value)


@pytest.mark.parametrize("port", ["", "x", "-1", "+1", "65536", "1_0", " 1", "1\n", "８０", "9" * 5000, "0x50"])
def test_a_port_is_a_number_from_0_to_65535(port: str) -> None:
    with pytest.raises(ConfigError, match="is not a number from 0 to 65535"):
        Address.parse(f"localhost:{port}")


@pytest.mark.parametrize("text", ["::1:9000", "fe80::1:80", "::1", "::"])
def test_an_ipv6_host_without_brackets_is_ambiguous_and_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"is an IPv6 host without a port, or without brackets: write '\[host\]:port'"):
        Address.parse(text)


def test_a_host_with_colons_is_told_to_wear_brackets() -> None:
    with pytest.raises(ConfigError, match=r"write an IPv6 host in brackets, as in '\[::1\]:90000'"):
        Address.parse("::1:90000")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", ":::", "::g", "::1 "])
def test_only_ipv6_addresses_stand_in_brackets(host: str) -> None:
    with pytest.raises(ConfigError, match="is not an IPv6 address"):
        Address.parse(f"[{host}]:1")


@pytest.mark.parametrize("host", ["a..b", "x" * 64, ".a"])
def test_a_host_that_no_resolver_takes_is_refused_here_and_not_deep_in_a_backend(host: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a host"):
        Address.parse(f"{host}:1")


@pytest.mark.parametrize("text", ["tcp://127.0.0.1:9000", "zmq+tcp://h:1", "ipc:///run/x", "unix:///run/x"])
def test_an_address_that_names_a_transport_is_refused_with_the_place_to_name_it(text: str) -> None:
    with pytest.raises(ConfigError, match=r"names a transport.*backend=.*TCPCONN_BACKEND.*tcpconn\.toml"):
        Address.parse(text)


@pytest.mark.parametrize("value", [9000, None, b"localhost:1", ("localhost", 1)])
def test_an_address_is_text(value: object) -> None:
    with pytest.raises(ConfigError, match=f"is a {type(value).__name__}, not a str"):
        Address.parse(value)  # type: ignore[arg-type]


@_quick
@given(st.text(max_size=40) | st.from_regex(r"(\[.{0,8}\]|.{0,8}):[0-9]{0,6}", fullmatch=True))
def test_any_text_is_an_address_that_reads_the_same_again_or_a_config_error(text: str) -> None:
    try:
        address = Address.parse(text)
    except ConfigError as error:
        assert repr(text) in str(error)  # noqa: PT017
    else:
        assert Address.parse(str(address)) == address


@_quick
@given(st.ip_addresses(), st.integers(0, 65535))
def test_every_ip_address_and_port_round_trips(host: object, port: int) -> None:
    address = Address(str(host), port)
    assert Address.parse(str(address)) == address

"""Addresses: `host:port`, `[v6]:port` and `unix:/path`. An address never names the backend."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache

from tcpconn.errors import ConfigError

__all__ = ["Address"]

_ALLOWED = "use 'host:port', '[v6]:port' or 'unix:/path'"
_HOST_AND_PORT = re.compile(r"(?:\[(?P<v6>[^\[\]]*)\]|(?P<host>[^\[\]]*)):(?P<port>[^:\]]*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or to connect.

    Attributes:
        host: name or IP address, without the brackets of IPv6; empty for a Unix socket.
        port: 0 to 65535; 0 asks the system for a free one when listening.
        path: path of a Unix socket, or None.
    """

    host: str = ""
    port: int = 0
    path: str | None = None

    @classmethod
    def parse(cls, text: str | Address) -> Address:
        """Read an address from text.

        Raises:
            ConfigError: the text is not an address; the error says which forms are.
        """
        if isinstance(text, Address):
            return text
        if not isinstance(text, str):
            raise ConfigError(f"address {text!r} is a {type(text).__name__}, not a str: {_ALLOWED}")
        return _parse(text)

    @classmethod
    def _of(cls, text: str) -> Address:
        if "\0" in text:
            raise ConfigError(f"address {text!r} holds a zero byte: {_ALLOWED}")
        if re.match(r"[\w.+-]+://", text):
            raise ConfigError(
                f"address {text!r} names a transport: {_ALLOWED}, and choose the transport by the setting 'backend' "
                "(keyword backend=, variable TCPCONN_BACKEND, or tcpconn.toml)"
            )
        if text.startswith("unix:"):
            path = text[len("unix:") :]
            if not path:
                raise ConfigError(f"address {text!r} has no path: {_ALLOWED}")
            return cls(path=path)
        return cls(*_host_and_port(text))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@lru_cache(maxsize=1024)
def _parse(text: str) -> Address:
    return Address._of(text)


def _host_and_port(text: str) -> tuple[str, int]:
    if _is_v6(text):
        raise ConfigError(f"address {text!r} is an IPv6 host without a port, or without brackets: write '[host]:port'")
    found = _HOST_AND_PORT.fullmatch(text)
    if found is None or not (found["v6"] or found["host"]):
        raise ConfigError(f"address {text!r} has no host or no port: {_ALLOWED}")
    v6: str | None = found["v6"]
    host: str = found["host"] or found["v6"]
    port: str = found["port"]
    if v6 is not None and not _is_v6(v6):
        raise ConfigError(f"address {text!r}: {v6!r} is not an IPv6 address; only those stand in brackets")
    if v6 is None and ":" in host:
        raise ConfigError(f"address {text!r}: write an IPv6 host in brackets, as in '[{host}]:{port}'")
    if v6 is None:
        _check_name(text, host)
    # The length is looked at first: int() refuses thousands of digits in its own way.
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ConfigError(f"address {text!r}: port {port!r} is not a number from 0 to 65535")
    return host, int(port)


def _check_name(text: str, host: str) -> None:
    if any(character.isspace() or character in "/@" or not character.isprintable() for character in host):
        raise ConfigError(f"address {text!r}: a host holds no blanks, slashes, '@' or control characters: {_ALLOWED}")
    try:
        # Resolving such a name would raise UnicodeError, deep in a backend.
        host.encode("idna")
    except UnicodeError as error:
        raise ConfigError(f"address {text!r}: {host!r} cannot be the name of a host: {error}") from error


def _is_v6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True

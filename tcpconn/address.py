"""Addresses: `host:port`, `[v6]:port` and `unix:/path`. An address never names the backend."""

from __future__ import annotations

from dataclasses import dataclass

from tcpconn.errors import ConfigError

__all__ = ["Address"]

_ALLOWED = "use 'host:port', '[v6]:port' or 'unix:/path'"


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
        if "://" in text:
            raise ConfigError(
                f"address {text!r} names a transport: {_ALLOWED}, and choose the transport by the setting 'backend' "
                "(keyword backend=, variable TCPCONN_BACKEND, or tcpconn.toml)"
            )
        if text.startswith("unix:"):
            path = text[len("unix:") :]
            if not path:
                raise ConfigError(f"address {text!r} has no path: {_ALLOWED}")
            return cls(path=path)
        host, colon, port_text = text.rpartition(":")
        if not colon or not host:
            raise ConfigError(f"address {text!r} has no host or no port: {_ALLOWED}")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError(f"address {text!r}: write an IPv6 host in brackets, as in '[{host}]:{port_text}'")
        if not port_text.isascii() or not port_text.isdigit() or int(port_text) > 65535:
            raise ConfigError(f"address {text!r}: port {port_text!r} is not a number from 0 to 65535")
        return cls(host=host, port=int(port_text))

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

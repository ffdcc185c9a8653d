"""What the peers have in common: transports that people choose in place of ours, each used as its own documents advise.

A peer is set in ratio to a plain socket, as tcp is, since all of them go over TCP on the loopback interface.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any, ClassVar

__all__ = ["Peer", "host_and_port"]


class Peer:
    """What the subjects of another's library have; each gives its `name` and what it needs."""

    name: str
    role = "peer"
    floor: str | None = "plain-socket"

    needs: ClassVar[Mapping[str, str]]
    """The modules that it imports, each with the distribution that it comes with."""

    options: ClassVar[Mapping[str, Any]]
    """What is set other than by default, for the result."""

    def unavailable(self) -> str | None:
        for module, distribution in self.needs.items():
            try:
                import_module(module)
            except ImportError as error:
                return f"{distribution} cannot be imported ({error}); install it with: pip install 'tcpconn[peers]'"
        return None

    def settings(self) -> Mapping[str, Any]:
        return {**self.options, "versions": {distribution: version(distribution) for distribution in self.needs.values()}}


def host_and_port(address: str) -> tuple[str, int]:
    """Return the parts of `host:port`."""
    host, _, port = address.rpartition(":")
    return host, int(port)

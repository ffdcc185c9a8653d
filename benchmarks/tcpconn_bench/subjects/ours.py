"""The subjects that the comparison is about: tcpconn on each of its backends, with the configuration in force here.

Only the backend is set, and in a variant what it changes; everything else comes from where a user's own program would
take it: `TCPCONN_*` variables, the file that `TCPCONN_CONFIG` names or `./tcpconn.toml`, the defaults.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import tcpconn
from tcpconn.transport import load_transport
from tcpconn_bench.subjects.base import Message, Traits
from tcpconn_bench.subjects.places import SocketPath, host, why_no_unix_sockets

__all__ = ["Backend", "Tcpconn", "where"]


class _Endpoint:
    """A logical connection; its own methods are what the comparison calls, with nothing in between."""

    def __init__(self, connection: tcpconn.Connection) -> None:
        self._connection = connection
        self.send = connection.send
        self.receive = connection.receive
        self.send_many = connection.send_many
        self.close = connection.close

    def receive_many(self, count: int) -> Sequence[Message]:
        receive_many = self._connection.receive_many
        found = receive_many(count)
        while len(found) < count:
            found += receive_many(count - len(found))
        return found


class _Listener:
    """A listener, and the place of its socket if that is one of its own."""

    def __init__(self, overrides: Mapping[str, Any], place: SocketPath | None) -> None:
        self._place = place
        self._listener = tcpconn.listen(where(place), **overrides)

    @property
    def address(self) -> str:
        return str(self._listener.address)

    def accept(self) -> _Endpoint:
        return _Endpoint(self._listener.accept())

    def close(self) -> None:
        self._listener.close()
        if self._place is not None:
            self._place.remove()


def where(place: SocketPath | None) -> str:
    """Return where to listen: at a place, or at any port of the host."""
    return f"{host()}:0" if place is None else f"unix:{place.path}"


class Backend:
    """What the subjects of both flavours have.

    Attributes:
        overrides: the settings that are not left to what is in force here: the backend, and what a variant changes.
        unix: whether it is over a Unix socket.
        within_one_process: whether it joins threads and no processes.
    """

    traits = Traits(reconnects=True)

    def __init__(self, name: str, backend: str, floor: str | None, changes: Mapping[str, Any], *, unix: bool = False) -> None:
        self.name = name
        self.role = "variant" if changes else "backend"
        self.backend = backend
        self.floor = floor
        self.unix = unix
        self.within_one_process = backend == "memory"
        self.overrides: dict[str, Any] = {"backend": backend, **changes}

    def unavailable(self) -> str | None:
        """Return the reason, if the backend's package is missing.

        Raises:
            tcpconn.ConfigError: no backend of this name is installed, or a setting is wrong.
        """
        for name, value in dataclasses.asdict(tcpconn.Config.load(**self.overrides)).items():
            if name in self.overrides and isinstance(value, tcpconn.Secret):
                raise tcpconn.ConfigError(
                    f"{name} cannot be part of a variant, whose name stands in the result: set TCPCONN_{name.upper()}"
                )
        if self.unix and (reason := why_no_unix_sockets()):
            return reason
        try:
            load_transport(self.backend)
        except tcpconn.BackendUnavailable as error:
            return str(error)
        return None

    def settings(self) -> Mapping[str, Any]:
        config = dataclasses.asdict(tcpconn.Config.load(**self.overrides))
        # They become JSON; of a secret nothing does.
        return {name: str(value) if isinstance(value, tcpconn.Secret) else value for name, value in config.items()}


class Tcpconn(Backend):
    """The subject; see the module's text."""

    def listen(self) -> _Listener:
        return _Listener(self.overrides, SocketPath() if self.unix else None)

    def connect(self, address: str) -> _Endpoint:
        return _Endpoint(tcpconn.connect(address, **self.overrides))

"""The subjects of a comparison, by name: tcpconn's backends, the floors, and anybody's own as `module:name`."""

from __future__ import annotations

from importlib import import_module

from tcpconn_bench import variants
from tcpconn_bench.subjects.base import AsyncEndpoint, AsyncSubject, Endpoint, Listener, Message, Subject, is_async

__all__ = [
    "ASYNCIO",
    "FLOORS",
    "FURTHER_FLOORS",
    "PLAIN",
    "UNIX",
    "AsyncEndpoint",
    "AsyncSubject",
    "Endpoint",
    "Listener",
    "Message",
    "Subject",
    "find",
    "is_async",
]

ASYNCIO = "-asyncio"
"""What the name of a backend ends in that is used by the asyncio API."""

UNIX = "unix"
"""The backend tcp over a Unix socket, which is a subject beside tcp over the loopback interface."""

FLOORS = {
    "tcp": "plain-socket",
    UNIX: "plain-unix-socket",
    "zmq": "plain-pyzmq",
    f"tcp{ASYNCIO}": "plain-protocol",
    f"zmq{ASYNCIO}": "plain-zmq.asyncio",
}
"""What each backend is built on; a backend that is not named here has no floor."""

FURTHER_FLOORS = {
    "tcp": ("polling-socket",),
    "zmq": ("plain-pyzmq-nocopy",),
    f"tcp{ASYNCIO}": ("plain-streams",),
}
"""What else can be done with the same means."""

PLAIN = {
    "plain-socket": "plain_socket:PlainSocket",
    "plain-unix-socket": "plain_unix_socket:PlainUnixSocket",
    "polling-socket": "polling_socket:PollingSocket",
    "plain-pyzmq": "plain_pyzmq:PlainPyzmq",
    "plain-pyzmq-nocopy": "plain_pyzmq_nocopy:PlainPyzmqNoCopy",
    "plain-protocol": "plain_asyncio:PlainProtocol",
    "plain-streams": "plain_asyncio:PlainStreams",
    "plain-zmq.asyncio": "plain_zmq_asyncio:PlainZmqAsyncio",
}
"""The floors, each with the module of this package that it is in; imported only when asked for."""


def find(name: str) -> Subject | AsyncSubject:
    """Return the subject called `name`.

    Args:
        name: the name of a floor or of a backend, the latter with `-asyncio` for the asyncio API and with `:SETTING=VALUE`
            for other settings than those in force (`unix` is the backend tcp over a Unix socket), or `module:name` for a
            subject from elsewhere.

    Raises:
        ValueError: there is no such module or name in it, or it is no variant of a backend.
        tcpconn.ConfigError: no backend of that name is installed.
    """
    if name in PLAIN:
        return _load(f"{__name__}.{PLAIN[name]}")
    if ":" in name and not variants.is_variant(name):
        return _load(name)
    return _find_backend(name)


def _find_backend(key: str) -> Subject | AsyncSubject:
    name, base, settings = key, key, {}
    if variants.is_variant(key):
        variant = variants.parse(key)
        name, base, settings = variant.name, variant.base, dict(variant.settings)
        if base in PLAIN:
            raise ValueError(f"{base!r} is no backend of tcpconn and has no settings")
    unix = base.removesuffix(ASYNCIO) == UNIX
    backend = "tcp" if unix else base.removesuffix(ASYNCIO)
    if base.endswith(ASYNCIO):
        from tcpconn_bench.subjects.ours_asyncio import TcpconnAsyncio

        return TcpconnAsyncio(name, backend, FLOORS.get(base), settings, unix=unix)
    from tcpconn_bench.subjects.ours import Tcpconn

    return Tcpconn(name, backend, FLOORS.get(base), settings, unix=unix)


def _load(name: str) -> Subject | AsyncSubject:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"subject {name!r} cannot be loaded: {error}; write it as module:name") from error
    subject: Subject | AsyncSubject = found() if callable(found) else found
    return subject

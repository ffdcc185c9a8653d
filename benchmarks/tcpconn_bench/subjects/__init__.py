"""The subjects of a comparison, by name: tcpconn's backends, the floors, and anybody's own as `module:name`."""

from __future__ import annotations

from importlib import import_module

from tcpconn_bench import variants
from tcpconn_bench.subjects.base import AsyncEndpoint, AsyncSubject, Endpoint, Listener, Message, Subject, is_async

__all__ = [
    "ASYNCIO",
    "FLOORS",
    "FURTHER_FLOORS",
    "PEERS",
    "PLAIN",
    "UNIX",
    "UVLOOP",
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

UVLOOP = "-uvloop"
"""What the name of a backend ends in that is used by the asyncio API on uvloop's event loop, and of any other subject on it."""

UNIX = "unix"
"""The backend tcp over a Unix socket, which is a subject beside tcp over the loopback interface."""

FLOORS = {
    "tcp": "plain-socket",
    UNIX: "plain-unix-socket",
    "zmq": "plain-pyzmq",
    "memory": "plain-queue",
    f"tcp{ASYNCIO}": "plain-protocol",
    f"zmq{ASYNCIO}": "plain-zmq.asyncio",
    f"tcp{UVLOOP}": f"plain-protocol{UVLOOP}",
    f"zmq{UVLOOP}": f"plain-zmq.asyncio{UVLOOP}",
}
"""What each backend is built on; a backend that is not named here has no floor."""

FURTHER_FLOORS = {
    "tcp": ("polling-socket",),
    "zmq": ("plain-pyzmq-nocopy",),
    f"tcp{ASYNCIO}": ("plain-streams",),
    f"tcp{UVLOOP}": (f"plain-streams{UVLOOP}",),
}
"""What else can be done with the same means."""

PLAIN = {
    "plain-socket": "plain_socket:PlainSocket",
    "plain-unix-socket": "plain_unix_socket:PlainUnixSocket",
    "polling-socket": "polling_socket:PollingSocket",
    "plain-pyzmq": "plain_pyzmq:PlainPyzmq",
    "plain-pyzmq-nocopy": "plain_pyzmq_nocopy:PlainPyzmqNoCopy",
    "plain-queue": "plain_queue:PlainQueue",
    "plain-protocol": "plain_asyncio:PlainProtocol",
    "plain-streams": "plain_asyncio:PlainStreams",
    "plain-zmq.asyncio": "plain_zmq_asyncio:PlainZmqAsyncio",
}
"""The floors, each with the module of this package that it is in; imported only when asked for."""

PEERS = {
    "pynng": "pynng_pair:PynngPair",
    "grpc-unary": "grpc_calls:GrpcUnary",
    "grpc-stream": "grpc_calls:GrpcStream",
    "http": "http_keep_alive:HttpKeepAlive",
    "websockets": "websocket:Websockets",
    "websockets-asyncio": "websocket:WebsocketsAsyncio",
    "plain-streams": PLAIN["plain-streams"],
    "redis": "redis_lists:RedisLists",
    "nats": "nats_core:NatsCore",
}
"""What else people use, likewise; asyncio's streams, which are a floor, are among them."""


def find(name: str) -> Subject | AsyncSubject:
    """Return the subject called `name`.

    Args:
        name: the name of a floor, of a peer or of a backend, the latter with `-asyncio` for the asyncio API and with
            `:SETTING=VALUE` for other settings than those in force (`unix` is the backend tcp over a Unix socket), or
            `module:name` for a subject from elsewhere. With `-uvloop` at its end it is on that event loop.

    Raises:
        ValueError: there is no such module or name in it, it is no variant of a backend, or it has no event loop.
        tcpconn.ConfigError: no backend of that name is installed.
    """
    shipped = PLAIN | PEERS
    if name in shipped:
        return _load(f"{__name__}.{shipped[name]}")
    if name.endswith(UVLOOP) and name.removesuffix(UVLOOP) in shipped:
        return _on_uvloop(find(name.removesuffix(UVLOOP)), name)
    if ":" in name and not variants.is_variant(name):
        return _load(name)
    return _find_backend(name)


def _find_backend(key: str) -> Subject | AsyncSubject:
    name, base, settings = key, key, {}
    if variants.is_variant(key):
        variant = variants.parse(key)
        name, base, settings = variant.name, variant.base, dict(variant.settings)
        if base.removesuffix(UVLOOP) in PLAIN | PEERS:
            raise ValueError(f"{base!r} is no backend of tcpconn and has no settings")
    backend = base.removesuffix(ASYNCIO).removesuffix(UVLOOP)
    unix = backend == UNIX
    backend = "tcp" if unix else backend
    if base.endswith((ASYNCIO, UVLOOP)):
        from tcpconn_bench.subjects.ours_asyncio import TcpconnAsyncio

        subject = TcpconnAsyncio(name, backend, FLOORS.get(base), settings, unix=unix)
        return _on_uvloop(subject, name) if base.endswith(UVLOOP) else subject
    from tcpconn_bench.subjects.ours import Tcpconn

    return Tcpconn(name, backend, FLOORS.get(base), settings, unix=unix)


def _on_uvloop(subject: Subject | AsyncSubject, name: str) -> AsyncSubject:
    if not is_async(subject):
        raise ValueError(f"{subject.name!r} is not on an event loop, so not on uvloop's either")
    from tcpconn_bench.subjects.on_uvloop import OnUvloop

    return OnUvloop(subject, name)


def _load(name: str) -> Subject | AsyncSubject:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"subject {name!r} cannot be loaded: {error}; write it as module:name") from error
    subject: Subject | AsyncSubject = found() if callable(found) else found
    return subject

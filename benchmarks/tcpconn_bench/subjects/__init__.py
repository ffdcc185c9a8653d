"""The subjects of a comparison, by name: tcpconn's backends, the floors, and anybody's own as `module:name`."""

from __future__ import annotations

from importlib import import_module

from tcpconn_bench.subjects.base import AsyncEndpoint, AsyncSubject, Endpoint, Listener, Message, Subject, is_async

__all__ = [
    "ASYNCIO",
    "FLOORS",
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

FLOORS = {
    "tcp": "plain-socket",
    "zmq": "plain-pyzmq",
    f"tcp{ASYNCIO}": "plain-protocol",
    f"zmq{ASYNCIO}": "plain-zmq.asyncio",
}
"""What each backend is built on; a backend that is not named here has no floor."""


def find(name: str) -> Subject | AsyncSubject:
    """Return the subject called `name`.

    Args:
        name: the name of a floor or of a backend, the latter with `-asyncio` for the asyncio API, or `module:name` for a
            subject from elsewhere.

    Raises:
        ValueError: there is no such module or name in it.
        tcpconn.ConfigError: no backend of that name is installed.
    """
    subject: Subject | AsyncSubject
    if ":" in name:
        subject = _find_elsewhere(name)
    elif name == "plain-socket":
        from tcpconn_bench.subjects.plain_socket import PlainSocket

        subject = PlainSocket()
    elif name == "plain-pyzmq":
        from tcpconn_bench.subjects.plain_pyzmq import PlainPyzmq

        subject = PlainPyzmq()
    elif name == "plain-protocol":
        from tcpconn_bench.subjects.plain_asyncio import PlainProtocol

        subject = PlainProtocol()
    elif name == "plain-streams":
        from tcpconn_bench.subjects.plain_asyncio import PlainStreams

        subject = PlainStreams()
    elif name == "plain-zmq.asyncio":
        from tcpconn_bench.subjects.plain_zmq_asyncio import PlainZmqAsyncio

        subject = PlainZmqAsyncio()
    elif name.endswith(ASYNCIO):
        from tcpconn_bench.subjects.ours_asyncio import TcpconnAsyncio

        subject = TcpconnAsyncio(name, name.removesuffix(ASYNCIO), FLOORS.get(name))
    else:
        from tcpconn_bench.subjects.ours import Tcpconn

        subject = Tcpconn(name, name, FLOORS.get(name))
    return subject


def _find_elsewhere(name: str) -> Subject | AsyncSubject:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"subject {name!r} cannot be loaded: {error}; write it as module:name") from error
    subject: Subject | AsyncSubject = found() if callable(found) else found
    return subject

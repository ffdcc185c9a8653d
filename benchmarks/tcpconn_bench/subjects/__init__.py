"""The subjects of a comparison, by name: tcpconn's backends, the floors, and anybody's own as `module:name`."""

from __future__ import annotations

from importlib import import_module

from tcpconn_bench.subjects.base import Endpoint, Listener, Message, Subject

__all__ = ["FLOORS", "Endpoint", "Listener", "Message", "Subject", "find"]

FLOORS = {"tcp": "plain-socket", "zmq": "plain-pyzmq"}
"""What each backend is built on; a backend that is not named here has no floor."""


def find(name: str) -> Subject:
    """Return the subject called `name`.

    Args:
        name: the name of a floor or of a backend, or `module:name` for a subject from elsewhere.

    Raises:
        ValueError: there is no such module or name in it.
        tcpconn.ConfigError: no backend of that name is installed.
    """
    subject: Subject
    if ":" in name:
        subject = _find_elsewhere(name)
    elif name == "plain-socket":
        from tcpconn_bench.subjects.plain_socket import PlainSocket

        subject = PlainSocket()
    elif name == "plain-pyzmq":
        from tcpconn_bench.subjects.plain_pyzmq import PlainPyzmq

        subject = PlainPyzmq()
    else:
        from tcpconn_bench.subjects.ours import Tcpconn

        subject = Tcpconn(name, FLOORS.get(name))
    return subject


def _find_elsewhere(name: str) -> Subject:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"subject {name!r} cannot be loaded: {error}; write it as module:name") from error
    subject: Subject = found() if callable(found) else found
    return subject

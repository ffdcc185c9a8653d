"""CURVE, ZeroMQ's own encryption: the client knows the listener's public key beforehand, and takes nobody else for it."""

from __future__ import annotations

import zmq

from tcpconn.errors import BackendUnavailable, ConfigError
from tcpconn.securing import CurveOptions

__all__ = ["secure"]


def secure(socket: zmq.Socket[bytes], curve: CurveOptions, *, listens: bool) -> None:
    """Have a socket encrypt; before it is bound or connected. A client without a key of its own gets one for this link.

    Raises:
        ConfigError: a key is none.
        BackendUnavailable: this build of libzmq has no CURVE.
    """
    if not zmq.has("curve"):
        raise BackendUnavailable("this build of libzmq cannot encrypt: pip install --force-reinstall pyzmq brings one that can")
    if curve.secret_key is None:
        public, secret = zmq.curve_keypair()
    else:
        secret = curve.secret_key.reveal()
        try:
            public = zmq.curve_public(secret)
        except (zmq.ZMQError, ValueError):
            # Without the cause, which may show the key.
            raise ConfigError("curve_secret_key is no key of CURVE: use the second that zmq.curve_keypair() returns") from None
    socket.setsockopt(zmq.CURVE_PUBLICKEY, public)
    socket.setsockopt(zmq.CURVE_SECRETKEY, secret)
    if listens:
        socket.setsockopt(zmq.CURVE_SERVER, 1)
        return
    assert curve.server_key is not None
    try:
        socket.setsockopt(zmq.CURVE_SERVERKEY, curve.server_key.encode())
    except (zmq.ZMQError, ValueError) as error:
        text = f"curve_server_key={curve.server_key!r} is no key of CURVE: use the listener's first of zmq.curve_keypair()"
        raise ConfigError(text) from error

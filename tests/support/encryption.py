"""The same tests on links that are encrypted, where `TESTS_ENCRYPT` is set."""

from __future__ import annotations

import os
from typing import Any

import zmq

from certificates import certificates

__all__ = ["encryption"]

_PUBLIC, _SECRET = zmq.curve_keypair()
"""The listener's, which the client uses as well."""


def encryption(backend: str) -> dict[str, Any]:
    """Return the settings of both ends, none unless they are to be encrypted."""
    if not os.environ.get("TESTS_ENCRYPT"):
        return {}
    if backend == "tcp":
        made = certificates()
        return {"encrypt": True, "tls_cert": made.server.cert, "tls_key": made.server.key, "tls_ca": made.ca}
    if backend == "zmq":
        return {"encrypt": True, "curve_secret_key": _SECRET, "curve_server_key": _PUBLIC.decode()}
    return {}

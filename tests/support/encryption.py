"""The same tests on links that are encrypted, where `TESTS_ENCRYPT` is set."""

from __future__ import annotations

import os
from typing import Any

from certificates import certificates

__all__ = ["encryption"]


def encryption(backend: str) -> dict[str, Any]:
    """Return the settings of both ends, none unless they are to be encrypted."""
    if not os.environ.get("TESTS_ENCRYPT"):
        return {}
    if backend == "tcp":
        made = certificates()
        return {"encrypt": True, "tls_cert": made.server.cert, "tls_key": made.server.key, "tls_ca": made.ca}
    return {}

"""The fixtures of the tests of faults. Those marked `long` run by `tox -e faults` only."""

from __future__ import annotations

import pytest

from connected import api, connect, descriptors, echo, line, listen, pair, pool, stack

__all__ = ["api", "connect", "descriptors", "echo", "line", "listen", "pair", "pool", "stack"]


@pytest.fixture(autouse=True)
def _over_sockets(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose the backend of other processes by the environment; leave out what has neither sockets nor other processes."""
    if "backend" in request.fixturenames:
        backend = request.getfixturevalue("backend")
        if backend == "memory":
            pytest.skip("memory has no sockets and reaches no other process")
        monkeypatch.setenv("TCPCONN_BACKEND", backend)

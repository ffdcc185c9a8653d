"""What all tests share: which backends there are to test."""

from __future__ import annotations

import os

import pytest

import tcpconn
from tcpconn.transport import load_transport

_CHOSEN = os.environ.get("TCPCONN_BACKEND")


def pytest_report_header() -> str:
    return f"tcpconn backends: {', '.join(_backends())}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that asks for a `backend` on each: on the one of TCPCONN_BACKEND if that is set, else on all."""
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", _backends(), scope="session")
    if "flavour" in metafunc.fixturenames:
        chosen = metafunc.definition.get_closest_marker("flavours")
        metafunc.parametrize("flavour", chosen.args if chosen is not None else ["blocking", "asyncio"])


def _backends() -> list[str]:
    return [_CHOSEN] if _CHOSEN else tcpconn.available_backends()


@pytest.fixture(autouse=True)
def _backend_present(request: pytest.FixtureRequest) -> None:
    """Skip what needs a backend whose package is missing; in CI that is a failure."""
    if "backend" in request.fixturenames:
        try:
            load_transport(request.getfixturevalue("backend"))
        except tcpconn.BackendUnavailable as error:
            if os.environ.get("CI"):
                pytest.fail(str(error))
            pytest.skip(str(error))

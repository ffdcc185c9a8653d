"""The option that commits new figures, and the counts of this run."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from figures import Figures, load, store

SUPPORT = Path(__file__).parents[1] / "support"
VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--write-figures", action="store_true", help="write what was counted into figures.toml, for the interpreter that runs"
    )


@pytest.fixture(scope="session")
def program() -> tuple[list[str], dict[str, str]]:
    """The command that drives the hot paths, and its environment: none of the user's settings is in it."""
    if sys.platform != "linux" or platform.python_implementation() != "CPython":
        pytest.skip("the figures are those of CPython on Linux")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TCPCONN_")}
    return [sys.executable, str(SUPPORT / "hot_paths.py")], {**environment, "PYTHONPATH": str(SUPPORT)}


@pytest.fixture(scope="session")
def counted(program: tuple[list[str], dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> Figures:
    """What was counted in this run."""
    command, environment = program
    done = subprocess.run(
        command, env=environment, cwd=tmp_path_factory.mktemp("counts"), capture_output=True, text=True, timeout=50, check=False
    )
    assert done.returncode == 0, done.stderr
    figures: Figures = json.loads(done.stdout)
    return figures


@pytest.fixture(scope="session")
def committed(request: pytest.FixtureRequest) -> Figures:
    """What the interpreter that runs may cost."""
    if request.config.getoption("--write-figures", default=False):
        store(VERSION, request.getfixturevalue("counted"))
    found = load().get(VERSION)
    if found is None:
        reason = f"no figures are committed for Python {VERSION}; `pytest tests/counts --write-figures` writes them"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found

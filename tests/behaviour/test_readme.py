"""The README's example of two processes, run as it would be pasted, on each backend that joins processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import tcpconn
from tcpconn.transport import load_transport

README = Path(__file__).parents[2] / "README.md"
DEADLINE = 50


@pytest.fixture(params=["tcp", "zmq"])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """What a user has who chose a backend by the variable and nothing else."""
    try:
        load_transport(request.param)
    except tcpconn.BackendUnavailable as error:
        if os.environ.get("CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TCPCONN_")}
    return {**kept, "TCPCONN_BACKEND": request.param, "PYTHON": sys.executable}


@pytest.fixture
def blocks() -> tuple[str, str]:
    """The server's and the client's text; with another port where the README's own is in use on this machine."""
    server, client = re.findall(r"^```sh\n(\.venv/bin/python - .*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 9000))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    return server.replace("9000", port), client.replace("9000", port)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder whose virtual environment is the one that this test runs in."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\nexec "$PYTHON" "$@"\n')
    python.chmod(0o755)
    return tmp_path


@pytest.fixture
def server(environment: dict[str, str], checkout: Path, blocks: tuple[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The first terminal, with a server that listens."""
    process = subprocess.Popen(
        ["sh", "-c", blocks[0]],
        env=environment,
        cwd=checkout,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith(f"{environment['TCPCONN_BACKEND']}: listening at 127.0.0.1:"), process.stderr
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_two_terminals_talk_with_the_pasted_example_and_ctrl_c_ends_the_server_in_silence(
    environment: dict[str, str], checkout: Path, blocks: tuple[str, str], server: subprocess.Popen[str]
) -> None:
    for _ in range(2):
        client = subprocess.run(
            ["sh", "-c", blocks[1]],
            env=environment,
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (client.returncode, client.stderr) == (0, "")
        *echoes, figures = client.stdout.splitlines()
        assert echoes == ["order 0", "order 1", "order 2"]
        assert figures.startswith("Stats(messages_sent=3,")
    os.killpg(server.pid, signal.SIGINT)
    assert server.communicate(timeout=DEADLINE) == ("", "")


def test_the_asyncio_server_of_the_readme_answers_clients_of_both_flavours(
    environment: dict[str, str], checkout: Path, blocks: tuple[str, str]
) -> None:
    server, client = re.findall(r"^```python\n(.*?aio\..*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    port = re.search(r"127\.0\.0\.1:(\d+)", blocks[1])
    assert port is not None
    main = textwrap.indent(client.replace("9000", port[1]), "    ")
    client = f"import asyncio\nfrom tcpconn import aio\n\n\nasync def main():\n{main}\n\nasyncio.run(main())\n"
    process = subprocess.Popen([sys.executable, "-c", server.replace("9000", port[1])], env=environment, cwd=checkout)
    try:
        for command, answer in (
            (["sh", "-c", blocks[1]], "order 0\norder 1\n"),
            ([sys.executable, "-c", client], "b'order 1'\n"),
        ):
            done = subprocess.run(
                command, env=environment, cwd=checkout, capture_output=True, text=True, timeout=DEADLINE, check=False
            )
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout.startswith(answer)
    finally:
        process.kill()
        process.wait()

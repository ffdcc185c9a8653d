"""Programs that tests run as processes of their own: `python programs.py ROLE ARGUMENT...`.

Each prints a line when it is ready, so that whoever started it can wait for that.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tcpconn

__all__ = ["running", "surroundings"]


def surroundings() -> dict[str, str]:
    """Return an environment in which a program finds the modules beside it, also where PYTHONSAFEPATH is set."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}


@contextmanager
def running(role: str, *arguments: str, script: str = __file__) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start a program; yield its process and the first line that it prints. It is killed in the end."""
    command = [sys.executable, str(Path(script)), role, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True, env=surroundings()) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def _echo(address: str) -> None:
    """Send back whatever comes, until killed."""

    def handler(connection: tcpconn.Connection) -> None:
        for message in connection:
            connection.send(message)

    with tcpconn.listen(address) as listener:
        print(listener.address, flush=True)
        tcpconn.serve(handler, listener)


def _silent(address: str) -> None:
    """Accept connections and read none of their messages, until killed."""
    with tcpconn.listen(address) as listener:
        print(listener.address, flush=True)
        kept = list(listener)
        assert kept


def _send_and_exit(address: str, count: str) -> None:
    """Send numbered messages and end without closing anything."""
    connection = tcpconn.connect(address, "hasty")
    for number in range(int(count)):
        connection.send(b"%d" % number)
    print("sent", flush=True)


def _send_large_and_exit(address: str, size: str) -> None:
    """Send one message that is longer than the credit, and end without closing anything."""
    tcpconn.connect(address, "hasty").send(bytes(int(size)))
    print("sent", flush=True)


def _send_and_die(address: str, count: str) -> None:
    """Send numbered messages, flush them and wait to be killed."""
    connection = tcpconn.connect(address, "doomed")
    for number in range(int(count)):
        connection.send(b"%d" % number)
    connection.flush()
    print("sent", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    program = sys.argv[1]
    if program == "echo":
        _echo(*sys.argv[2:])
    elif program == "silent":
        _silent(*sys.argv[2:])
    elif program == "send-large-and-exit":
        _send_large_and_exit(*sys.argv[2:])
    elif program == "send-and-exit":
        _send_and_exit(*sys.argv[2:])
    else:
        _send_and_die(*sys.argv[2:])

"""Servers for the benchmarks: each in a process of its own, started when first asked for and ended with the run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import cast

import pytest

import tcpconn
from tcpconn_bench.processes import WorkerProcess, gather
from tcpconn_bench.serving import Connect, Serve, serve
from tcpconn_bench.subjects import FLOORS, Endpoint, Subject, find, is_async

TIMEOUT = 30.0


@pytest.fixture(scope="session")
def workers() -> dict[str, WorkerProcess]:
    """The processes of the servers, by their addresses."""
    return {}


@pytest.fixture(scope="session")
def server(workers: dict[str, WorkerProcess]) -> Iterator[Serve]:
    """Return a function from the names of a subject and a service to the address of a server.

    A server of ours serves any number of connections, one after another and at a time. A floor serves one, so there is a
    new server for each.
    """
    addresses: dict[tuple[str, str], str] = {}
    with ExitStack() as stack:

        def start(subject: str, service: str) -> str:
            one_only = subject in FLOORS.values()
            if one_only or (subject, service) not in addresses:
                if subject == "memory":
                    address = _serve_in_a_thread(service, stack)
                else:
                    worker = WorkerProcess("server", subject)
                    stack.callback(worker.end)
                    worker.tell(do="serve", service=service, threads=not one_only)
                    address = gather([worker], TIMEOUT)[0]["address"]
                    workers[address] = worker
                addresses[subject, service] = address
            return addresses[subject, service]

        yield start


def _serve_in_a_thread(service: str, stack: ExitStack) -> str:
    """The memory backend reaches no other process."""
    listener = cast("Subject", find("memory")).listen()

    def serve_until_closed() -> None:
        with suppress(tcpconn.ConnectionClosed):
            serve(listener, service, threads=True)

    thread = threading.Thread(target=serve_until_closed, daemon=True)
    thread.start()
    stack.callback(thread.join, TIMEOUT)
    stack.callback(listener.close)
    return listener.address


@pytest.fixture
def connect(server: Serve) -> Iterator[Connect]:
    """Return a function from the names of a subject and a service to a connection, closed after the test."""
    with ExitStack() as stack:

        def open_one(subject: str, service: str) -> Endpoint:
            _skip_unless_available(subject)
            found = find(subject)
            assert not is_async(found)
            endpoint = cast("Subject", found).connect(server(subject, service))
            stack.callback(endpoint.close)
            return endpoint

        yield open_one


def _skip_unless_available(name: str) -> None:
    if name == "memory":
        return
    reason = find(name).unavailable()
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture(params=["tcp", "zmq", "memory"])
def backend(request: pytest.FixtureRequest) -> str:
    """Each backend of the library."""
    name: str = request.param
    if name not in tcpconn.available_backends():
        pytest.skip(f"backend {name!r} is not installed")
    _skip_unless_available(name)
    return name


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what the benchmarks have measured beside their times."""
    for report in terminalreporter.getreports("passed"):
        for title, text in report.user_properties:
            terminalreporter.write_line(f"{title}: {text}")

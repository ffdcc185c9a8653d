"""Servers that answer as long as they are asked: for benchmarks that do not know beforehand how often they will ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from tcpconn_bench.subjects.base import AsyncEndpoint, AsyncListener, Endpoint, Listener

__all__ = ["Connect", "Serve", "serve", "serve_asyncio"]

Serve = Callable[[str, str], str]
"""From the names of a subject and of a service to the address of a server that is running."""

Connect = Callable[[str, str], Endpoint]
"""From the names of a subject and of a service to a connection."""


def _echo(endpoint: Endpoint) -> None:
    """Send back whatever comes."""
    send = endpoint.send
    receive = endpoint.receive
    while True:
        send(receive())  # type: ignore[arg-type]


def _sink(endpoint: Endpoint) -> None:
    """Receive a number, then as many messages, and confirm them; and again."""
    while True:
        endpoint.receive_many(int(endpoint.receive()))
        endpoint.send(b"received")


def _source(endpoint: Endpoint) -> None:
    """Receive a number and a size, send as many messages of that size; and again."""
    while True:
        count, size = map(int, bytes(endpoint.receive()).split())
        endpoint.send_many([bytes(size)] * count)


_SERVICES: dict[str, Callable[[Endpoint], None]] = {"echo": _echo, "sink": _sink, "source": _source}


def serve(listener: Listener, service: str, *, threads: bool) -> None:
    """Give every connection the service, until the process ends.

    Args:
        listener: where connections come from.
        service: "echo", "sink" or "source".
        threads: a thread for each connection; else there is only one connection, served by this thread.
    """
    serve_one = _SERVICES[service]
    while threads:
        endpoint = listener.accept()
        threading.Thread(target=_until_closed, args=(serve_one, endpoint), daemon=True).start()
    serve_one(listener.accept())


def _until_closed(serve_one: Callable[[Endpoint], None], endpoint: Endpoint) -> None:
    try:
        try:
            serve_one(endpoint)
        finally:
            endpoint.close()
    except Exception as error:
        print(f"connection ended: {type(error).__name__}: {error}")


async def _echo_asyncio(endpoint: AsyncEndpoint) -> None:
    send = endpoint.send
    receive = endpoint.receive
    while True:
        await send(await receive())  # type: ignore[arg-type]


async def serve_asyncio(listener: AsyncListener, *, tasks: bool) -> None:
    """Echo on every connection, until the process ends.

    Args:
        listener: where connections come from.
        tasks: a task for each connection; else there is only one connection, served by this task.
    """
    if not tasks:
        await _echo_asyncio(await listener.accept())
    async with asyncio.TaskGroup() as group:
        while True:
            group.create_task(_until_closed_asyncio(await listener.accept()))


async def _until_closed_asyncio(endpoint: AsyncEndpoint) -> None:
    try:
        try:
            await _echo_asyncio(endpoint)
        finally:
            await endpoint.close()
    except Exception as error:
        print(f"connection ended: {type(error).__name__}: {error}")

"""Any subject of asyncio on uvloop's event loop in place of asyncio's own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from tcpconn_bench.subjects.base import AsyncEndpoint, AsyncListener, AsyncSubject, is_within_one_process

__all__ = ["OnUvloop"]


class OnUvloop:
    """The subject; what it does is what the other one does."""

    def __init__(self, subject: AsyncSubject, name: str) -> None:
        self._subject = subject
        self.name = name
        self.role = subject.role
        self.floor = subject.floor
        self.within_one_process = is_within_one_process(subject)

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        import uvloop

        return uvloop.new_event_loop()

    def unavailable(self) -> str | None:
        try:
            import uvloop  # noqa: F401
        except ImportError as error:
            return f"uvloop cannot be imported ({error}); install it with: pip install uvloop"
        return self._subject.unavailable()

    def settings(self) -> Mapping[str, Any]:
        # A backend's settings are those of its `Config`, which every backend's are compared by, and no more.
        settings = self._subject.settings()
        return settings if self.role in ("backend", "variant") else {**settings, "uvloop": version("uvloop")}

    async def listen(self) -> AsyncListener:
        return await self._subject.listen()

    async def connect(self, address: str, /) -> AsyncEndpoint:
        return await self._subject.connect(address)

"""The peer HTTP/1.1: aiohttp's server and client, a POST for each message over a connection that is kept alive.

aiohttp has both ends in one well-kept package, and both parse with the same C parser; its low-level server has no routing or
middleware, as its documents advise for whoever needs none. Bodies are not compressed, Nagle's algorithm is off by default.
See https://docs.aiohttp.org/en/stable/web_lowlevel.html and `calls` for what a message is: a round trip is one POST and its
response; a stream is one POST after another, each after the response to the one before it, as HTTP/1.1 clients do not pipeline
and order is asked for. A second connection is used only by a client that waits for a message while it sends others.
"""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from tcpconn_bench.subjects.base import AsyncEndpoint
from tcpconn_bench.subjects.calls import AnsweringEnd, CallingEnd
from tcpconn_bench.subjects.peers import Peer

if TYPE_CHECKING:
    from aiohttp import web

__all__ = ["HttpKeepAlive"]

_READ = 1024 * 1024
"""Bytes of a body that may wait to be read, 256 KiB otherwise: reading large ones stops and goes on less often."""

_IN_PIECES = 1024 * 1024
"""Bytes of a message from which on aiohttp's client asks for a file in place of bytes, which it sends piece by piece."""

_NUMBER = "Message-Number"
_OK, _NOTHING, _GONE = 200, 204, 410


class _Listener:
    """aiohttp's low-level server: one handler for all requests; each client has a path of its own."""

    def __init__(self) -> None:
        self._accepted: asyncio.Queue[AnsweringEnd] = asyncio.Queue()
        self._ends: dict[str, AnsweringEnd] = {}
        self._runner: web.ServerRunner
        self.address = ""

    async def start(self) -> None:
        from aiohttp import web

        self._response = web.Response
        self._runner = web.ServerRunner(web.Server(self._handle, access_log=None, read_bufsize=_READ))
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.address = f"{host}:{port}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        end = self._ends.get(request.path)
        match request.method:
            case "POST" | "GET" if end is not None:
                # Not by `request.read()`, which refuses more than 1 MiB.
                message = await request.content.read() if request.method == "POST" else None
                answer = await end.answer(int(request.headers[_NUMBER]), message)
                return self._response(status=_NOTHING) if answer is None else self._response(body=answer)
            case "PUT":
                end = self._ends[request.path] = AnsweringEnd()
                self._accepted.put_nowait(end)
                return self._response(status=_NOTHING)
            case "DELETE" if end is not None:
                self._ends.pop(request.path).hung_up()
                return self._response(status=_NOTHING)
            case _:
                return self._response(status=_GONE)

    async def accept(self) -> AsyncEndpoint:
        return await self._accepted.get()

    async def close(self) -> None:
        for end in self._ends.values():
            end.hung_up()
        await self._runner.cleanup()


class HttpKeepAlive(Peer):
    """The subject; see the module's text."""

    name = "http"
    needs: ClassVar[Mapping[str, str]] = {"aiohttp": "aiohttp"}
    options: ClassVar[Mapping[str, Any]] = {"message": "POST and response", "keep-alive": True, "read_bufsize": _READ}

    async def listen(self) -> _Listener:
        listener = _Listener()
        await listener.start()
        return listener

    async def connect(self, address: str) -> AsyncEndpoint:
        import aiohttp
        from yarl import URL

        connector = aiohttp.TCPConnector(limit=2)
        session = aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_READ,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None),
            raise_for_status=True,
        )
        # Parsed once: a URL as text is parsed anew for each request.
        url = URL(f"http://{address}/{uuid.uuid4().hex}")

        async def call(number: int, message: bytes | None) -> bytes | None:
            method = "GET" if message is None else "POST"
            body = io.BytesIO(message) if message is not None and len(message) > _IN_PIECES else message
            async with session.request(method, url, data=body, headers={_NUMBER: str(number)}) as response:
                answer = await response.read()
                return answer if response.status == _OK else None

        async def end() -> None:
            # The server may have closed first.
            with suppress(aiohttp.ClientError):
                async with session.delete(url):
                    pass
            await session.close()

        async with session.put(url):
            return CallingEnd(call, 1, end)

"""The peer Redis: a list for each direction of a connection, RPUSH to send and BLPOP to receive, and a server of its own.

Whoever listens starts a `redis-server` on a free port of the loopback interface, without persistence, and ends it with itself;
its processor time and memory are those of the server's side. redis-py parses with hiredis, as its documents advise, and streams
are pushed many at a time (RPUSH takes any number) and taken many at a time (LPOP with a count). Each push waits for Redis to
have the message, nothing waits for the receiver to have taken it: a list grows as long as its sender is the faster one.
See https://redis.io/docs/latest/commands/blpop/ and https://redis.io/docs/latest/develop/clients/redis-py/.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, cast

from tcpconn_bench.subjects.base import Endpoint, Message
from tcpconn_bench.subjects.brokers import Broker, find_program
from tcpconn_bench.subjects.peers import Peer, host_and_port

if TYPE_CHECKING:
    import redis

__all__ = ["RedisLists"]

_PROGRAM = "redis-server"
_ARGUMENTS = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no", "--loglevel", "notice")
_READY = "Ready to accept connections"
_TRIES = 5
_CLIENTS = "clients"

_BATCH = 128
_BATCH_BYTES = 256 * 1024
"""Messages, and bytes of them, that are pushed by one command."""


def _batches(messages: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    begin, size = 0, 0
    for index, message in enumerate(messages):
        if index > begin and (index - begin == _BATCH or size + len(message) > _BATCH_BYTES):
            yield messages[begin:index]
            begin, size = index, 0
        size += len(message)
    if begin < len(messages):
        yield messages[begin:]


def _client(address: str) -> redis.Redis:
    import redis

    host, port = host_and_port(address)
    return redis.Redis(host, port, socket_timeout=None)


class _Endpoint:
    """One end: pushes to one list, and pops from another. Where the other end says that it has gone, there is a third."""

    def __init__(self, address: str, identity: str, near: str, far: str) -> None:
        self._redis = _client(address)
        self._out = f"{identity}:{far}"
        self._in = f"{identity}:{near}"

    def send(self, message: bytes) -> None:
        self._redis.rpush(self._out, message)

    def send_many(self, messages: Sequence[bytes]) -> None:
        for batch in _batches(messages):
            self._redis.rpush(self._out, *batch)

    def receive(self) -> Message:
        # What has been sent is taken before it counts that the sender has gone.
        key, message = cast("tuple[bytes, bytes]", self._redis.blpop([self._in, f"{self._in}:end"], timeout=0))
        if len(key) != len(self._in):
            raise ConnectionError("the peer has gone")
        return message

    def receive_many(self, count: int) -> Sequence[Message]:
        found: list[Message] = []
        while len(found) < count:
            more = cast("list[bytes] | None", self._redis.lpop(self._in, count - len(found)))
            found += [self.receive()] if more is None else more
        return found

    def close(self) -> None:
        import redis

        # The side that has the server may have closed first.
        with suppress(redis.ConnectionError):
            self._redis.rpush(f"{self._out}:end", b"")
        self._redis.close()


class _Listener:
    """A Redis server, and the list to which clients push who they are."""

    def __init__(self) -> None:
        self._broker, self.address = self._start()
        self._redis = _client(self.address)

    def _start(self) -> tuple[Broker, str]:
        program = find_program(_PROGRAM)
        assert program is not None
        for left in reversed(range(_TRIES)):
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = free.getsockname()[1]
            try:
                return Broker([program, *_ARGUMENTS, "--port", str(port)], _READY), f"127.0.0.1:{port}"
            except OSError:
                # Somebody else may have taken the port meanwhile: Redis cannot choose one by itself.
                if not left:
                    raise
        raise AssertionError

    def accept(self) -> Endpoint:
        _, identity = cast("tuple[bytes, bytes]", self._redis.blpop([_CLIENTS], timeout=0))
        return _Endpoint(self.address, identity.decode(), "server", "client")

    def close(self) -> None:
        self._redis.close()
        self._broker.close()


class RedisLists(Peer):
    """The subject; see the module's text."""

    name = "redis"
    needs: ClassVar[Mapping[str, str]] = {"redis": "redis", "hiredis": "hiredis"}
    options: ClassVar[Mapping[str, Any]] = {"server": " ".join(_ARGUMENTS), "pushed at a time": _BATCH}

    def unavailable(self) -> str | None:
        missing = None if find_program(_PROGRAM) else f"there is no {_PROGRAM} on the path"
        return super().unavailable() or missing

    def listen(self) -> _Listener:
        return _Listener()

    def connect(self, address: str) -> Endpoint:
        identity = uuid.uuid4().hex
        end = _Endpoint(address, identity, "client", "server")
        end._redis.rpush(_CLIENTS, identity)
        return end

"""What users hand over to be sent, made into the `bytes` that the engine keeps, and buffers partly sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from tcpconn.transport import Buffer

__all__ = ["ReadableFile", "chunks", "rest_of", "to_bytes"]


class ReadableFile(Protocol):
    """A file opened for reading bytes."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, nothing at the end."""
        ...


def to_bytes(message: object) -> bytes:
    """Copy a bytes-like object.

    Raises:
        TypeError: it is none.
    """
    try:
        return memoryview(message).tobytes()  # type: ignore[arg-type]
    except TypeError:
        hint = "; encode text first, as in message.encode()" if isinstance(message, str) else ""
        raise TypeError(f"a message is a bytes-like object, not {type(message).__name__}{hint}") from None


def chunks(source: Iterable[Buffer] | ReadableFile, size: int) -> Iterator[bytes]:
    """Yield what an iterable or a file holds, cut so that no piece is longer than `size` bytes and none is empty.

    Raises:
        TypeError: the source is one message, a file opened for text, or yields something that is not bytes-like.
        BlockingIOError: a non-blocking file has nothing to read now, which is not its end.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        raise TypeError(f"a stream is an iterable of bytes-like objects or a file, not {type(source).__name__}; use send()")
    read = getattr(source, "read", None)
    for piece in source if read is None else _pieces_of_file(read, size):  # type: ignore[union-attr]
        payload = piece if type(piece) is bytes else to_bytes(piece)
        if len(payload) <= size:
            if payload:
                yield payload
            continue
        for start in range(0, len(payload), size):
            yield payload[start : start + size]


def _pieces_of_file(read: Callable[[int], Any], size: int) -> Iterator[Any]:
    while True:
        piece = read(size)
        if piece is None:
            raise BlockingIOError("the file has nothing to read now and does not block; open it for blocking reads")
        if isinstance(piece, str):
            raise TypeError("the file is opened for text; open it for bytes, with mode 'rb'")
        if not piece:
            return
        yield piece


def rest_of(buffers: Sequence[Any], taken: int) -> list[bytes | memoryview] | None:
    """Return what is left of `buffers` after `taken` bytes, or None if nothing is."""
    for index, buffer in enumerate(buffers):
        if taken < len(buffer):
            return [memoryview(buffer)[taken:] if taken else buffer, *buffers[index + 1 :]]
        taken -= len(buffer)
    return None

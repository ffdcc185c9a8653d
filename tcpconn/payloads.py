"""What users hand over to be sent, made into the `bytes` that the engine keeps, and buffers partly sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
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
    """Yield what an iterable or a file holds, cut so that no piece is longer than `size` bytes and none is empty."""
    read = getattr(source, "read", None)
    if read is not None:
        while chunk := read(size):
            yield chunk
        return
    for piece in source:  # type: ignore[union-attr]
        payload = piece if type(piece) is bytes else to_bytes(piece)
        if len(payload) <= size:
            if payload:
                yield payload
            continue
        for start in range(0, len(payload), size):
            yield payload[start : start + size]


def rest_of(buffers: Sequence[Any], taken: int) -> list[bytes | memoryview] | None:
    """Return what is left of `buffers` after `taken` bytes, or None if nothing is."""
    for index, buffer in enumerate(buffers):
        if taken < len(buffer):
            return [memoryview(buffer)[taken:] if taken else buffer, *buffers[index + 1 :]]
        taken -= len(buffer)
    return None

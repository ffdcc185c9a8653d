"""The messages that a comparison sends: read from a file or directory of the user's, byte for byte, or made of a size.

Knows file formats and nothing of transports. What a path holds is decided so, unless the format is given:

- a directory: each regular file below it is a message, in the order of their relative paths; names that begin with a
  dot are left out, at any depth;
- a name ending in `.jsonl`, `.ndjson` or `.json`: JSON Lines; in `.msgpack`, `.mpack` or `.mp`: msgpack objects one
  after another;
- any other name, by its content: JSON Lines if the first line that is not blank is a JSON value; msgpack if the first
  byte is no ASCII character (every ASCII text would pass as a row of msgpack's small numbers); else an error.

A JSON line is kept byte for byte without its newline, blank lines are left out; a msgpack object is kept as encoded. With
`timestamps` each has a time besides, which stays part of the message.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import msgpack

from tcpconn_bench.sizes import label
from tcpconn_bench.timestamps import MODIFIED, TimestampError, in_order, read

__all__ = ["CORPUS", "DEFAULT_LIMIT", "FORMATS", "MessageSet", "MessagesError", "describe_all", "load", "made_of_size"]

CORPUS = Path(__file__).parent / "corpus" / "aws-api-examples.jsonl"
FORMATS = ("auto", "jsonl", "lines", "msgpack", "directory")
DEFAULT_LIMIT = 256 * 1024 * 1024
"""How many bytes of messages are read at most; each of the comparison's processes holds them all."""

_SUFFIXES = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".msgpack": "msgpack",
    ".mpack": "msgpack",
    ".mp": "msgpack",
}
_LENGTH = 8
_QUANTILES = (0.0, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0)

_MADE_BYTES = 4 * 1024 * 1024
_MADE_LEAST = 4
_MADE_MOST = 1021
"""How much is made of a size: different messages, so that one in another's place is noticed, and not more than a processor's
cache holds, which would measure that. A prime number of small ones, so that no two batches in a row are the same."""


class MessagesError(ValueError):
    """There is nothing to send; the text names the path and says what was expected of it."""


@dataclass(frozen=True, slots=True)
class MessageSet:
    """Messages, and where they came from.

    Attributes:
        source: the path as the user gave it.
        format: one of `FORMATS`, never "auto".
        messages: their exact bytes, in order.
        truncated: whether the source holds more than was taken.
        size: the length of each of them, if they were made to have it.
        times: when each was recorded, in seconds from the first on, if that is known.
    """

    source: str
    format: str
    messages: list[bytes]
    truncated: bool = False
    size: int | None = None
    times: list[float] | None = None

    @property
    def total_bytes(self) -> int:
        """The length of all messages together."""
        return sum(map(len, self.messages))

    @property
    def sha256(self) -> str:
        """A hash of the messages, their order and where each ends."""
        digest = hashlib.sha256()
        for message in self.messages:
            digest.update(len(message).to_bytes(_LENGTH, "big"))
            digest.update(message)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write the messages for `restore` in another process; the source itself may be readable only once."""
        with path.open("wb") as file:
            for message in self.messages:
                file.write(len(message).to_bytes(_LENGTH, "big"))
                file.write(message)

    @staticmethod
    def restore(path: Path) -> list[bytes]:
        """Read the messages that `save` wrote.

        One by one, so that nothing large is freed: malloc would take that as a sign to keep memory for blocks of its size,
        and what is measured afterwards would need no pages of its own. A subject that takes new memory for each message of
        64 KiB had 1.8 page faults a message; after the whole file had been read at once it had none.
        """
        messages: list[bytes] = []
        with path.open("rb") as file:
            while length := file.read(_LENGTH):
                messages.append(file.read(int.from_bytes(length, "big")))
        return messages

    def describe(self) -> dict[str, Any]:
        """Return what a result file says about the messages."""
        sizes = sorted(map(len, self.messages))
        last = len(sizes) - 1
        return {
            "source": self.source,
            "format": self.format,
            "count": len(sizes),
            "total_bytes": sum(sizes),
            "truncated": self.truncated,
            "sha256": self.sha256,
            "lasts_seconds": None if self.times is None else self.times[-1],
            "sizes": {
                "mean": sum(sizes) / len(sizes),
                **{f"p{100 * quantile:g}": sizes[round(quantile * last)] for quantile in _QUANTILES},
            },
        }


def load(
    path: str | Path | None = None, *, format: str = "auto", limit: int = DEFAULT_LIMIT, timestamps: str | None = None
) -> MessageSet:
    """Read the messages at `path`, or the corpus that comes with the package.

    Args:
        path: a file or a directory.
        format: what it holds, one of `FORMATS`; "lines" takes every line as a message, whatever is in it.
        limit: of a file, read this many bytes and take what is whole in them; of a directory, take files as long as
            they come to no more than this together.
        timestamps: the field of each message that has the time at which it was recorded, see `timestamps.read`; of a directory
            "mtime", when each file was modified. The messages are then in the order of their times.

    Raises:
        MessagesError: nothing is there, it cannot be read, it holds no message, is not of its format, or has no times.
    """
    place = CORPUS if path is None else Path(path)
    source = f"corpus:{CORPUS.name}" if path is None else str(path)
    modified: list[float] | None = None
    try:
        if place.is_dir() and format in ("auto", "directory"):
            kind = "directory"
            found, modified, truncated = _read_directory(place, limit)
        else:
            with place.open("rb") as file:
                data = file.read(limit)
                truncated = bool(file.read(1))
            if not data:
                raise MessagesError(f"{place} is empty: it holds no message")
            kind = _detect(place, data) if format == "auto" else format
            found = _parse(place, data, kind, truncated)
    except OSError as error:
        raise MessagesError(f"cannot read {error.filename or place}: {error.strerror or error}") from error
    if not found:
        where = f" that is whole within its first {limit} bytes" if truncated else ""
        raise MessagesError(f"{place} holds no message{where}")
    if timestamps is None:
        return MessageSet(source, kind, found, truncated)
    try:
        times = modified if modified is not None and timestamps == MODIFIED else read(found, kind, timestamps)
    except TimestampError as error:
        raise MessagesError(f"{place}: {error}") from error
    found, times = in_order(found, times)
    return MessageSet(source, kind, found, truncated, times=times)


def made_of_size(size: int) -> MessageSet:
    """Return messages of `size` bytes that cannot be compressed, the same ones each time, all different if size allows."""
    source = Random(f"tcpconn compare {size}")
    count = min(max(_MADE_BYTES // size, _MADE_LEAST), _MADE_MOST)
    return MessageSet(f"random bytes, {label(size)}", "random", [source.randbytes(size) for _ in range(count)], size=size)


def describe_all(sets: Sequence[MessageSet]) -> dict[str, Any]:
    """Return what a result file says about the messages of all sets together."""
    if len(sets) == 1:
        return sets[0].describe()
    source = "random bytes, " + ", ".join(label(one.size) for one in sets if one.size is not None)
    return MessageSet(source, "random", [message for one in sets for message in one.messages]).describe()


def _read_directory(place: Path, limit: int) -> tuple[list[bytes], list[float], bool]:
    """Return the files' contents, when each was modified, and whether there are more."""
    names = sorted(
        (path.relative_to(place) for path in place.rglob("*") if path.is_file()),
        key=lambda name: name.as_posix(),
    )
    found: list[bytes] = []
    modified: list[float] = []
    total = 0
    for name in names:
        if any(part.startswith(".") for part in name.parts):
            continue
        about = (place / name).stat()
        total += about.st_size
        if total > limit:
            return found, modified, True
        found.append((place / name).read_bytes())
        modified.append(about.st_mtime)
    return found, modified, False


def _detect(place: Path, data: bytes) -> str:
    if place.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[place.suffix.lower()]
    try:
        json.loads(data.lstrip().split(b"\n", 1)[0])
    except ValueError:
        if data[0] >= 0x80:
            return "msgpack"
    else:
        return "jsonl"
    raise MessagesError(
        f"{place} is neither JSON Lines nor msgpack objects, judging by its first bytes {data[:16]!r}: give it a name "
        f"that ends in .jsonl or .msgpack, or say what it is with --format ({', '.join(FORMATS)})"
    )


def _parse(place: Path, data: bytes, kind: str, truncated: bool) -> list[bytes]:
    match kind:
        case "msgpack":
            return _split_msgpack(place, data, truncated)
        case "jsonl":
            return _check_json(place, _split_lines(data, truncated))
        case "lines":
            return _split_lines(data, truncated)
        case "directory":
            raise MessagesError(f"{place} is no directory")
        case _:
            raise MessagesError(f"there is no message format {kind!r}: use one of {', '.join(FORMATS)}")


def _split_lines(data: bytes, truncated: bool) -> list[bytes]:
    lines = data.split(b"\n")
    if truncated or not lines[-1]:
        lines.pop()
    return lines


def _check_json(place: Path, lines: list[bytes]) -> list[bytes]:
    """Return the lines that are not blank; each must be a JSON value."""
    for number, line in enumerate(lines, 1):
        try:
            if line.strip():
                json.loads(line)
        except ValueError as error:
            raise MessagesError(
                f"line {number} of {place} is not JSON: {error} (--format lines takes lines as they are)"
            ) from error
    return [line for line in lines if line.strip()]


def _split_msgpack(place: Path, data: bytes, truncated: bool) -> list[bytes]:
    unpacker = msgpack.Unpacker(max_buffer_size=len(data))
    unpacker.feed(data)
    found: list[bytes] = []
    start = 0
    while start < len(data):
        try:
            unpacker.skip()
        except msgpack.OutOfData as error:
            if truncated:
                break
            raise MessagesError(f"{place} ends within the msgpack object that begins at byte {start}") from error
        except (ValueError, msgpack.UnpackException) as error:
            reason = str(error) or type(error).__name__
            raise MessagesError(f"{place} is not msgpack: bad object at byte {start}: {reason}") from error
        end = unpacker.tell()
        found.append(data[start:end])
        start = end
    return found

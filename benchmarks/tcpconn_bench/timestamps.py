"""When each of the user's messages was recorded, for a replay: read from the messages themselves, or from their files.

Knows what times look like, and nothing of where messages come from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import msgpack

__all__ = ["MODIFIED", "TimestampError", "in_order", "read"]

MODIFIED = "mtime"
"""The field that stands for the time at which a file of a directory was modified."""

_EPOCHS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""Numbers from so many on are no seconds since 1970, but nano-, micro- or milliseconds: 10¹¹ s are in the year 5138."""


class TimestampError(ValueError):
    """A message has no time; the text says which one and why."""


def read(messages: Sequence[bytes], kind: str, field: str) -> list[float]:
    """Return the time of each message in seconds since whatever its clock began with.

    Args:
        messages: JSON or msgpack objects.
        kind: which of the two: "jsonl" or "msgpack".
        field: the key under which each has its time, with dots between keys within keys. A time is a number of seconds (or, in
            numbers that large, of milli-, micro- or nanoseconds since 1970), a text as ISO 8601 has it, or a msgpack timestamp.

    Raises:
        TimestampError: one has none, or messages of this kind have no fields.
    """
    if kind not in ("jsonl", "msgpack"):
        raise TimestampError(f"messages of the format {kind!r} have no field {field!r}; JSON Lines and msgpack have fields")
    times: list[float] = []
    for number, message in enumerate(messages, 1):
        value = _decode(message, kind)
        for key in field.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value is None:
            raise TimestampError(f"message {number} has no field {field!r}")
        try:
            times.append(_seconds(value))
        except ValueError as error:
            raise TimestampError(f"message {number}: {field} is {value!r}, and that is no time") from error
    return times


def in_order(messages: Sequence[bytes], times: Sequence[float]) -> tuple[list[bytes], list[float]]:
    """Return the messages in the order of their times, and those in seconds from the first; at the same time as they were."""
    order = sorted(range(len(times)), key=times.__getitem__)
    first = times[order[0]]
    return [messages[index] for index in order], [times[index] - first for index in order]


def _decode(message: bytes, kind: str) -> Any:
    if kind == "jsonl":
        return json.loads(message)
    # Timestamps as numbers, and keys of any type, for they are the user's.
    return msgpack.unpackb(message, timestamp=1, strict_map_key=False)


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            moment = datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise ValueError(value)
    return value / next((factor for least, factor in _EPOCHS if value >= least), 1)

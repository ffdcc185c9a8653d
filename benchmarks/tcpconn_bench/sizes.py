"""Sizes of messages as people write them: `100`, `1KiB`, `1.5MB`. Needs nothing beyond the standard library."""

from __future__ import annotations

import re

__all__ = ["LARGEST", "label", "parse", "parse_list"]

LARGEST = 64 * 1024 * 1024
"""Each process of a comparison holds several messages of a size."""

_UNITS = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "kib": 1024,
    "mb": 1000**2,
    "mib": 1024**2,
}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE)


def parse(text: str) -> int:
    """Return the number of bytes that `text` stands for.

    Raises:
        ValueError: it is no size, or no whole number of bytes, or nothing.
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError(f"{text.strip()!r} is no size; write bytes, or a number with KB, KiB, MB or MiB")
    size = float(found[1]) * _UNITS[found[2].lower()]
    if not size.is_integer() or size < 1:
        raise ValueError(f"{text.strip()!r} is not allowed; allowed is a whole number of bytes, 1 or more")
    return int(size)


def parse_list(text: str) -> tuple[int, ...]:
    """Return the sizes of messages between the commas of `text` in their order, each once.

    Raises:
        ValueError: as for `parse`, or there is none, or one is beyond `LARGEST`.
    """
    sizes = tuple(dict.fromkeys(parse(part) for part in text.split(",") if part.strip()))
    if not sizes:
        raise ValueError("there is no size; write for example 100,1KiB,64KiB")
    if max(sizes) > LARGEST:
        raise ValueError(f"messages of {label(max(sizes))} are not allowed; allowed is up to {label(LARGEST)}")
    return sizes


def label(size: int) -> str:
    """Return a size in the largest unit that it is a whole number of."""
    for unit, factor in (("MiB", 1024**2), ("MB", 1000**2), ("KiB", 1024), ("KB", 1000)):
        if size >= factor and size % factor == 0:
            return f"{size // factor} {unit}"
    return f"{size:,} B"

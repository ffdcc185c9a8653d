"""The workloads by name, in the order in which they are measured and shown. Needs nothing beyond the standard library."""

from __future__ import annotations

__all__ = ["DEFAULT", "NAMES", "RECONNECT", "REPLAY", "parse", "written"]

NAMES = ("round_trip", "stream", "in_flight", "clients", "fan_in", "beside_bulk", "slow_reader", "churn", "reconnect", "replay")

RECONNECT = "reconnect"
REPLAY = "replay"

DEFAULT = NAMES[:2]
"""Those that are measured if nothing else is said."""


def written(name: str) -> str:
    """Return a name as people write it."""
    return name.replace("_", "-")


def parse(text: str) -> tuple[str, ...]:
    """Return the names between the commas of `text`, or all of them for `all`.

    Raises:
        ValueError: there is none, or one is no workload.
    """
    wanted = [part.strip().replace("-", "_") for part in text.split(",") if part.strip()]
    if wanted == ["all"]:
        return NAMES
    unknown = [name for name in wanted if name not in NAMES]
    if unknown or not wanted:
        name = written(unknown[0]) if unknown else text
        raise ValueError(f"{name!r} is no workload; there are {', '.join(map(written, NAMES))}, and all")
    return tuple(name for name in NAMES if name in wanted)

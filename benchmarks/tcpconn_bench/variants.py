"""Backends with some of their settings changed: `tcp:busy_poll=0` is the backend tcp measured again without polling.

A variant is named by its key alone, so both processes of it, and the one that compares, find the same settings. Whether a
setting exists and takes the value is for `tcpconn.Config` to say. Needs nothing beyond the standard library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ABLATION", "ABLATION_BACKEND", "SWITCHES", "Variant", "is_variant", "parse"]

ABLATION_BACKEND = "tcp"
SWITCHES = (
    "busy_poll=0",
    "coalesce=false",
    "leader_followers=false",
    "gather=false",
    "receive_in_place=false",
    "read_ahead=false",
    "reuse_buffers=false",
    "unpaced_loopback=false",
)
"""What turns each technique off by which tcp gets its speed."""

ABLATION = tuple(f"{ABLATION_BACKEND}:{switch}" for switch in SWITCHES)
"""The keys of the variants that show what each technique is worth."""

_WORDS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False, "none": None}


@dataclass(frozen=True, slots=True)
class Variant:
    """A backend with other settings.

    Attributes:
        base: the subject that is changed: a backend, with `-asyncio` for that API.
        settings: the settings that are changed, with their values.
        text: the same as it is written.
    """

    base: str
    settings: Mapping[str, Any]
    text: str

    @property
    def key(self) -> str:
        """By which its processes find it."""
        return f"{self.base}:{self.text}"

    @property
    def name(self) -> str:
        """Its name in tables and results."""
        return f"{self.base} {self.text}"


def is_variant(key: str) -> bool:
    """Whether a subject's key is that of a variant; a subject from elsewhere is `module:name`, which has no `=`."""
    return ":" in key and "=" in key


def parse(key: str) -> Variant:
    """Return the variant that is written `BACKEND:SETTING=VALUE,SETTING=VALUE…`.

    Raises:
        ValueError: it is written otherwise.
    """
    base, _, text = key.partition(":")
    pairs = [part.partition("=") for part in text.split(",")]
    settings = {name.strip(): _value(value.strip()) for name, _, value in pairs}
    if not base.strip() or len(settings) < len(pairs) or not all(name.strip() and value.strip() for name, _, value in pairs):
        raise ValueError(f"{key!r} is no variant; write BACKEND:SETTING=VALUE, further settings behind commas")
    if "backend" in settings:
        raise ValueError(f"{key!r} is no variant: the backend stands before the colon")
    text = ",".join(f"{name.strip()}={value.strip()}" for name, _, value in pairs)
    return Variant(base.strip(), settings, text)


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

"""The committed figures of the hot paths: reading, writing, comparing."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

__all__ = ["FILE", "Figures", "complaints", "load", "margin", "store"]

Figures = dict[str, dict[str, float]]
"""What was counted, by the path and what it is."""

FILE = Path(__file__).parents[1] / "counts" / "figures.toml"

_HEAD = """\
# What the hot paths cost, for each version of Python; see tests/counts/test_counts.py. Written, for the interpreter that runs,
# by `pytest tests/counts --write-figures`.

# How far a count may be from its figure, as a part of it, up or down.
"""

_ROUNDING = 0.05
"""Counts of 0.1 and the like are means of some rounds; so much in either direction is no change."""


def load(file: Path = FILE) -> dict[str, Figures]:
    """Return the figures by the version of Python."""
    return {name: value for name, value in _read(file).items() if name != "margin"}


def margin(file: Path = FILE) -> float:
    """Return how far a count may be from its figure, as a part of it."""
    return float(_read(file)["margin"])


def _read(file: Path) -> dict[str, Any]:
    return tomllib.loads(file.read_text(encoding="utf-8"))


def store(version: str, figures: Figures, file: Path = FILE) -> None:
    """Put the figures of one version in place of those that the file has for it."""
    lines = [_HEAD, f"margin = {margin(file)}\n\n"]
    for one, paths in sorted({**load(file), version: figures}.items()):
        for path, counts in paths.items():
            lines.append(f'["{one}"."{path}"]\n')
            lines += [f'"{what}" = {round(count, 2)}\n' for what, count in counts.items()]
            lines.append("\n")
    file.write_text("".join(lines).rstrip() + "\n", encoding="utf-8")


def complaints(path: str, counted: dict[str, float], committed: dict[str, float], allowed: float) -> list[str]:
    """Return a sentence for each count that is further from its figure than is allowed, and for each that has none."""
    found = []
    for what in dict.fromkeys((*committed, *counted)):
        if what not in counted or what not in committed:
            found.append(f"{path}: {what}: {'is not counted any more' if what in committed else 'has no committed figure'}")
            continue
        count, figure = counted[what], committed[what]
        if abs(count - figure) <= allowed * figure + _ROUNDING:
            continue
        advice = (
            "it costs more than it did: find out what is new on this path; if it is meant, commit the new figure"
            if count > figure
            else "it costs less than it did: commit the better figure, so that it stays"
        )
        found.append(f"{path}: {what}: {count:g}, committed {figure:g}, margin {allowed:.0%}; {advice}")
    return found

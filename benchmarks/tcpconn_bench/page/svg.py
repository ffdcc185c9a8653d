"""Pieces of static SVG that take their colours from the page's style sheet. Knows no figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

__all__ = [
    "COLOURS",
    "LETTER",
    "MARKERS",
    "Look",
    "clipped",
    "drawing",
    "line",
    "looks",
    "mark",
    "path",
    "rendered",
    "swatch",
    "text",
]

COLOURS = 7
"""How many colours of series the style sheet has: classes `c0`, `c1`, …"""

MARKERS = ("circle", "square", "diamond", "triangle", "cross", "down", "plus", "star")
DASHES = ("", "6 3", "2 2", "8 3 2 3", "4 2 1 2 1 2")
"""Solid for what is not a floor; its floors' lines are broken."""

_CORNERS = {
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    "triangle": [(0, -1.25), (1.2, 0.95), (-1.2, 0.95)],
    "down": [(0, 1.25), (1.2, -0.95), (-1.2, -0.95)],
    "cross": [
        *((-1.2, -0.7), (-0.7, -1.2), (0, -0.5), (0.7, -1.2), (1.2, -0.7), (0.5, 0)),
        *((1.2, 0.7), (0.7, 1.2), (0, 0.5), (-0.7, 1.2), (-1.2, 0.7), (-0.5, 0)),
    ],
    "plus": [
        *((-0.4, -1.3), (0.4, -1.3), (0.4, -0.4), (1.3, -0.4), (1.3, 0.4), (0.4, 0.4)),
        *((0.4, 1.3), (-0.4, 1.3), (-0.4, 0.4), (-1.3, 0.4), (-1.3, -0.4), (-0.4, -0.4)),
    ],
    "star": [
        *((0, -1.45), (0.35, -0.45), (1.4, -0.45), (0.55, 0.2), (0.85, 1.2)),
        *((0, 0.6), (-0.85, 1.2), (-0.55, 0.2), (-1.4, -0.45), (-0.35, -0.45)),
    ],
}
"""The outlines of markers with straight sides, of radius 1."""

LETTER = 0.58
"""An average letter's width in the size of its font, generously."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a subject is told apart: no two subjects have the same colour and marker, so no colour alone says which it is."""

    colour: int
    marker: str
    dash: str
    strong: bool

    @property
    def classes(self) -> str:
        """The classes of what is drawn of it."""
        return f"c{self.colour}{' strong' if self.strong else ''}"


def looks(roles: Sequence[tuple[str, str]]) -> dict[str, Look]:
    """Return the look of each subject, given names and roles in the result's order, in which floors follow their backends."""
    found: dict[str, Look] = {}
    family = floors = -1
    for index, (name, role) in enumerate(roles):
        floor = role == "floor" and family >= 0
        family, floors = (family, floors + 1) if floor else (family + 1, 0)
        colour = family % COLOURS
        used = {look.marker for look in found.values() if look.colour == colour}
        turned = [MARKERS[(index + step) % len(MARKERS)] for step in range(len(MARKERS))]
        marker = next((one for one in turned if one not in used), turned[0])
        dash = DASHES[1 + (floors - 1) % (len(DASHES) - 1)] if floor else ""
        found[name] = Look(colour, marker, dash, role == "backend")
    return found


def drawing(width: float, height: float, title: str, description: str) -> Element:
    """Return an empty picture that scales with its column; title and description are for those who do not see it."""
    root = Element("svg", {"viewBox": f"0 0 {_number(width)} {_number(height)}", "role": "img", "class": "chart"})
    root.set("aria-label", f"{title}. {description}")
    return root


def line(parent: Element, x1: float, y1: float, x2: float, y2: float, classes: str) -> Element:
    """Draw a straight line."""
    places = {"x1": x1, "y1": y1, "x2": x2, "y2": y2}
    return SubElement(parent, "line", {**{name: _number(value) for name, value in places.items()}, "class": classes})


def path(parent: Element, points: Iterable[tuple[float, float]], look: Look) -> Element:
    """Draw a line through points."""
    places = " ".join(f"{_number(x)},{_number(y)}" for x, y in points)
    attributes = {"points": places, "class": f"line {look.classes}"}
    if look.dash:
        attributes["stroke-dasharray"] = look.dash
    return SubElement(parent, "polyline", attributes)


def text(parent: Element, x: float, y: float, content: str, classes: str = "", *, hint: str | None = None) -> Element:
    """Write text; `hint` is shown to who points at it."""
    element = SubElement(parent, "text", {"x": _number(x), "y": _number(y), **({"class": classes} if classes else {})})
    element.text = content
    if hint is not None:
        element.text = None
        title = SubElement(element, "title")
        title.text = hint
        title.tail = content
    return element


def mark(
    parent: Element, x: float, y: float, look: Look, hint: str = "", *, hollow: bool = False, radius: float = 3.6
) -> Element:
    """Draw a subject's marker; a hollow one says that nothing is shown."""
    element = SubElement(parent, "path", {"d": _outline(look.marker, x, y, radius)})
    element.set("class", f"mark {look.classes}{' hollow' if hollow else ''}")
    if hint:
        SubElement(element, "title").text = hint
    return element


def swatch(look: Look) -> Markup:
    """Return a piece of a subject's line with its marker, for a legend."""
    root = Element("svg", {"viewBox": "0 0 30 12", "class": "swatch", "aria-hidden": "true"})
    path(root, [(1, 6), (29, 6)], look)
    mark(root, 15, 6, look, radius=4)
    return rendered(root)


def rendered(root: Element) -> Markup:
    """Return a picture as HTML has it; whatever text is in it has been escaped."""
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def clipped(content: str, room: float, size: float) -> str:
    """Return as much of a text as about fits into so many units in a font of that size."""
    letters = int(room / (size * LETTER))
    return content if len(content) <= letters else f"{content[: max(1, letters - 1)]}…"


def _outline(marker: str, x: float, y: float, radius: float) -> str:
    if marker == "circle":
        size, width = _number(radius), _number(2 * radius)
        return f"M{_number(x - radius)},{_number(y)}a{size},{size} 0 1 0 {width},0a{size},{size} 0 1 0 -{width},0z"
    return (
        "M"
        + "L".join(f"{_number(x + across * radius)},{_number(y + down * radius)}" for across, down in _CORNERS[marker])
        + "z"
    )


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")

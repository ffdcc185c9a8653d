"""The pictures of a page: distributions, curves against size, rates, and ratios with their intervals.

Each is drawn for a column of a phone's width and scales with the column that it gets. Beside each picture stands what tells its
lines apart, with figures; a picture of bars has its names and figures in itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from markupsafe import Markup

from tcpconn_bench.measurements import Measurement
from tcpconn_bench.page import svg
from tcpconn_bench.page.scales import Scale, linear, logarithmic, logit, thinned
from tcpconn_bench.page.svg import Look
from tcpconn_bench.sizes import label
from tcpconn_bench.stats import Ratio
from tcpconn_bench.units import duration, figure_name, more_is_better, rounded, told
from tcpconn_bench.units import times as times_told

__all__ = ["Entry", "Panel", "RatioRow", "against_size", "distribution", "rates", "ratios"]

WIDTH = 340
_PLOT_HEIGHT = 236
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 36
_ROW = 36
_FONT = 11.5
_BOLD = 1.1
"""How much wider bold letters are."""
_MARKED = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
"""Shares at which a distribution has its markers."""
_LOWEST_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a legend: the piece of the subject's line, its name, and figures of it."""

    swatch: Markup
    name: str
    figures: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with what stands around it.

    Attributes:
        title: what is shown.
        picture: the SVG.
        headings: of the legend's figures.
        legend: its entries; none if the picture names its bars itself.
        note: a sentence below, or nothing.
    """

    title: str
    picture: Markup
    headings: tuple[str, ...] = ()
    legend: tuple[Entry, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class RatioRow:
    """A bar of `ratios`: whose it is, how it looks, and the ratio."""

    name: str
    look: Look
    ratio: Ratio


def distribution(title: str, found: Mapping[str, Measurement], looks: Mapping[str, Look]) -> Panel | None:
    """Draw the cumulative distributions of times, or return None if nobody has one.

    A share is drawn as far as there are times beyond it: of a thousand up to 99.9 %.
    """
    curves = {name: points for name, one in found.items() if (points := _supported(one))}
    if not curves:
        return None
    highest = max(points[-1][1] for points in curves.values())
    if highest <= 0.5:
        return None
    across = logarithmic((time for points in curves.values() for time, _ in points), _LEFT, WIDTH - _RIGHT)
    up = logit(_LOWEST_SHARE, highest, _PLOT_HEIGHT - _BOTTOM, _TOP)
    order = sorted(curves, key=lambda name: found[name].value("p50") or 0.0)
    medians = ", ".join(f"{name} {_value(found[name], 'p50')}" for name in order)
    root = svg.drawing(WIDTH, _PLOT_HEIGHT, title, f"Share of messages that took no longer than a time. Medians: {medians}")
    _axes(root, across, up, lambda time: rounded(duration(time)), _share)
    svg.text(root, WIDTH - _RIGHT, _PLOT_HEIGHT - 4, "no longer than", "axis end")
    # What is to be chosen lies on top.
    for name in sorted(curves, key=lambda name: looks[name].strong):
        svg.path(root, [(across(time), up(share)) for time, share in curves[name]], looks[name])
        for time, share in curves[name]:
            if share in _MARKED:
                svg.mark(
                    root, across(time), up(share), looks[name], f"{name}: {_share(share)} took no longer than {duration(time)}"
                )
    legend = [Entry(svg.swatch(looks[name]), name, (_value(found[name], "p50"), _value(found[name], "p99"))) for name in order]
    return Panel(title, svg.rendered(root), ("median", "p99"), tuple(legend))


def against_size(
    title: str, figure: str, by_size: Mapping[int, Mapping[str, Measurement]], looks: Mapping[str, Look]
) -> Panel | None:
    """Draw a figure against the size of messages, or return None if nobody has it at two sizes."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for size in sorted(by_size):
        for name, one in by_size[size].items():
            value = one.value(figure)
            if value is not None and value > 0:
                curves.setdefault(name, []).append((size, value))
    curves = {name: points for name, points in curves.items() if len(points) > 1}
    if not curves:
        return None
    across = logarithmic((size for points in curves.values() for size, _ in points), _LEFT, WIDTH - _RIGHT)
    across.ticks = sorted(size for size in by_size)
    up = logarithmic((value for points in curves.values() for _, value in points), _PLOT_HEIGHT - _BOTTOM, _TOP)
    order = sorted(curves, key=lambda name: curves[name][-1][1], reverse=more_is_better(figure))
    largest = max(by_size)
    at_largest = ", ".join(f"{name} {told(figure, curves[name][-1][1])}" for name in order if curves[name][-1][0] == largest)
    root = svg.drawing(WIDTH, _PLOT_HEIGHT, title, f"{figure_name(figure)} against size. At {label(largest)}: {at_largest}")
    _axes(root, across, up, lambda size: label(int(size)), lambda value: rounded(told(figure, value)))
    svg.text(root, WIDTH - _RIGHT, _PLOT_HEIGHT - 4, "size of messages", "axis end")
    for name in sorted(curves, key=lambda name: looks[name].strong):
        svg.path(root, [(across(size), up(value)) for size, value in curves[name]], looks[name])
        for size, value in curves[name]:
            svg.mark(root, across(size), up(value), looks[name], f"{name}, {label(size)}: {told(figure, value)}")
    legend = tuple(
        Entry(svg.swatch(looks[name]), name, (told(figure, curves[name][0][1]), told(figure, curves[name][-1][1])))
        for name in order
    )
    ends = (label(min(by_size)), label(largest))
    return Panel(title, svg.rendered(root), ends, legend)


def rates(title: str, figure: str, found: Mapping[str, Measurement], looks: Mapping[str, Look]) -> Panel | None:
    """Draw a figure of each subject as a bar from zero, with the range of the rounds; None if nobody has it."""
    values = {name: value for name, one in found.items() if (value := one.value(figure)) is not None}
    if not values:
        return None
    spans = {name: span for name in values if (span := found[name].span(figure)) is not None}
    order = sorted(values, key=lambda name: values[name], reverse=more_is_better(figure))
    scale = linear(max([*values.values(), *(high for _, high in spans.values())]), 8, WIDTH - _RIGHT)
    said = "; ".join(f"{name} {told(figure, values[name])}" for name in order)
    root, top = _rows(len(order), title, f"{figure_name(figure)}: {said}", scale, lambda value: rounded(told(figure, value)))
    for index, name in enumerate(order):
        y = top + index * _ROW
        _labels(root, y, name, told(figure, values[name]))
        _bar(root, scale(0), scale(values[name]), y, looks[name])
        if name in spans:
            _whisker(root, scale(spans[name][0]), scale(spans[name][1]), y)
        svg.mark(root, scale(values[name]), y + 22, looks[name], f"{name}: {told(figure, values[name])}")
    return Panel(title, svg.rendered(root), note="The thin line goes from the least to the greatest of the rounds.")


def ratios(title: str, rows: Sequence[RatioRow], *, more_is_better: bool) -> Panel | None:
    """Draw ratios as bars from 1 with their 95 % intervals, in the given order; None if there is none."""
    if not rows:
        return None
    ends = [value for row in rows for value in (row.ratio.ratio, row.ratio.low, row.ratio.high) if value is not None]
    scale = logarithmic([1.0, *ends], 8, WIDTH - _RIGHT, margin=0.06)
    said = "; ".join(f"{row.name} {_shown(row.ratio)}" for row in rows)
    root, top = _rows(len(rows), title, said, scale, lambda value: f"{value:g}", extra=14)
    bottom = top + len(rows) * _ROW
    svg.line(root, scale(1), top - 4, scale(1), bottom, "one")
    left, right = ("worse", "better") if more_is_better else ("better", "worse")
    svg.text(root, 8, bottom + 29, f"← {left}", "axis start")
    svg.text(root, WIDTH - _RIGHT, bottom + 29, f"{right} →", "axis end")
    for index, row in enumerate(rows):
        y, ratio = top + index * _ROW, row.ratio
        certain = ratio.low is not None and ratio.high is not None and not ratio.low <= 1 <= ratio.high
        _labels(root, y, row.name, _shown(ratio) if certain or ratio.low is None else "no difference shown")
        _bar(root, scale(1), scale(ratio.ratio), y, row.look, faint=not certain)
        if ratio.low is not None and ratio.high is not None:
            _whisker(root, scale(ratio.low), scale(ratio.high), y)
        svg.mark(root, scale(ratio.ratio), y + 22, row.look, f"{row.name}: {_shown(ratio)}", hollow=not certain)
    return Panel(title, svg.rendered(root))


def _shown(ratio: Ratio) -> str:
    """Return a ratio with what its interval says."""
    if ratio.low is None or ratio.high is None:
        return f"{times_told([ratio.ratio])} (too few rounds)"
    interval = times_told([ratio.low, ratio.high])
    if ratio.low <= 1 <= ratio.high:
        return f"no difference shown ({interval})"
    return f"{times_told([ratio.ratio])} ({interval})"


def _supported(one: Measurement) -> list[tuple[float, float]]:
    """Return a distribution's points up to the share beyond which there are no times."""
    count = one.timed
    return [
        (time, share) for time, share in one.curve if _LOWEST_SHARE <= share < 1 and time > 0 and (1 - share) * count > 0.999
    ]


def _axes(
    root: Element, across: Scale, up: Scale, across_told: Callable[[float], str], up_told: Callable[[float], str]
) -> None:
    bottom = _PLOT_HEIGHT - _BOTTOM
    for tick in up.ticks:
        svg.line(root, _LEFT, up(tick), WIDTH - _RIGHT, up(tick), "grid")
    for tick in thinned(up, up.ticks, 13):
        # The lowest one is kept clear of those below.
        svg.text(root, _LEFT - 5, min(up(tick) + 4, bottom), up_told(tick), "tick end")
    for tick in across.ticks:
        svg.line(root, across(tick), _TOP, across(tick), bottom, "grid")
    longest = max((len(across_told(tick)) for tick in across.ticks), default=1)
    for tick in thinned(across, across.ticks, longest * _FONT * svg.LETTER + 6):
        _tick(root, across(tick), bottom + 15, across_told(tick))
    svg.line(root, _LEFT, bottom, WIDTH - _RIGHT, bottom, "base")


def _rows(
    count: int, title: str, description: str, scale: Scale, tick_told: Callable[[float], str], *, extra: float = 0
) -> tuple[Element, float]:
    """Return a picture of rows, each with a line of text above its bar, and the first row's place."""
    top = 6.0
    bottom = top + count * _ROW
    root = svg.drawing(WIDTH, bottom + 20 + extra, title, description)
    for tick in scale.ticks:
        svg.line(root, scale(tick), top - 4, scale(tick), bottom, "grid")
    longest = max((len(tick_told(tick)) for tick in scale.ticks), default=1)
    for tick in thinned(scale, scale.ticks, longest * _FONT * svg.LETTER + 6):
        _tick(root, scale(tick), bottom + 14, tick_told(tick))
    svg.line(root, scale.start, bottom, scale.end, bottom, "base")
    return root, top


def _tick(root: Element, x: float, y: float, content: str) -> None:
    """Write a tick's label below its place, within the picture also at either end."""
    half = len(content) * _FONT * svg.LETTER / 2
    svg.text(root, min(max(x, half + 1), WIDTH - half - 1), y, content, "tick middle")


def _labels(root: Element, y: float, name: str, value: str) -> None:
    room = WIDTH - 8 - _RIGHT - (len(value) + 1.5) * _FONT * svg.LETTER
    svg.text(root, 8, y + 12, svg.clipped(name, room, _FONT * _BOLD), "name", hint=name)
    svg.text(root, WIDTH - _RIGHT, y + 12, value, "value end")


def _bar(root: Element, start: float, end: float, y: float, look: Look, *, faint: bool = False) -> None:
    places = {"x": min(start, end), "y": y + 18, "width": max(abs(end - start), 0.5), "height": 8}
    classes = f"bar {look.classes}{' faint' if faint else ''}"
    SubElement(root, "rect", {**{name: f"{value:.1f}" for name, value in places.items()}, "class": classes})


def _whisker(root: Element, low: float, high: float, y: float) -> None:
    # What lies below it is kept off, so that it is seen on a bar of any colour.
    for classes in ("whisker around", "whisker"):
        svg.line(root, low, y + 22, high, y + 22, classes)
        for x in (low, high):
            svg.line(root, x, y + 17.5, x, y + 26.5, classes)


def _value(one: Measurement, figure: str) -> str:
    value = one.value(figure)
    return "-" if value is None else told(figure, value)


def _share(share: float) -> str:
    return f"{share * 100:g} %"

"""From values to places along an axis, and which values an axis names. Knows numbers alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

__all__ = ["Scale", "linear", "logarithmic", "logit", "thinned"]


class Scale:
    """Maps values between `low` and `high` to places between `start` and `end`; values beyond them are put at the ends."""

    def __init__(
        self, low: float, high: float, start: float, end: float, ticks: Sequence[float], form: Callable[[float], float]
    ) -> None:
        self.low, self.high, self.start, self.end = low, high, start, end
        self.ticks = list(ticks)
        self._form = form
        self._from, self._to = form(low), form(high)

    def __call__(self, value: float) -> float:
        """Return a value's place."""
        share = (self._form(min(max(value, self.low), self.high)) - self._from) / (self._to - self._from)
        return self.start + share * (self.end - self.start)


def linear(high: float, start: float, end: float) -> Scale:
    """Return a scale from zero."""
    high = high if high > 0 else 1.0
    step = _nice_step(high, 4)
    ticks = [step * index for index in range(int(high / step + 1e-9) + 1)]
    return Scale(0.0, high, start, end, ticks, float)


def logarithmic(values: Iterable[float], start: float, end: float, *, margin: float = 0.04) -> Scale:
    """Return a logarithmic scale with room for positive values, and some more on either side."""
    found = [value for value in values if value > 0] or [1.0]
    low, high = min(found), max(found)
    if high / low < 1.02:
        low, high = low / 1.01, high * 1.01
    room = (high / low) ** margin
    low, high = low / room, high * room
    return Scale(low, high, start, end, _log_ticks(low, high), math.log10)


def logit(low: float, high: float, start: float, end: float) -> Scale:
    """Return a scale of shares that gives the tails of a distribution the room that they need: each further nine as much."""
    ticks = [share for share in (0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999) if low <= share <= high]
    return Scale(low, high, start, end, ticks, lambda share: math.log10(share / (1 - share)))


def thinned(scale: Scale, ticks: Sequence[float], room: float) -> list[float]:
    """Return those of the ticks whose labels have room, so many units apart; the first one always."""
    kept: list[float] = []
    for tick in ticks:
        if not kept or abs(scale(tick) - scale(kept[-1])) >= room:
            kept.append(tick)
    return kept


def _log_ticks(low: float, high: float) -> list[float]:
    """Return round values: tens, with two and five between them if there are few, or equal steps within a narrow range."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits, enough in (((1,), 3), ((1, 2, 5), 3)):
        ticks = [digit * 10.0**exponent for exponent in exponents for digit in digits]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= enough:
            return ticks
    step = _nice_step(high - low, 5)
    first = math.ceil(low / step)
    return [round(step * index, 12) for index in range(first, math.floor(high / step) + 1) if step * index > 0]


def _nice_step(span: float, parts: int) -> float:
    """Return 1, 2 or 5 times a power of ten that divides a span into about so many parts."""
    rough = span / parts
    power = 10.0 ** math.floor(math.log10(rough))
    return next(digit * power for digit in (1, 2, 5, 10) if digit * power >= rough * 0.999)

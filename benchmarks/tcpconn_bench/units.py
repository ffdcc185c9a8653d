"""What a figure of a result is called, in which unit it is told, and whether more of it is better.

Knows figures by their names alone: those of a result that are not named here are told by the name that they have there.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "byte_count",
    "capital",
    "duration",
    "figure_name",
    "is_rate",
    "is_time",
    "more_is_better",
    "quantity",
    "rounded",
    "times",
    "told",
    "workload_name",
]

_TIMES = {
    "p50": "median",
    "p90": "p90",
    "p99": "p99",
    "p999": "p99.9",
    "p9999": "p99.99",
    "max": "longest",
    "mean": "mean",
}
_NAMES = {
    **_TIMES,
    "kept": "share of the rate kept",
    "messages_per_second": "messages/s",
    "megabytes_per_second": "MB/s",
    "cpu_seconds_per_million_messages": "CPU s per million messages",
    "peak_memory": "peak memory",
}
_WORKLOADS = {
    "stream": "one-way stream",
    "in_flight": "requests in flight",
    "clients": "many clients",
    "fan_in": "fan-in",
    "beside_bulk": "requests beside bulk",
    "slow_reader": "stream beside a slow reader",
    "churn": "connect, ask and close",
    "reconnect": "first answer after a cut",
}
_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def figure_name(figure: str) -> str:
    """Return what a figure is called."""
    return _NAMES.get(figure) or _spaced(figure.removesuffix("_per_second")) + ("/s" if is_rate(figure) else "")


def workload_name(workload: str) -> str:
    """Return what a workload is called."""
    return _WORKLOADS.get(workload) or _spaced(workload)


def capital(name: str) -> str:
    """Return a name as a sentence begins with it."""
    return name[:1].upper() + name[1:]


def is_time(figure: str) -> bool:
    """Whether a figure is a time in seconds, also one of something particular, as `alone_p50`."""
    return figure.rpartition("_")[2] in (*_TIMES, "seconds")


def is_rate(figure: str) -> bool:
    """Whether a figure is a number of something in a second."""
    return figure.endswith("_per_second")


def more_is_better(figure: str) -> bool:
    """Whether more of a figure is better; of times, and of whatever is not known here, less is."""
    return is_rate(figure) or figure == "kept"


def told(figure: str, value: float) -> str:
    """Return a figure's value with its unit, unless that is in its name."""
    if is_time(figure):
        return duration(value)
    if is_rate(figure):
        return quantity(value)
    if figure.endswith("memory"):
        return byte_count(value)
    return f"{value:,.0f}" if value >= 1000 else _digits(value)


def duration(seconds: float) -> str:
    """Return a time with three digits, in the unit that suits it."""
    for factor, unit in ((1, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor * 0.9995:
            return f"{_digits(seconds / factor)} {unit}"
    return f"{_digits(seconds * 1e9)} ns"


def quantity(value: float) -> str:
    """Return a number with three digits: `645 k`, `1.01 M`."""
    for factor, suffix in _SUFFIXES:
        if value >= factor * 0.9995:
            return f"{_digits(value / factor)} {suffix}"
    return _digits(value)


def byte_count(value: float) -> str:
    """Return a number of bytes in decimal units."""
    return f"{quantity(value)}B" if value >= 999.5 else f"{_digits(value)} B"


def times(values: Sequence[float]) -> str:
    """Return a ratio, or its interval from one value to another, without its unit: `0.97 to 1.06`."""
    interval = len(values) > 1
    shown = [_factor(value, interval) for value in values]
    return shown[0] if len(set(shown)) == 1 else f"{shown[0]} to {shown[-1]}"


def rounded(text: str) -> str:
    """Return a value as it is told without zeros at its end, as on an axis: `20 µs` for `20.0 µs`."""
    number, space, unit = text.partition(" ")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + space + unit


def _factor(value: float, interval: bool) -> str:
    if interval and value != 1 and 0.995 <= value < 1.005:
        # On which side of 1 it is must be seen.
        return f"{value:.4f}"
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}" if value >= 0.0995 else f"{value:.2g}"


def _digits(value: float) -> str:
    """Return a number with three digits, or two if the first of them would be a leading one behind the point."""
    if value >= 99.95:
        return f"{value:,.0f}"
    if value >= 9.995:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.0995 or value == 0 else f"{value:.2g}"


def _spaced(name: str) -> str:
    return name.replace("_", " ").strip()

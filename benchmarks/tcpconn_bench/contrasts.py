"""How two subjects stand to each other in one figure of one case, and that in words. Knows no rule but the interval's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from tcpconn_bench.measurements import Case, Measurement, advantage
from tcpconn_bench.results import CPU
from tcpconn_bench.sizes import label
from tcpconn_bench.stats import Ratio
from tcpconn_bench.units import capital, figure_name, is_rate, is_time, more_is_better, told, workload_name
from tcpconn_bench.units import times as times_told

__all__ = ["SLIGHT", "Contrast", "Standing", "contrast", "sentences"]

SLIGHT = 1.05
"""A difference of less than this is shown where it is certain, and decides nothing."""


class Standing(Enum):
    """What the interval of a ratio says."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "no difference shown"
    UNSURE = "too few rounds"


@dataclass(frozen=True, slots=True)
class Contrast:
    """How one subject stands to another.

    Attributes:
        case, figure: what was measured.
        subject, other: their names.
        value, other_value: their medians.
        advantage: how many times as good the subject is: above 1 is better, of times as of rates.
        won, rounds: in how many of the rounds that both have it was better.
    """

    case: Case
    figure: str
    subject: str
    other: str
    value: float
    other_value: float
    advantage: Ratio
    won: int
    rounds: int

    @property
    def standing(self) -> Standing:
        """What can be said for certain."""
        low, high = self.advantage.low, self.advantage.high
        if low is None or high is None:
            return Standing.UNSURE
        if low > 1:
            return Standing.BETTER
        return Standing.WORSE if high < 1 else Standing.SAME

    @property
    def slight(self) -> bool:
        """Whether the difference is too small to decide by."""
        return 1 / SLIGHT < self.advantage.ratio < SLIGHT


def contrast(case: Case, figure: str, one: Measurement, other: Measurement) -> Contrast | None:
    """Return how one subject stands to another, or None if they have no round in common with that figure."""
    found = advantage(one, other, figure)
    value, other_value = one.value(figure), other.value(figure)
    if found is None or value is None or other_value is None:
        return None
    both = [
        (one.rounds[number][figure], other.rounds[number][figure])
        for number in one.rounds
        if number in other.rounds and figure in one.rounds[number] and figure in other.rounds[number]
    ]
    won = sum(mine > theirs if more_is_better(figure) else mine < theirs for mine, theirs in both)
    return Contrast(case, figure, one.subject, other.subject, value, other_value, found, won, len(both))


def sentences(contrasts: Sequence[Contrast]) -> Iterator[str]:
    """Yield sentences, one for all sizes of a workload at which the same can be said of a figure of the same two subjects."""
    groups: dict[tuple[object, ...], list[Contrast]] = {}
    for one in contrasts:
        certain = one.standing in (Standing.BETTER, Standing.WORSE)
        ahead = one.standing is Standing.UNSURE and one.advantage.ratio >= 1
        key = (one.subject, one.other, one.case.workload, one.figure, one.standing, certain and one.slight, ahead)
        groups.setdefault(key, []).append(one)
    for group in groups.values():
        yield _sentence(group)


def _sentence(group: Sequence[Contrast]) -> str:
    first = group[0]
    sizes = ", ".join(label(one.case.size) for one in group if one.case.size is not None)
    where = f"{capital(workload_name(first.case.workload))}{f' of {sizes}' if sizes else ''} ({figure_name(first.figure)})"
    values = ""
    if len(group) == 1:
        values = f"; {first.subject} {told(first.figure, first.value)}, {first.other} {told(first.figure, first.other_value)}"
    if first.standing is Standing.SAME:
        interval = f"the ratio is within {times_told(_span(group))}"
        return f"{where}: no difference shown between {first.subject} and {first.other} ({interval}{values})."
    won, rounds = sum(one.won for one in group), sum(one.rounds for one in group)
    ratios = sorted(one.advantage.ratio for one in group)
    span = [] if first.standing is Standing.UNSURE else _span(group)
    better, worse = first.subject, first.other
    if ratios[0] < 1:
        better, worse, won = worse, better, rounds - won
        ratios, span = sorted(1 / ratio for ratio in ratios), sorted(1 / end for end in span)
    if span:
        how_sure = f"95 % interval{'' if len(group) == 1 else 's within'} {times_told(span)}"
    else:
        how_sure = f"not certain: in {won} of {_count(rounds)}"
    slight = "; so little decides nothing" if span and first.slight else ""
    return f"{where}: {_more(first.figure, better, worse, [ratios[0], ratios[-1]])} ({how_sure}{values}){slight}."


def _count(rounds: int) -> str:
    return "1 round" if rounds == 1 else f"{rounds} rounds"


def _span(group: Sequence[Contrast]) -> list[float]:
    """Return the ends of the intervals of several ratios together."""
    lows = [one.advantage.low for one in group if one.advantage.low is not None]
    highs = [one.advantage.high for one in group if one.advantage.high is not None]
    return [min(lows), max(highs)]


def _more(figure: str, better: str, worse: str, factors: Sequence[float]) -> str:
    """Return in words that one subject is so many times as good as another."""
    many = f"{times_told(factors)} times"
    if is_rate(figure):
        what = "as many messages" if figure == "messages_per_second" else "as much"
        return f"{better} carries {many} {what} as {worse}"
    if is_time(figure):
        return f"{worse} takes {many} as long as {better}"
    if figure == CPU:
        return f"{worse} takes {many} the processor time of {better}"
    if more_is_better(figure):
        return f"{better} has {many} the {figure_name(figure)} of {worse}"
    return f"{worse} has {many} the {figure_name(figure)} of {better}"

"""What a row of the table is: a figure of every round, its peer's in the same rounds, and the goal for one or the ratio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tcpconn_bench.stats import median, median_ratio

__all__ = ["Figure", "Goal", "Group", "at_least", "at_most", "print_figures"]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound for a figure, or for its ratio to the peer's.

    Attributes:
        bound: the bound itself.
        upper: whether the figure may be at most that, else it has to be at least that.
        of_ratio: whether it is for the ratio.
    """

    bound: float
    upper: bool
    of_ratio: bool

    def __str__(self) -> str:
        return f"{'≤' if self.upper else '≥'} {self.bound:g}{' x' if self.of_ratio else ''}"

    def met_by(self, value: float) -> bool:
        """Whether a value keeps to the bound."""
        return value <= self.bound if self.upper else value >= self.bound


def at_most(bound: float, *, ratio: bool = True) -> Goal:
    """Return an upper bound, of the ratio if nothing else is said."""
    return Goal(bound, upper=True, of_ratio=ratio)


def at_least(bound: float, *, ratio: bool = True) -> Goal:
    """Return a lower bound, of the ratio if nothing else is said."""
    return Goal(bound, upper=False, of_ratio=ratio)


@dataclass(slots=True)
class Figure:
    """One row.

    Attributes:
        what: what was measured.
        unit: of the values.
        goal: what is asked of it, or None.
        peer: what it is set beside, or "".
        values: one of each round.
        beside: the peer's of the same rounds; none where there is no peer.
    """

    what: str
    unit: str
    goal: Goal | None = None
    peer: str = ""
    values: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)

    def add(self, value: float, beside: float | None = None) -> None:
        """Add what one round measured."""
        self.values.append(value)
        if beside is not None:
            self.beside.append(beside)

    @property
    def ratio(self) -> float | None:
        """The median of the ratios round by round."""
        return median_ratio(self.values, self.beside)

    @property
    def difference(self) -> float | None:
        """The median of the differences round by round."""
        pairs = list(zip(self.values, self.beside, strict=False))
        return median([value - other for value, other in pairs]) if pairs else None

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        value = self.ratio if self.goal.of_ratio else median(self.values)
        return value is not None and self.goal.met_by(value)

    def result(self) -> dict[str, Any]:
        """Return the row as JSON can hold it."""
        return {
            "what": self.what,
            "unit": self.unit,
            "figure": median(self.values),
            "peer": self.peer or None,
            "peer_figure": median(self.beside) if self.beside else None,
            "difference": self.difference,
            "ratio": self.ratio,
            "goal": None if self.goal is None else str(self.goal),
            "met": self.met,
            "rounds": self.values,
            "peer_rounds": self.beside,
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that are measured together.

    Attributes:
        name: by which it is chosen.
        title: for people.
        measure: takes the number of rounds and returns the rows.
    """

    name: str
    title: str
    measure: Callable[[int], Sequence[Figure]]


def print_figures(title: str, figures: Iterable[Figure], console: Console) -> None:
    """Print rows as a table."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    table.add_column("what")
    for heading in ("figure", "floor", "difference", "ratio", "goal"):
        table.add_column(heading, justify="right")
    table.add_column("met?")
    for figure in figures:
        difference, ratio, met = figure.difference, figure.ratio, figure.met
        table.add_row(
            figure.what,
            f"{_number(median(figure.values))} {figure.unit}",
            f"{_number(median(figure.beside))} ({figure.peer})" if figure.beside else "",
            "" if difference is None else f"{_number(difference)}",
            "" if ratio is None else f"{ratio:.2f}",
            "" if figure.goal is None else str(figure.goal),
            "" if met is None else "yes" if met else "NO",
        )
    console.print(table)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"

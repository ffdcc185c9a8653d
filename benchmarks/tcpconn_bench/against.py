"""What has become faster or slower since an earlier result. Knows result files, and measures nothing.

Where a subject and its floor are in both results, its ratio to the floor round by round is what is compared, for a machine is
not equally fast every day; else its figures as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tcpconn_bench.measurements import ResultError
from tcpconn_bench.measurements import load as read_result
from tcpconn_bench.results import COMPARED
from tcpconn_bench.stats import Ratio, paired, ratio_between

__all__ = ["AgainstError", "Change", "changes", "load"]

Rounds = Sequence[Mapping[str, Any]]
"""Of one subject with messages of one size: of each round, workload by workload, its figures."""

_RATES = {"messages_per_second", "megabytes_per_second"}
"""The compared figures of which more is better."""


class AgainstError(ValueError):
    """The file cannot be compared with; the text is for the user."""


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure of one subject stands to the earlier result.

    Attributes:
        subject: its name.
        size: the messages' size in bytes, or None.
        workload, figure: what was measured.
        floor: the name of the subject to which both were set in ratio, or None.
        slowdown: above 1 is worse, whatever the figure: more time, or a lower rate.
    """

    subject: str
    size: int | None
    workload: str
    figure: str
    floor: str | None
    slowdown: Ratio

    def regressed(self, fail_over: float) -> bool:
        """Whether it is certainly worse, and by more than a share of `fail_over`."""
        low = self.slowdown.low
        return low is not None and low > 1 and self.slowdown.ratio > 1 + fail_over


def load(path: Path, sha256: str) -> dict[str, Any]:
    """Return an earlier result.

    Args:
        path: a file that `tcpconn compare --json` wrote.
        sha256: of the messages that are going to be measured.

    Raises:
        AgainstError: it cannot be read, is no such file, or was measured with other messages.
    """
    try:
        found = read_result(path)
        source, before = found["messages"]["source"], found["messages"]["sha256"]
        empty = not found["subjects"]
    except ResultError as error:
        raise AgainstError(str(error)) from error
    except KeyError as error:
        raise AgainstError(f"{path} is no result of 'tcpconn compare --json'") from error
    if empty:
        raise AgainstError(f"{path} holds no measured subject")
    if before != sha256:
        raise AgainstError(f"{path} was measured with other messages: {source}; give the same --messages or --sizes")
    return found


def changes(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[Change]:
    """Return what became of every compared figure of the subjects that are in both results."""
    found: list[Change] = []
    for name, subject in new["subjects"].items():
        for size, rounds in _rounds(subject):
            before = dict(_rounds(old["subjects"].get(name, {}))).get(size)
            if not before:
                continue
            beside, beside_before = (
                dict(_rounds(one["subjects"].get(subject["floor"], {}))).get(size, ()) for one in (new, old)
            )
            for workload, figures in COMPARED.items():
                has_floor = _has(beside, workload) and _has(beside_before, workload)
                for figure in figures:
                    values = _values(rounds, beside if has_floor else None, workload, figure)
                    earlier = _values(before, beside_before if has_floor else None, workload, figure)
                    slowdown = ratio_between(earlier, values) if figure in _RATES else ratio_between(values, earlier)
                    if slowdown is not None:
                        floor = subject["floor"] if has_floor else None
                        found.append(Change(name, size, workload, figure, floor, slowdown))
    return found


def _rounds(subject: Mapping[str, Any]) -> Iterator[tuple[int | None, Rounds]]:
    """Yield the rounds of each size of messages that a subject was measured with."""
    if subject.get("rounds"):
        yield None, subject["rounds"]
    for one in subject.get("by_size", ()):
        if one["rounds"]:
            yield one["size"], one["rounds"]


def _has(rounds: Rounds, workload: str) -> bool:
    return any(workload in one for one in rounds)


def _values(rounds: Rounds, beside: Rounds | None, workload: str, figure: str) -> list[float]:
    """Return a figure of every round that has it, in ratio to that of another subject if there is one."""
    if beside is None:
        return [one[workload][figure] for one in rounds if workload in one]
    both = [(one, other) for one, other in zip(rounds, beside, strict=False) if workload in one and workload in other]
    return paired([one[workload][figure] for one, _ in both], [other[workload][figure] for _, other in both])

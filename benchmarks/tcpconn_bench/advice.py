"""Which backend to choose for the measured workload, and why, in words that follow from the figures alone.

Backends are compared with each other in what decides: the median of a workload's times and its rate, at each size. One is
chosen that nowhere is shown to be worse than another, and somewhere to be better; a difference that is not certain, or less
than `SLIGHT`, decides nothing. Everything else that is said of the chosen one (its slowest messages, its processor time, how it
stands to what it is built on and to others' libraries) qualifies the choice and does not make it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tcpconn_bench.contrasts import SLIGHT, Contrast, Standing, contrast, sentences
from tcpconn_bench.measurements import Case, Measurement, cases, measurements, planned_rounds
from tcpconn_bench.results import COMPARED, CPU
from tcpconn_bench.sizes import label
from tcpconn_bench.stats import LEAST_ROUNDS
from tcpconn_bench.subjects import ASYNCIO, UNIX
from tcpconn_bench.units import is_rate, workload_name

__all__ = ["Advice", "Section", "advise", "deciding", "whereabouts"]

REACH = {UNIX: "within one machine", "memory": "within one process"}
"""Backends that do not reach every peer, which therefore are not chosen where one is that does."""


Choose = Callable[[str, Iterable[str]], list[str]]
"""Which of the figures of a workload are looked at."""


@dataclass(frozen=True, slots=True)
class Section:
    """Sentences about one thing."""

    title: str
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """What follows from a result for one of the APIs.

    Attributes:
        api: "blocking" or "asyncio".
        headline: the choice in one sentence.
        summary: how sure it is, in another.
        reasons: how the backends stand to each other in what decides.
        sections: what else is to be known of the chosen one.
        cautions: what went wrong or is missing.
        chosen: the backend's name, or None if the figures choose none.
    """

    api: str
    headline: str
    summary: str
    reasons: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    cautions: tuple[str, ...] = ()
    chosen: str | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    """A choice without what stands around it; `leaders` are those that nobody is shown to be better than."""

    headline: str
    summary: str
    leaders: tuple[str, ...]


def deciding(workload: str, figures: Iterable[str]) -> list[str]:
    """Return which of a workload's figures decide: those by which it is compared, but for what it took.

    Of a workload that is not known here these are the median of its times, and its rate.
    """
    names = list(figures)
    if workload in COMPARED:
        return [name for name in COMPARED[workload] if name in names and name != CPU]
    rates = [name for name in names if is_rate(name)]
    return [*(["p50"] if "p50" in names else []), *([name for name in rates if name == "messages_per_second"] or rates[:1])]


def whereabouts(result: Mapping[str, Any]) -> str:
    """Return what is to be borne in mind of where the two ends were."""
    server = result["environment"].get("options", {}).get("server")
    if server:
        return f"The servers were at {server}, the clients on the machine described here."
    told = (
        "Both ends were on one machine, with no network between them. What a network takes comes on top of each time, the same "
        "for all, so that ratios are nearer to 1 between two machines; tcpconn serve-bench measures that."
    )
    if str(result["environment"].get("tcp_congestion_control")).startswith("bbr"):
        told += (
            " This system's congestion control is BBR, which paces connections within the machine, too. tcp and zmq go without "
            "it there, what they are measured beside does not; --variant tcp:unpaced_loopback=false shows what that is worth."
        )
    return told


def advise(result: Mapping[str, Any]) -> list[Advice]:
    """Return what to choose for each API by which backends were measured."""
    apis: dict[str, list[str]] = {}
    for name, subject in result["subjects"].items():
        if subject["role"] == "backend":
            apis.setdefault("asyncio" if name.endswith(ASYNCIO) else "blocking", []).append(name)
    if not apis:
        cautions = (*_skipped(result), *_interrupted(result))
        return [Advice("blocking", "No backend was measured.", "So there is nothing to choose.", cautions=cautions)]
    measured = {case: measurements(result, case) for case in cases(result)}
    return [_Group(result, measured, api, names).advice() for api, names in apis.items()]


class _Group:
    """The backends that one API was measured with."""

    def __init__(
        self, result: Mapping[str, Any], measured: Mapping[Case, Mapping[str, Measurement]], api: str, names: Sequence[str]
    ) -> None:
        self._result = result
        self._subjects = result["subjects"]
        self._measured = measured
        self._api = api
        self._names = names
        fit = [name for name in names if not self._fault(name) and any(name in found for found in measured.values())]
        everywhere = [name for name in fit if name.removesuffix(ASYNCIO) not in REACH]
        self._candidates = everywhere or fit
        self._narrow = [name for name in fit if name not in self._candidates]

    def advice(self) -> Advice:
        verdict = self._verdict()
        chosen = verdict.leaders[0] if len(verdict.leaders) == 1 else None
        return Advice(
            self._api,
            verdict.headline,
            verdict.summary,
            tuple(self._reasons(chosen)),
            tuple(self._sections(chosen)) if chosen else (),
            tuple(self._cautions()),
            chosen,
        )

    def _verdict(self) -> _Verdict:
        candidates = self._candidates
        if not candidates:
            return _Verdict("No backend can be recommended.", "None was measured without a fault.", ())
        if len(candidates) == 1:
            only = f"There is no other to compare {candidates[0]} with"
            fault = "" if len(self._names) == len(self._narrow) + 1 else " without a fault"
            return _Verdict(f"Only {candidates[0]} was measured{fault}.", f"{only}, so this is no choice.", (candidates[0],))
        contrasts = list(self._contrasts(candidates, deciding))
        if not contrasts:
            return _Verdict("No choice can be made.", "The backends have no round of any workload in common.", ())
        if all(one.standing is Standing.UNSURE for one in contrasts):
            return self._uncertain(contrasts)
        leaders = self._leaders(contrasts, certain=True)
        common = tuple(name for name in candidates if all(name in found for found in leaders.values()))
        if len(common) == 1:
            return self._single(common[0], contrasts)
        if common:
            return self._tie(common, contrasts)
        return _Verdict("It depends on the workload.", f"Choose {self._by_leaders(leaders)}.", ())

    def _single(self, chosen: str, contrasts: Sequence[Contrast]) -> _Verdict:
        mine = [one for one in contrasts if chosen in (one.subject, one.other)]
        ahead = sum(
            (one.standing is (Standing.BETTER if one.subject == chosen else Standing.WORSE)) and not one.slight for one in mine
        )
        others = _listed([name for name in self._candidates if name != chosen])
        summary = f"It is shown to be better than {others} in {ahead} of {_count(len(mine), 'comparison')}, and worse in none"
        return _Verdict(f"Choose {chosen}.", f"{summary}{self._by_how_much(mine)}.", (chosen,))

    def _tie(self, common: Sequence[str], contrasts: Sequence[Contrast]) -> _Verdict:
        among = [one for one in contrasts if one.subject in common and one.other in common]
        shown = any(one.standing in (Standing.BETTER, Standing.WORSE) for one in among)
        behind = [name for name in self._candidates if name not in common]
        summary = "Choose by what else they offer, or measure more rounds"
        if behind:
            summary += f"; {_listed(behind)} {'is' if len(behind) == 1 else 'are'} shown to be worse somewhere"
        if shown:
            summary = f"What is shown is less than {SLIGHT - 1:.0%}. {summary}"
        what = "No difference that decides" if shown else "No difference shown"
        return _Verdict(f"{what} between {_listed(common)}.", f"{summary}.", tuple(common))

    def _uncertain(self, contrasts: Sequence[Contrast]) -> _Verdict:
        leaders = self._leaders(contrasts, certain=False)
        rounds = max(one.rounds for one in contrasts)
        few = f"{_count(rounds, 'round')} {'is' if rounds == 1 else 'are'} too few to show a difference"
        summary = f"{few}, {LEAST_ROUNDS} are enough. The medians so far point to {self._by_leaders(leaders)}."
        return _Verdict("Too few rounds to choose.", summary, ())

    @staticmethod
    def _by_how_much(contrasts: Sequence[Contrast]) -> str:
        slight = [one for one in contrasts if one.slight and one.standing in (Standing.BETTER, Standing.WORSE)]
        return f" (differences of less than {SLIGHT - 1:.0%} are not counted)" if slight else ""

    def _contrasts(self, names: Sequence[str], figures_of: Choose) -> Iterator[Contrast]:
        """Yield how each two of several subjects stand to each other in some of the figures that both have."""
        for case, found in self._measured.items():
            here = [name for name in names if name in found]
            for index, name in enumerate(here):
                for other in here[index + 1 :]:
                    for figure in figures_of(case.workload, found[name].figures):
                        one = contrast(case, figure, found[name], found[other])
                        if one is not None:
                            yield one

    def _leaders(self, contrasts: Sequence[Contrast], *, certain: bool) -> dict[tuple[Case, str], set[str]]:
        """Return for each figure of each case who is not behind: certainly and not slightly, or by the medians."""
        leaders: dict[tuple[Case, str], set[str]] = {}
        for one in contrasts:
            leaders.setdefault((one.case, one.figure), set()).update((one.subject, one.other))
        for one in contrasts:
            if certain:
                ahead, behind = one.standing is Standing.BETTER, one.standing is Standing.WORSE
                decided = not one.slight
            else:
                ahead, behind, decided = one.advantage.ratio > 1, one.advantage.ratio < 1, True
            if decided and (ahead or behind):
                leaders[one.case, one.figure].discard(one.other if ahead else one.subject)
        return leaders

    def _by_leaders(self, leaders: Mapping[tuple[Case, str], set[str]]) -> str:
        """Return for what each backend, or each group of equals, is the one to take."""
        cases_of: dict[tuple[str, ...], dict[str, list[int | None]]] = {}
        for (case, _), names in leaders.items():
            first = tuple(name for name in self._candidates if name in names)
            sizes = cases_of.setdefault(first, {}).setdefault(case.workload, [])
            if case.size not in sizes:
                sizes.append(case.size)
        if len(cases_of) == 1:
            return " or ".join(next(iter(cases_of)))
        parts: list[str] = []
        for names_of, workloads in cases_of.items():
            what = _listed([_with_sizes(workload, sizes) for workload, sizes in workloads.items()])
            parts.append(f"{' or '.join(names_of) or 'none above the others'} for {what}")
        return "; ".join(parts)

    def _reasons(self, chosen: str | None) -> Iterator[str]:
        """Yield how the candidates stand to each other in what decides, the chosen one first."""
        names = sorted(self._candidates, key=lambda name: name != chosen)
        by_pair: dict[tuple[str, str], list[Contrast]] = {}
        for one in self._contrasts(names, deciding):
            by_pair.setdefault((one.subject, one.other), []).append(one)
        for pair, contrasts in by_pair.items():
            if chosen is None or chosen in pair:
                yield from sentences(contrasts)

    def _sections(self, chosen: str) -> Iterator[Section]:
        for title, contrasts in self._beside(chosen):
            said = tuple(sentences(contrasts))
            if said:
                yield Section(title, said)

    def _beside(self, chosen: str) -> Iterator[tuple[str, list[Contrast]]]:
        """Yield what else is told of the chosen backend."""
        others = [name for name in self._candidates if name != chosen]
        behind = [one for name in others for one in self._with(chosen, name, _qualifying)]
        yield f"Where {chosen} is behind", [one for one in behind if one.standing is Standing.WORSE and not one.slight]
        floor = self._subjects[chosen]["floor"]
        if floor in self._subjects:
            yield f"{chosen} beside what it is built on", list(self._with(chosen, floor))
        for name in self._narrow:
            yield f"{name}, which reaches peers {REACH[name.removesuffix(ASYNCIO)]} only", list(self._with(name, chosen))
        peers = [name for name, one in self._subjects.items() if one["role"] not in ("backend", "floor", "variant")]
        for name in peers:
            yield f"{chosen} beside {name}", list(self._with(chosen, name))

    def _with(self, name: str, other: str, figures_of: Choose | None = None) -> Iterator[Contrast]:
        yield from self._contrasts((name, other), figures_of or deciding)

    def _cautions(self) -> Iterator[str]:
        for name in self._names:
            fault = self._fault(name)
            if fault:
                yield f"{name} is not considered: {fault}."
        yield from _interrupted(self._result)

    def _fault(self, name: str) -> str | None:
        subject = self._subjects[name]
        if subject["error"]:
            return f"it was given up ({_first_line(subject['error'])})"
        if subject["failures"]:
            return f"{subject['failures']:,} of {subject['messages']:,} messages did not arrive as they were sent"
        return None


def _qualifying(_: str, figures: Iterable[str]) -> list[str]:
    return [name for name in figures if name in ("p99", "p999", CPU, "peak_memory")]


def _skipped(result: Mapping[str, Any]) -> Iterator[str]:
    for name, reason in result.get("skipped", {}).items():
        yield f"{name} was not measured: {reason}"


def _interrupted(result: Mapping[str, Any]) -> Iterator[str]:
    if result.get("interrupted"):
        planned = planned_rounds(result)
        of = "" if planned is None else f", before all {_count(planned, 'round')} were done"
        yield f"The comparison was interrupted{of}; what is said is of the rounds that were."


def _with_sizes(workload: str, sizes: Sequence[int | None]) -> str:
    shown = ", ".join(label(size) for size in sizes if size is not None)
    return workload_name(workload) + (f" ({shown})" if shown else "")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _first_line(text: str) -> str:
    return text.strip().splitlines()[0] if text.strip() else "without a word"

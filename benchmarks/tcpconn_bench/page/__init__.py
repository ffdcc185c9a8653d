"""A result as one page of HTML that needs nothing else: no script, no network, no other file.

`render` puts it together: what to choose and why, the pictures of each workload, what each technique is worth, all figures, and
what they were measured with. Whatever workloads and subjects a result has are shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from tcpconn_bench.advice import advise, whereabouts
from tcpconn_bench.measurements import cases, measurements, planned_rounds
from tcpconn_bench.page import tables
from tcpconn_bench.page.chapters import Chapters
from tcpconn_bench.stats import LEAST_ROUNDS
from tcpconn_bench.units import workload_name

__all__ = ["render"]

_UNIT = re.compile(r"(\d) (?=(?:[num\N{MICRO SIGN}]?s|[kMG]?B|[kMG]|[KM]iB)\b|%)")
"""Between a number and its unit."""


def render(result: Mapping[str, Any]) -> str:
    """Return the page of a result; what a user called something is escaped."""
    folder = files(__name__)
    page = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page.filters["unbroken"] = lambda text: _UNIT.sub("\\1\N{NO-BREAK SPACE}", text)
    template = page.from_string((folder / "page.html").read_text(encoding="utf-8"))
    measured = {case: measurements(result, case) for case in cases(result)}
    advice = advise(result)
    chapters = Chapters(result["subjects"], measured, next((one.chosen for one in advice if one.chosen), None))
    return template.render(
        style=Markup((folder / "style.css").read_text(encoding="utf-8")),
        result=result,
        advice=advice,
        faults=list(_faults(result)),
        chapters=[*chapters.workloads(), *chapters.variants()],
        tables=[tables.figures(case, found, result["subjects"]) for case, found in measured.items()],
        facts=list(tables.facts(_without(result["environment"], "config", "command_line", "options"))),
        options=list(tables.facts(result["environment"].get("options", {}))),
        settings=tables.settings(result["environment"].get("config", {})),
        messages=list(tables.facts(_without(result["messages"], "sizes"))),
        lengths=list(tables.facts(result["messages"].get("sizes", {}))),
        command_line=result["environment"].get("command_line", "not known"),
        time=result["environment"].get("time", "at a time not known"),
        machine=result["environment"].get("cpu", {}).get("model", "a machine not known"),
        rounds=max((len(one.rounds) for found in measured.values() for one in found.values()), default=0),
        planned=planned_rounds(result),
        enough=LEAST_ROUNDS,
        whereabouts=whereabouts(result),
    )


def _faults(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield who was not measured, or not without a fault, and why."""
    for name, reason in result.get("skipped", {}).items():
        yield f"{name}: skipped", reason
    for name, subject in result["subjects"].items():
        if subject["error"]:
            yield f"{name}: given up", subject["error"]
        elif subject["failures"]:
            yield (
                f"{name}: failed",
                f"{subject['failures']:,} of {subject['messages']:,} messages did not arrive as they were sent",
            )
        left_out: dict[str, str] = {}
        for item in (subject, *subject.get("by_size", ())):
            left_out.update(item.get("left_out", {}))
        for workload, reason in left_out.items():
            yield f"{name}: not measured by {workload_name(workload)}", reason


def _without(described: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in names}

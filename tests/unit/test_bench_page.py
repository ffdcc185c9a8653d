"""The page of a result: its scales, looks, pictures and tables, and that it needs nothing but itself."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from made_up import result, steady, subject, wavering
from measured import backend_and_floor, with_variant_and_further_floor
from tcpconn_bench.measurements import Case, Measurement, measurements
from tcpconn_bench.page import render, tables
from tcpconn_bench.page.charts import RatioRow, against_size, distribution, rates, ratios
from tcpconn_bench.page.scales import linear, logarithmic, logit, thinned
from tcpconn_bench.page.svg import COLOURS, Look, clipped, looks
from tcpconn_bench.results import subjects_result
from tcpconn_bench.stats import Ratio

LOOK = Look(0, "circle", "", True)
STYLE = (files("tcpconn_bench.page") / "style.css").read_text(encoding="utf-8")


def sample() -> dict[str, Any]:
    """Return a result with sizes, variants, floors, a fault, and a workload and a figure that nobody knows."""
    return result(
        {
            "tcp": subject({100: everything(1.0), 65_536: everything(4.0)}, floor="plain-socket"),
            "tcp busy_poll=0": subject({100: everything(2.0), 65_536: everything(4.1)}, "variant", variant_of="tcp"),
            "plain-socket": subject({100: everything(0.5), 65_536: everything(3.0)}, "floor"),
            "zmq": subject({100: everything(3.0), 65_536: everything(2.0)}),
            "nats": subject({}, "peer", error="the server's process ended\nwith a second line"),
        },
        skipped={"grpc": "its package is not here"},
    )


def everything(factor: float) -> dict[str, dict[str, list[float]]]:
    return {
        "round_trip": {"p50": steady(20e-6 * factor), "p99": wavering(90e-6 * factor)},
        "stream": {"messages_per_second": steady(1e6 / factor), "megabytes_per_second": steady(100 / factor)},
        "many_jugglers": {"p50": steady(1e-3 * factor), "frames_per_second": steady(9.0), "oddities": steady(3.0)},
    }


def of(rounds: list[float], figure: str = "p50", name: str = "tcp") -> Measurement:
    return measurements(result({name: subject({"w": {figure: rounds}})}), Case("w"))[name]


def picture(panel: object) -> ElementTree.Element:
    return ElementTree.fromstring(str(panel.picture))  # type: ignore[attr-defined]


def texts(root: ElementTree.Element) -> list[str]:
    return ["".join(part for part in (one.text, *(inner.tail for inner in one)) if part) for one in root.iter("text")]


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([1e-6, 1e-3], [1e-6, 1e-5, 1e-4, 1e-3]),
        ([15e-6, 300e-6], [2e-5, 5e-5, 1e-4, 2e-4]),
        ([0.96, 1.04], [0.96, 0.98, 1.0, 1.02, 1.04]),
        ([1.0], [0.99, 0.995, 1.0, 1.005, 1.01]),
    ],
)
def test_a_logarithmic_scale_names_round_values(values: list[float], ticks: list[float]) -> None:
    scale = logarithmic(values, 0, 100)
    assert scale.ticks == pytest.approx(ticks)
    assert all(0 <= scale(tick) <= 100 for tick in scale.ticks)
    assert scale(min(values)) > 0
    assert scale(max(values)) < 100


def test_each_tenfold_takes_as_much_of_a_logarithmic_scale() -> None:
    scale = logarithmic([1, 1000], 0, 300, margin=0)
    assert [scale(value) for value in (1, 10, 100, 1000)] == pytest.approx([0, 100, 200, 300])


def test_each_nine_takes_as_much_of_a_scale_of_shares() -> None:
    scale = logit(0.01, 0.9999, 0, 100)
    assert scale.ticks == [0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999]
    steps = [high - low for low, high in pairwise(scale(share) for share in (0.9, 0.99, 0.999, 0.9999))]
    assert steps == pytest.approx([steps[0]] * 3, rel=0.06)


def test_a_linear_scale_begins_at_zero() -> None:
    scale = linear(1.3e6, 8, 100)
    assert (scale(0), scale.ticks) == (8, [0, 500_000, 1_000_000])
    assert linear(0, 0, 1).ticks[0] == 0


def test_values_beyond_a_scale_are_put_at_its_ends() -> None:
    scale = linear(10, 0, 100)
    assert (scale(-5), scale(20)) == (0, 100)


def test_labels_without_room_are_left_out() -> None:
    scale = linear(100, 0, 100)
    assert thinned(scale, [0, 10, 30, 100], 25) == [0, 30, 100]


def test_no_two_subjects_share_a_colour_and_a_marker() -> None:
    kinds = {"backend": "backend", "floor": "floor", "further": "floor"}
    roles = [(f"{name}{index}", role) for index in range(2 * COLOURS) for name, role in kinds.items()]
    found = looks(roles)
    assert len({(look.colour, look.marker) for look in found.values()}) == len(roles) == 42
    assert all((look.dash == "") == (look.strong) for look in found.values())
    assert found["backend0"].colour == found["floor0"].colour != found["backend1"].colour


def test_a_name_that_is_too_long_for_its_place_is_cut() -> None:
    assert clipped("leader_followers=false", 500, 11) == "leader_followers=false"
    assert clipped("leader_followers=false", 60, 11) == "leader_f…"


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear_parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear_parts, strict=True))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palettes() -> list[dict[str, str]]:
    """Return the colours in light and in dark, by name."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[:2]
    return [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)) for block in blocks]


@pytest.mark.parametrize("palette", palettes(), ids=["light", "dark"])
def test_colours_stand_out_from_the_page_as_the_accessibility_guidelines_ask(palette: dict[str, str]) -> None:
    assert {f"c{index}" for index in range(COLOURS)} < palette.keys()
    for ground in ("page", "surface"):
        assert min(contrast(palette[f"c{index}"], palette[ground]) for index in range(COLOURS)) >= 3
        assert min(contrast(palette[name], palette[ground]) for name in ("ink", "soft", "accent")) >= 4.5
    assert contrast(palette["warn"], palette["warn-page"]) >= 4.5


def test_a_distribution_is_drawn_as_far_as_it_has_times() -> None:
    panel = distribution("100 B", {"tcp": of(steady(1e-3, 1))}, {"tcp": LOOK})
    assert panel is not None
    root = picture(panel)
    # Two thousand times in one round: 99.9 % leave two beyond, 99.99 % none.
    assert "99.9 %" in texts(root)
    assert "99.99 %" not in texts(root)
    hints = [one.text for one in root.iter("title")]
    assert any(hint is not None and hint.startswith("tcp: 50 % took no longer than ") for hint in hints)
    assert [(entry.name, entry.figures) for entry in panel.legend] == [("tcp", ("1.00 ms", "-"))]
    assert "Medians: tcp 1.00 ms" in root.attrib["aria-label"]


def test_without_times_there_is_no_distribution() -> None:
    assert distribution("100 B", {"tcp": of(steady(1.0), "messages_per_second")}, {"tcp": LOOK}) is None


def test_a_curve_against_size_has_a_point_for_each_size() -> None:
    by_size = {
        100: {"tcp": of([4.0], "x_per_second")},
        1024: {"tcp": of([2.0], "x_per_second"), "zmq": of([1.0], "x_per_second")},
    }
    panel = against_size("x/s", "x_per_second", by_size, {"tcp": LOOK, "zmq": LOOK})
    assert panel is not None
    (curve,) = picture(panel).iter("polyline")
    (x1, y1), (x2, y2) = (tuple(map(float, point.split(","))) for point in curve.attrib["points"].split())
    assert x1 < x2
    assert y1 < y2, "less is further down"
    assert panel.headings == ("100 B", "1 KiB")
    assert against_size("x/s", "y_per_second", by_size, {}) is None


def test_bars_of_a_rate_are_as_long_as_it_and_show_the_range_of_the_rounds() -> None:
    found = {"zmq": of([50.0, 60.0, 40.0], "x_per_second", "zmq"), "tcp": of([100.0], "x_per_second")}
    panel = rates("x/s", "x_per_second", found, {"tcp": LOOK, "zmq": LOOK})
    assert panel is not None
    root = picture(panel)
    tcp, zmq = (float(bar.attrib["width"]) for bar in root.iter("rect"))
    assert tcp == pytest.approx(2 * zmq, rel=0.01)
    assert [text for text in texts(root) if text in found] == ["tcp", "zmq"]
    whiskers = [one.attrib for one in root.iter("line") if one.attrib["class"] == "whisker"]
    low, high = (float(one["x1"]) for one in whiskers if one["x1"] == one["x2"] and float(one["y1"]) > 40)
    assert low < 8 + zmq < high


def test_a_ratio_that_is_not_certain_is_hollow_pale_and_said_in_words() -> None:
    rows = [
        RatioRow("certain", LOOK, Ratio(2.0, 1.5, 2.5)),
        RatioRow("same", LOOK, Ratio(1.5, 0.9, 2.0)),
        RatioRow("unknown", LOOK, Ratio(0.5)),
    ]
    panel = ratios("median", rows, more_is_better=False)
    assert panel is not None
    root = picture(panel)
    assert [text for text in texts(root) if "(" in text or "no " in text] == [
        "2.00 (1.50 to 2.50)",
        "no difference shown",
        "0.50 (too few rounds)",
    ]
    assert ["hollow" in mark.attrib["class"] for mark in root.iter("path")] == [False, True, True]
    assert ["faint" in bar.attrib["class"] for bar in root.iter("rect")] == [False, True, True]
    assert {"← better", "worse →"} <= set(texts(root))
    assert "same no difference shown (0.90 to 2.00)" in root.attrib["aria-label"]
    assert ratios("median", [], more_is_better=False) is None


def test_which_way_is_better_stands_at_a_rates_axis_too() -> None:
    panel = ratios("messages/s", [RatioRow("tcp", LOOK, Ratio(2.0))], more_is_better=True)
    assert {"← worse", "better →"} <= set(texts(picture(panel)))


def test_a_table_has_every_figure_and_the_ratio_to_the_floor_or_the_default() -> None:
    told = result(subjects_result(with_variant_and_further_floor(backend_and_floor(None), None)))
    case = Case("round_trip")
    table = tables.figures(case, measurements(told, case), told["subjects"])
    assert table.title == "Round trip"
    assert table.headings == (
        "Median",
        "P99",
        "P99.9",
        "P99.99",
        "Longest",
        "Mean",
        "CPU s per million messages",
        "Peak memory",
    )
    rows = dict(table.rows)
    assert [(cell.text, cell.ratio) for cell in rows["tcp"]][:2] == [("40.0 µs", "× 2.00"), ("100 µs", "")]
    assert rows["tcp leader_followers=false"][0].ratio == "× 4.00"
    assert rows["plain-socket"][0] == tables.Cell("20.0 µs")


def test_a_table_says_where_no_difference_is_shown() -> None:
    told = result(
        {"tcp": subject({"w": {"p50": wavering(1.0)}}, floor="socket"), "socket": subject({"w": {"p50": steady(1.0)}}, "floor")}
    )
    table = tables.figures(Case("w"), measurements(told, Case("w")), told["subjects"])
    assert table.rows[0][1][0].note == "no difference shown"


def test_settings_are_told_once_with_those_who_have_others() -> None:
    config = {
        "tcp": {"busy_poll": 5e-5, "linger": 5.0},
        "zmq": {"busy_poll": 5e-5},
        "tcp busy_poll=0": {"busy_poll": 0.0},
        "socket": {},
    }
    assert tables.settings(config) == [
        tables.Setting("busy_poll", "5e-05", ("tcp busy_poll=0: 0.0",)),
        tables.Setting("linger", "5.0", ()),
    ]


def test_an_environment_is_told_whatever_is_in_it() -> None:
    told = dict(
        tables.facts({"cpu": {"cores": 2, "pinned_to": [0, 1]}, "memory_bytes": 8_000_000_000, "governor": None, "gil": True})
    )
    assert told == {"cpu: cores": "2", "cpu: pinned to": "0, 1", "memory bytes": "8.00 GB", "governor": "none", "gil": "yes"}


def test_the_page_shows_every_workload_subject_and_figure_also_those_that_nobody_knows() -> None:
    page = render(sample())
    for title in ("Round trip", "One-way stream", "Many jugglers", "Latency distributions", "Against the size of messages"):
        assert f">{title}</h" in page
    for name in sample()["subjects"]:
        assert name in page
    assert "Oddities" in page
    assert "Frames/s" in page
    assert "Everything beside tcp" in page
    assert "Ablation: what each technique is worth to tcp" in page
    assert "It depends on the workload." in page
    assert "with no network between them" in page


def test_a_number_and_its_unit_stay_in_one_line() -> None:
    page = render(result({name: subject(everything(factor)) for name, factor in (("tcp", 1.0), ("zmq", 3.0))}))
    assert "tcp 20.0\N{NO-BREAK SPACE}µs, zmq 60.0\N{NO-BREAK SPACE}µs" in page
    assert "95\N{NO-BREAK SPACE}% interval" in page


def test_the_page_says_what_was_not_measured_and_why() -> None:
    page = render(sample())
    assert "<dt>grpc: skipped</dt><dd>its package is not here</dd>" in page
    assert "<dt>nats: given up</dt><dd>the server&#39;s process ended\nwith a second line</dd>" in page
    left_out = sample()
    left_out["subjects"]["tcp"]["by_size"][1]["left_out"] = {"churn": "the messages are not small"}
    left_out["subjects"]["zmq"]["failures"] = 3
    page = render(left_out)
    assert "<dt>tcp: not measured by connect, ask and close</dt><dd>the messages are not small</dd>" in page
    assert "<dt>zmq: failed</dt><dd>3 of 1,000 messages did not arrive as they were sent</dd>" in page


def test_the_page_refers_to_nothing_outside_itself_and_runs_no_script() -> None:
    page = render(sample())
    assert re.findall(r"https?:", page) == []
    references = re.findall(r"""(?:src|href|srcset|action|data|poster)\s*=\s*["']?([^"'\s>]+)""", page)
    assert references
    assert all(reference.startswith(("#", "data:")) for reference in references)
    anchors = {reference[1:] for reference in references if reference.startswith("#")}
    assert anchors <= set(re.findall(r'id="([^"]+)"', page))
    assert re.findall(r"url\(|@import", page) == []
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_names_that_are_markup_are_shown_and_not_obeyed() -> None:
    evil = "<img src=http://x.example onerror=alert(1)>\"'&"
    told = result(
        {
            evil: subject(
                {100: {evil: {"p50": steady(1e-3), f"{evil}_per_second": steady(1.0)}}, 1024: {evil: {"p50": steady(1e-3)}}}
            ),
            f"{evil} 2": subject({100: {evil: {"p50": steady(2e-3)}}}, "variant", variant_of=evil, error=evil),
        },
        skipped={evil: evil},
    )
    told["messages"]["source"] = told["environment"]["command_line"] = told["environment"]["cpu"]["model"] = evil
    told["environment"]["config"] = {evil: {evil: evil}}
    page = render(told)
    assert "<img" not in page
    assert "&lt;img" in page
    # Within an attribute no quotation mark ends it.
    labels = re.findall(r'aria-label="([^"]*)"', page)
    assert any("&lt;img" in label for label in labels)
    assert page.count("alert(1)") == page.count("onerror=alert(1)&gt;")


@pytest.mark.parametrize(
    "subjects",
    [
        {},
        {"tcp": subject({}, error="it ended")},
        {"tcp": subject({"churn": {"opened_per_second": steady(5.0, 1)}})},
        {"plain-socket": subject({"round_trip": {"p50": [1e-6]}}, "floor")},
        {"tcp": subject({"w": {"p50": [1e-3], "p99": [1e-3]}}), "zmq": subject({"v": {"p50": [1e-3]}})},
    ],
)
def test_a_page_can_be_made_of_little(subjects: dict[str, Any]) -> None:
    page = render(result(subjects, interrupted=True))
    assert page.count("<section") == page.count("</section>")
    assert page.rstrip().endswith("</html>")


def test_a_page_of_what_compare_writes_has_its_chosen_pictures() -> None:
    told = result(subjects_result(backend_and_floor(None)))
    page = render(told)
    assert page.count('class="chart"') == page.count("</figcaption>") > 5
    assert "Rates" in page

"""The page of a result in a real browser: it draws, fits a phone, follows light and dark, and needs nothing from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import browser
from made_up import result, steady, subject, wavering
from tcpconn_bench.page import render
from tcpconn_bench.variants import SWITCHES

BROWSER = browser.find()

pytestmark = pytest.mark.skipif(BROWSER is None, reason=f"no browser is on the path: {', '.join(browser.BROWSERS)}")


def figures(factor: float) -> dict[str, dict[str, list[float]]]:
    return {
        "round_trip": {"p50": steady(20e-6 * factor), "p99": wavering(90e-6 * factor), "max": steady(1e-3)},
        "stream": {"messages_per_second": steady(1e6 / factor), "megabytes_per_second": wavering(100 / factor)},
    }


def crowded() -> str:
    """Return a page with more subjects than colours, long names, several sizes, an ablation and faults."""
    sizes = (100, 1024, 1_048_576)
    subjects: dict[str, Any] = {}
    for number in range(9):
        name = f"subject-{number}" if number else "somebody-elses-transport-with-a-long-name-that-does-not-fit"
        subjects[name] = subject({size: figures(1 + number / 3) for size in sizes}, "backend", floor=f"floor-of-{name}")
        subjects[f"floor-of-{name}"] = subject({size: figures(1 + number / 4) for size in sizes}, "floor")
    base = next(iter(subjects))
    for index, switch in enumerate(SWITCHES):
        subjects[f"{base} {switch}"] = subject({100: figures(1 + index / 9)}, "variant", variant_of=base)
    told = result(subjects, skipped={"grpc": "its package is not here: " + "x" * 200}, interrupted=True)
    told["environment"]["command_line"] = "tcpconn compare --messages /" + "a-long-path/" * 30
    return render(told)


def of_one_size() -> str:
    """Return a page with bars of rates, and two APIs that each have a choice."""
    names = {"tcp": 1.0, "zmq": 3.0, "tcp-asyncio": 2.0, "zmq-asyncio": 2.5}
    return render(result({name: subject(figures(factor)) for name, factor in names.items()}))


@pytest.mark.parametrize(
    ("made", "dark"),
    [(crowded, False), (crowded, True), (of_one_size, True)],
    ids=["crowded", "crowded, dark", "one size, dark"],
)
def test_every_picture_is_drawn_and_every_text_can_be_read(made: Any, dark: bool, tmp_path: Path) -> None:
    assert BROWSER is not None
    page = made()
    shown = browser.show(BROWSER, page, tmp_path, (360, 1280), dark=dark)
    assert shown.console == []
    assert [frame["width"] for frame in shown.frames] == [360, 1280]
    for frame in shown.frames:
        assert (frame["charts"], frame["empty"]) == (page.count('class="chart"'), [])
        assert (frame["scrolls"], frame["beyond"]) == (0, [])
        assert (frame["outside"], frame["overlapping"], frame["faint"]) == ([], [], [])
        assert (frame["background"] < 0.1) is dark
    assert shown.frames[0]["charts"] > 3


def test_the_browser_would_tell_of_a_page_that_is_not_right(tmp_path: Path) -> None:
    assert BROWSER is not None
    texts = '<text x="10" y="20">one</text><text x="12" y="20">two</text>'
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    page = f"""<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}">
        <body><img src="http://127.0.0.1:9/x.png"><p style="width:900px;color:#eee">faint</p>
        <svg class="chart" viewBox="0 0 100 50" width="300">{texts}</svg>
        <svg class="chart" viewBox="0 0 100 50" width="300">{texts}<text x="95" y="40">outside</text>
        <rect width="5" height="5"/></svg></body>"""
    shown = browser.show(BROWSER, page, tmp_path, (360,), dark=False)
    (frame,) = shown.frames
    assert any("Content Security Policy" in line for line in shown.console)
    assert frame["scrolls"] > 500
    assert "P.: faint" in frame["beyond"]
    assert frame["overlapping"] == ["text.: one and text.: two"] * 2
    assert frame["outside"] == ["text.: outside"]
    assert (frame["charts"], len(frame["empty"])) == (1, 1)
    assert any(text.endswith("faint") for text in frame["faint"])

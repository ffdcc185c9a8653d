"""`tcpconn report`: an earlier result is shown again and drawn, or refused with the reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from measured import series
from tcpconn.cli import main
from tcpconn_bench.environment import describe
from tcpconn_bench.messages import MessageSet, describe_all
from tcpconn_bench.page import render
from tcpconn_bench.results import Record, subjects_result


@pytest.fixture
def result() -> dict[str, Any]:
    """Return a result in which tcp takes half of the time of zmq."""
    tcp, zmq = (
        Record(name, "backend", None, series={None: series(*[factor] * 6)}) for name, factor in (("tcp", 1), ("zmq", 2))
    )
    return {
        "tcpconn": "0.1.0",
        "environment": {**describe("tcpconn compare"), "options": {"rounds": 6, "warmup": 1}},
        "messages": describe_all([MessageSet("here", "lines", [b"x" * 100])]),
        "sizes": [],
        "skipped": {},
        "interrupted": False,
        "subjects": subjects_result([tcp, zmq]),
    }


@pytest.fixture
def path(result: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    return path


def test_the_tables_and_the_choice_are_shown_again(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "round trip, lower is better" in text
    assert "Choose tcp. It is shown to be better than zmq in 2 of 2 comparisons, and worse in none." in text


def test_the_page_of_a_file_is_that_of_its_result(path: Path, result: dict[str, Any], tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert main(["report", str(path), "--html", str(page)]) == 0
    assert page.read_text(encoding="utf-8") == render(result)


def test_a_page_that_cannot_be_written_ends_in_exit_code_1(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(path), "--html", str(path.parent / "nowhere" / "page.html")]) == 1
    assert "page.html: No such file or directory" in capsys.readouterr().err


def test_a_file_that_is_no_result_ends_in_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / "result.json")]) == 2
    assert "tcpconn report: cannot read" in capsys.readouterr().err


def test_a_result_that_lacks_a_part_is_refused(path: Path, result: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    del result["sizes"], result["skipped"]
    path.write_text(json.dumps(result))
    assert main(["report", str(path)]) == 2
    assert "is of another version of tcpconn: it has no sizes, skipped" in capsys.readouterr().err

"""What the documents say is what there is: settings, names, links, examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import tcpconn

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"])
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def test_the_table_of_settings_is_what_the_config_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "make_configuration.py", "--check"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "up to date\n"), done.stderr


def test_the_readme_names_settings_that_exist() -> None:
    names = re.findall(r"^\| `(\w+)` \|", section("Settings"), re.MULTILINE)
    assert len(names) > 3
    assert set(names) <= tcpconn.Config.__dataclass_fields__.keys()


def test_the_readme_names_every_error_that_can_be_raised() -> None:
    named = set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.*?) \|", section("Errors"), re.MULTILINE))))
    errors = {
        name for name in tcpconn.__all__ if isinstance(found := getattr(tcpconn, name), type) and issubclass(found, Exception)
    }
    assert named == errors - {"TcpconnError"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_modules_that_the_architecture_names_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\b((?:aio/)?\w+\.py)\b", text))
    assert len(names) > 15
    assert [name for name in names if not (ROOT / "tcpconn" / name).exists()] == []


@pytest.mark.parametrize("name", ["echo_server.py", "echo_client.py"])
def test_the_examples_are_those_of_the_readme(name: str) -> None:
    code = (ROOT / "examples" / name).read_text(encoding="utf-8").partition('"""\n\n')[2]
    assert code.startswith("import tcpconn\n")
    assert f".venv/bin/python - <<'END'\n{code}END\n" in README


def test_the_tests_that_the_fault_matrix_names_exist() -> None:
    text = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    matrix = text.partition("## Under attack")[0]
    rows = [line for line in matrix.splitlines() if line.startswith("| ") and not line.startswith(("| fault |", "| what |"))]
    assert len(rows) > 30
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        promise, test = cells[-2], cells[-1]
        assert promise, row
        path, _, name = test.strip("`").partition("::")
        assert re.search(rf"^(async )?def {re.escape(name)}\(", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE), row

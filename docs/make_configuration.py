"""Write the table of settings in `docs/configuration.md` from `tcpconn.Config` itself; `--check` only compares.

Names, defaults and descriptions are those of the class; what is allowed is what the error for a wrong value says.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
import typing
from pathlib import Path
from typing import Any

import tcpconn

PAGE = Path(__file__).parent / "configuration.md"
BEGIN, END = "<!-- table: made by make_configuration.py -->\n", "<!-- end of table -->\n"
SIZES = {"chunk_size", "credit", "session_credit", "max_message", "send_buffer", "receive_buffer"}
"""Whole numbers that count bytes; the others count things."""


def descriptions() -> dict[str, str]:
    """Return what the docstring of `Config` says of each setting."""
    section = (inspect.getdoc(tcpconn.Config) or "").split("Attributes:\n")[1].split("\n\n")[0]
    found: dict[str, str] = {}
    for entry in re.split(r"\n    (?=\S)", "\n" + section)[1:]:
        names, _, text = entry.partition(": ")
        for name in names.split(", "):
            found[name] = " ".join(text.split())
    return found


def allowed(name: str) -> str:
    """Return what the error says is allowed, for a value that never is."""
    wrong: dict[str, Any] = {name: object()}
    try:
        tcpconn.Config(**wrong)
    except tcpconn.ConfigError as error:
        return str(error).partition("allowed is ")[2]
    raise SystemExit(f"{name} allows anything")


def unit(name: str, hint: object) -> str:
    """Return the unit of a setting's number."""
    kinds = typing.get_args(hint) or (hint,)
    return "s" if float in kinds else "" if int not in kinds or bool in kinds else "bytes" if name in SIZES else "count"


def table() -> str:
    """Return the table."""
    hints = typing.get_type_hints(tcpconn.Config)
    told = descriptions()
    rows = ["| setting | default | unit | allowed | what it is |", "|---|---|---|---|---|"]
    for field in dataclasses.fields(tcpconn.Config):
        default = f"{field.default:_}" if type(field.default) is int else str(field.default)
        cells = (f"`{field.name}`", default, unit(field.name, hints[field.name]), allowed(field.name), told[field.name])
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """Write or check the page; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the table of docs/configuration.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the page is out of date")
    arguments = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    made = before + BEGIN + table() + END + rest.partition(END)[2]
    if arguments.check:
        print("up to date" if page == made else "docs/configuration.md is out of date: run python docs/make_configuration.py")
        return page != made
    PAGE.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

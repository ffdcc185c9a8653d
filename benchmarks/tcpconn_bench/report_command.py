"""`tcpconn report`: the tables and the page of a result that `tcpconn compare --json` wrote, without measuring anything.

`add_arguments` needs nothing beyond the standard library, so that the command line can always show its help; everything
else is imported by `run`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

__all__ = ["add_arguments", "run"]

OK = 0
FAILED = 1
USAGE = 2

_PARTS = ("tcpconn", "environment", "messages", "sizes", "skipped", "subjects")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options to `parser`."""
    parser.description = "Show a result of 'tcpconn compare --json' again: its tables, and with --html its page."
    parser.epilog = "Exit code: 0, 1 if the page cannot be written, 2 if the file is no result."
    parser.add_argument("result", type=Path, metavar="RESULT.json", help="a file that 'tcpconn compare --json' wrote")
    parser.add_argument("--html", type=Path, metavar="FILE", help="draw it there: one page that needs no network")


def run(args: argparse.Namespace) -> int:
    """Carry the command out and return its exit code."""
    try:
        from rich.console import Console

        from tcpconn_bench.advice import advise
        from tcpconn_bench.measurements import ResultError, load
        from tcpconn_bench.page import render
        from tcpconn_bench.report import print_advice, print_tables
    except ModuleNotFoundError as error:
        return _complain(f"{error}; install what the report needs with: pip install 'tcpconn[bench]'", USAGE)
    try:
        result = load(args.result)
    except ResultError as error:
        return _complain(str(error), USAGE)
    missing = [part for part in _PARTS if part not in result]
    if missing:
        return _complain(f"{args.result} is of another version of tcpconn: it has no {', '.join(missing)}", USAGE)
    console = Console()
    print_tables(result, console)
    print_advice(advise(result), console)
    if args.html is not None:
        try:
            args.html.write_text(render(result), encoding="utf-8")
        except OSError as error:
            return _complain(f"cannot write {args.html}: {error.strerror}", FAILED)
    return OK


def _complain(text: str, code: int) -> int:
    print(f"tcpconn report: {text}", file=sys.stderr)
    return code

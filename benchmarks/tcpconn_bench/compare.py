"""`tcpconn compare`: the backends and what they are built on, side by side, on one's own machine and messages.

`add_arguments` needs nothing beyond the standard library, so that the command line can always show its help; everything
else is imported by `run`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tcpconn_bench import variants
from tcpconn_bench.arguments import add_arguments, amounts, names

if TYPE_CHECKING:
    from tcpconn_bench.messages import MessageSet
    from tcpconn_bench.planning import Options

__all__ = ["add_arguments", "run"]

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130


def run(args: argparse.Namespace) -> int:
    """Carry the command out and return its exit code."""
    try:
        from rich.console import Console

        from tcpconn_bench.advice import advise
        from tcpconn_bench.against import AgainstError, changes, load
        from tcpconn_bench.entrants import UsageError
        from tcpconn_bench.messages import MessagesError, describe_all
        from tcpconn_bench.page import render
        from tcpconn_bench.remote.client import UnreachableError
        from tcpconn_bench.report import print_advice, print_changes, print_tables
        from tcpconn_bench.runner import compare
    except ModuleNotFoundError as error:
        return _complain(f"{error}; install what the comparison needs with: pip install 'tcpconn[bench]'", USAGE)
    to_stdout = args.json == Path("-")
    for path in (args.json, args.html):
        if path is not None and not path.absolute().parent.is_dir():
            return _complain(f"cannot write {path}: there is no directory {path.parent}", USAGE)
    for api in names(args.api) or ("none",):
        if api not in ("blocking", "asyncio", "uvloop"):
            return _complain(f"--api {api!r}: there are 'blocking', 'asyncio' and 'uvloop'", USAGE)
    if args.sizes and args.messages is not None:
        return _complain("--sizes makes messages and --messages reads them: give one of the two", USAGE)
    if args.timestamps is not None and args.messages is None:
        return _complain("--timestamps is about the messages of --messages", USAGE)
    if args.rate is not None and args.speed is not None:
        return _complain("--rate is so many messages a second and --speed so many times as fast: give one of the two", USAGE)
    try:
        sets = _message_sets(args)
        old = None if args.against is None else load(args.against, describe_all(sets)["sha256"])
    except (MessagesError, AgainstError) as error:
        return _complain(str(error), USAGE)
    if args.subject and os.getcwd() not in sys.path:
        # Behind everything installed; the processes of the subjects are given the same path.
        sys.path.append(os.getcwd())
    try:
        result = compare(sets, _options(args))
    except (UsageError, UnreachableError) as error:
        return _complain(str(error), USAGE)
    except KeyboardInterrupt:
        return _complain("interrupted: all processes are ended, nothing was written", INTERRUPTED)
    console = Console(stderr=to_stdout)
    print_tables(result, console)
    print_advice(advise(result), console)
    changed = [] if old is None else changes(result, old)
    if old is not None:
        print_changes(changed, old, args.fail_over / 100, console)
    if args.json is not None:
        text = json.dumps(result, indent=2, ensure_ascii=False) + "\n"
        try:
            if to_stdout:
                sys.stdout.write(text)
            else:
                args.json.write_text(text, encoding="utf-8")
        except OSError as error:
            return _complain(f"cannot write {args.json}: {error.strerror}", FAILED)
    if args.html is not None:
        try:
            args.html.write_text(render(result), encoding="utf-8")
        except OSError as error:
            return _complain(f"cannot write {args.html}: {error.strerror}", FAILED)
    if not any(series.get("rounds") for one in result["subjects"].values() for series in (one, *one.get("by_size", ()))):
        return _complain("nothing could be measured", FAILED)
    if result["interrupted"]:
        return _complain("interrupted: all processes are ended, the figures are of the rounds that were done", INTERRUPTED)
    if any(one["failures"] or one["error"] for one in result["subjects"].values()):
        return FAILED
    regressed = sum(change.regressed(args.fail_over / 100) for change in changed)
    if regressed:
        return _complain(f"{regressed} figures are more than {args.fail_over:g} % worse than in {args.against}", FAILED)
    return OK


def _message_sets(args: argparse.Namespace) -> list[MessageSet]:
    from tcpconn_bench.messages import load, made_of_size

    return [made_of_size(size) for size in args.sizes] or [load(args.messages, format=args.format, timestamps=args.timestamps)]


def _options(args: argparse.Namespace) -> Options:
    from tcpconn_bench.planning import Options

    return Options(
        backends=names(args.backends),
        apis=names(args.api),
        peers=names(args.peers),
        subjects=tuple(args.subject),
        variants=(*args.variant, *(variants.ABLATION if args.ablation else ())),
        floors=args.floors != "none",
        further_floors=args.floors == "all",
        sizes=args.sizes,
        costs=args.costs,
        command_line=shlex.join(["tcpconn", *sys.argv[1:]]),
        **amounts(args),
    )


def _complain(text: str, code: int) -> int:
    print(f"tcpconn compare: {text}", file=sys.stderr)
    return code

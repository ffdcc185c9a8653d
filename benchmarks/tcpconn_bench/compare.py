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

from tcpconn_bench import sizes, variants

if TYPE_CHECKING:
    from tcpconn_bench.messages import MessageSet
    from tcpconn_bench.runner import Options

__all__ = ["add_arguments", "run"]

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130

_DEFAULTS = {
    "rounds": 7,
    "warmup": 1,
    "round_trips": 5_000,
    "stream_messages": 200_000,
    "round_bytes": 128 * 1024 * 1024,
}
_QUICK = {"rounds": 3, "warmup": 1, "round_trips": 500, "stream_messages": 20_000, "round_bytes": 16 * 1024 * 1024}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options to `parser`."""
    parser.description = (
        "Measure round trips and one-way streams of each backend, and of what it is built on, between two processes of "
        "this machine: the same messages for all, in turn, every message verified."
    )
    parser.epilog = (
        "A round of one subject takes up to half a second to start its two processes, one or two seconds in all, and with "
        "--quick less than one. So the default comparison, seven rounds of four subjects, takes about a minute, --quick some "
        "ten seconds, and both that many times as long as there are --sizes. "
        "Exit code: 0, 1 if a message did not arrive as sent, a backend failed, or --against shows a regression, 2 for wrong "
        "usage, 130 after Ctrl-C, which keeps the rounds that were done."
    )
    parser.add_argument(
        "--backends",
        default="tcp,zmq",
        metavar="NAME,...",
        help="the backends to compare; unix is tcp over a Unix socket, memory is within one process (default: %(default)s)",
    )
    parser.add_argument(
        "--api",
        default="blocking",
        metavar="NAME,...",
        help="the APIs to use them by: blocking, asyncio, uvloop (which is asyncio on that event loop) (default: %(default)s)",
    )
    parser.add_argument(
        "--peers",
        nargs="?",
        const="all",
        default="",
        metavar="NAME,...",
        help="measure what else people use, too, all that is installed here or those named: pynng, grpc (grpc-unary, "
        "grpc-stream), http, websockets (also websockets-asyncio), plain-streams, redis, nats; -uvloop after the name of one "
        "that is on an event loop puts it on that one",
    )
    parser.add_argument(
        "--messages",
        metavar="FILE_OR_DIR",
        help="your own messages: a JSON Lines file, a file of msgpack objects, or a directory with a file for each "
        "(default: a small corpus of API requests and responses that comes with the package)",
    )
    parser.add_argument(
        "--format",
        default="auto",
        choices=("auto", "jsonl", "lines", "msgpack", "directory"),
        help="what --messages holds (default: by its name, or else its content)",
    )
    parser.add_argument(
        "--sizes",
        type=_sizes,
        default=(),
        metavar="SIZE,...",
        help="in place of such messages, random bytes of each of these sizes in turn: 100,1KiB,64KiB,1MiB",
    )
    parser.add_argument("--rounds", type=_positive, metavar="N", help=f"measured rounds (default: {_DEFAULTS['rounds']})")
    parser.add_argument(
        "--warmup",
        type=_natural,
        metavar="N",
        help="how often the new processes of a round do a quarter of its work, without it being counted, before they are "
        f"measured (default: {_DEFAULTS['warmup']})",
    )
    parser.add_argument(
        "--round-trips", type=_positive, metavar="N", help=f"round trips a round (default: {_DEFAULTS['round_trips']})"
    )
    parser.add_argument(
        "--stream-messages",
        type=_positive,
        metavar="N",
        help=f"streamed messages a round (default: {_DEFAULTS['stream_messages']})",
    )
    parser.add_argument(
        "--round-bytes",
        type=_size,
        metavar="SIZE",
        help=f"fewer of either if they come to more bytes than this (default: {sizes.label(_DEFAULTS['round_bytes'])})",
    )
    parser.add_argument("--quick", action="store_true", help="small defaults for all of these: a first look in seconds")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=60.0,
        metavar="SECONDS",
        help="give a backend up that takes longer for any one step (default: %(default)g)",
    )
    parser.add_argument(
        "--floors",
        default="main",
        choices=("main", "all", "none"),
        help="what each backend is measured beside: main is a plain socket for tcp and plain pyzmq for zmq; all adds a socket "
        "that polls and pyzmq without copies (and asyncio's streams) (default: %(default)s)",
    )
    parser.add_argument("--no-floors", action="store_const", const="none", dest="floors", help="the same as --floors none")
    parser.add_argument(
        "--variant",
        action="append",
        default=[],
        metavar="BACKEND:SETTING=VALUE,...",
        help="measure this backend again with these settings, in ratio to it as it is; may be repeated",
    )
    parser.add_argument(
        "--ablation",
        action="store_true",
        help=f"measure {variants.ABLATION_BACKEND} again with each technique turned off by which it gets its speed: a variant "
        f"for each of {', '.join(variants.SWITCHES)}",
    )
    parser.add_argument(
        "--subject",
        action="append",
        default=[],
        metavar="MODULE:NAME",
        help="measure this too: a tcpconn_bench.subjects.Subject that can be imported, also from the current directory, or "
        "any floor or peer by its name; may be repeated",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="OLD.json",
        help="say what has become faster or slower since that result of the same messages, and exit 1 on a regression",
    )
    parser.add_argument(
        "--fail-over",
        type=_percent,
        default=5.0,
        metavar="PERCENT",
        help="with --against: how much slower is a regression, if that is certain (default: %(default)g)",
    )
    parser.add_argument(
        "--costs",
        action="store_true",
        help="count the system calls of each subject, too, by perf or strace, in a round of its own that is in no other figure",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there; - is standard output")
    parser.add_argument("--html", type=Path, metavar="FILE", help="draw the results there: one page that needs no network")


def run(args: argparse.Namespace) -> int:
    """Carry the command out and return its exit code."""
    try:
        from rich.console import Console

        from tcpconn_bench.advice import advise
        from tcpconn_bench.against import AgainstError, changes, load
        from tcpconn_bench.entrants import UsageError
        from tcpconn_bench.messages import MessagesError, describe_all
        from tcpconn_bench.page import render
        from tcpconn_bench.report import print_advice, print_changes, print_tables
        from tcpconn_bench.runner import compare
    except ModuleNotFoundError as error:
        return _complain(f"{error}; install what the comparison needs with: pip install 'tcpconn[bench]'", USAGE)
    to_stdout = args.json == Path("-")
    for path in (args.json, args.html):
        if path is not None and not path.absolute().parent.is_dir():
            return _complain(f"cannot write {path}: there is no directory {path.parent}", USAGE)
    for api in _names(args.api) or ("none",):
        if api not in ("blocking", "asyncio", "uvloop"):
            return _complain(f"--api {api!r}: there are 'blocking', 'asyncio' and 'uvloop'", USAGE)
    if args.sizes and args.messages is not None:
        return _complain("--sizes makes messages and --messages reads them: give one of the two", USAGE)
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
    except UsageError as error:
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
    if not result["subjects"]:
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

    return [made_of_size(size) for size in args.sizes] or [load(args.messages, format=args.format)]


def _options(args: argparse.Namespace) -> Options:
    from tcpconn_bench.runner import Options

    amounts = {
        name: default if getattr(args, name) is None else getattr(args, name)
        for name, default in (_QUICK if args.quick else _DEFAULTS).items()
    }
    return Options(
        backends=_names(args.backends),
        apis=_names(args.api),
        peers=_names(args.peers),
        subjects=tuple(args.subject),
        variants=(*args.variant, *(variants.ABLATION if args.ablation else ())),
        floors=args.floors != "none",
        further_floors=args.floors == "all",
        sizes=args.sizes,
        timeout=args.timeout,
        costs=args.costs,
        command_line=shlex.join(["tcpconn", *sys.argv[1:]]),
        **amounts,
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _complain(text: str, code: int) -> int:
    print(f"tcpconn compare: {text}", file=sys.stderr)
    return code


def _percent(text: str) -> float:
    number = float(text)
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is no percentage of 0 or more")
    return number


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _natural(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is negative")
    return number


def _size(text: str) -> int:
    try:
        return sizes.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _sizes(text: str) -> tuple[int, ...]:
    try:
        return sizes.parse_list(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of seconds")
    return number

"""The options of `tcpconn compare`, and what they are if they are not given. Needs nothing beyond the standard library."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tcpconn_bench import sizes, variants, workload_names

__all__ = ["add_arguments", "amounts", "names"]

_DEFAULTS = {
    "rounds": 7,
    "warmup": 1,
    "round_trips": 5_000,
    "stream_messages": 200_000,
    "round_bytes": 128 * 1024 * 1024,
}
_SEVERAL = {"in_flight": 16, "connections": 50, "clients": 4}
"""How many there are at once, in the workloads that have several."""

_A_MINUTE = 60.0
_TIMEOUT = 60.0
_QUICK_TIMEOUT = 10.0
_REPLAY_SECONDS = 5.0
_QUICK_REPLAY_SECONDS = 0.5
_OF_SEVERAL = {
    "in_flight": "requests that wait for their answers at once",
    "connections": "connections that fan in",
    "clients": "processes that are clients at once",
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
        "ten seconds, and both that many times as long as there are --sizes; each further workload takes as long again. "
        "--quick ends within a minute whatever is asked for, and says what it left out. "
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
    parser.add_argument(
        "--workloads",
        type=_workloads,
        metavar="NAME,...",
        help=f"what the subjects have to do: {', '.join(map(workload_names.written, workload_names.NAMES))}, or all "
        f"(default: {','.join(map(workload_names.written, workload_names.DEFAULT))}, and replay if an option of it is given)",
    )
    parser.add_argument(
        "--server",
        metavar="ADDRESS",
        help="run the servers on another machine, where 'tcpconn serve-bench ADDRESS' is running, and only the clients here",
    )
    replay = parser.add_argument_group(
        "replay", "Messages are sent when their time has come, and times are counted from then on, whatever delayed them."
    )
    replay.add_argument(
        "--timestamps",
        metavar="FIELD",
        help="which field of each message of --messages is the time at which it was recorded, with dots between keys within "
        "keys: seconds, milli-, micro- or nanoseconds since 1970, ISO 8601, or a msgpack timestamp; mtime for a directory",
    )
    replay.add_argument(
        "--rate", type=_seconds, metavar="R", help="replay R messages a second, evenly, in place of at their own times"
    )
    replay.add_argument("--speed", type=_seconds, metavar="X", help="replay X times as fast as recorded (default: 1)")
    replay.add_argument(
        "--replay-seconds",
        type=_seconds,
        metavar="SECONDS",
        help=f"how much of them is replayed in a round (default: {_REPLAY_SECONDS:g}, with --quick {_QUICK_REPLAY_SECONDS:g})",
    )
    for name, number in _SEVERAL.items():
        parser.add_argument(
            f"--{workload_names.written(name)}",
            type=_positive,
            default=number,
            metavar="N",
            help=f"{_OF_SEVERAL[name]} (default: {number})",
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
    parser.add_argument(
        "--quick", action="store_true", help="small defaults for all of these: a first look in seconds, a minute at most"
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        metavar="SECONDS",
        help=f"give a backend up that takes longer for any one step (default: {_TIMEOUT:g}, with --quick {_QUICK_TIMEOUT:g})",
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


def amounts(args: argparse.Namespace) -> dict[str, Any]:
    """Return how much of everything there is to be, as `planning.Options` has it."""
    timeout = args.timeout or (_QUICK_TIMEOUT if args.quick else _TIMEOUT)
    chosen: dict[str, Any] = {
        name: default if getattr(args, name) is None else getattr(args, name)
        for name, default in (_QUICK if args.quick else _DEFAULTS).items()
    }
    several = {name: getattr(args, name) for name in _SEVERAL}
    replayed = any(value is not None for value in (args.timestamps, args.rate, args.speed, args.replay_seconds))
    chosen["workloads"] = args.workloads or (*workload_names.DEFAULT, *((workload_names.REPLAY,) if replayed else ()))
    seconds = args.replay_seconds or (_QUICK_REPLAY_SECONDS if args.quick else _REPLAY_SECONDS)
    chosen.update(server=args.server, rate=args.rate, speed=args.speed or 1.0, replay_seconds=seconds)
    return {**chosen, **several, "timeout": timeout, "within": _A_MINUTE - timeout if args.quick else None}


def names(text: str) -> tuple[str, ...]:
    """Return the names between the commas of `text`."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


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


def _workloads(text: str) -> tuple[str, ...]:
    try:
        return workload_names.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


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
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number

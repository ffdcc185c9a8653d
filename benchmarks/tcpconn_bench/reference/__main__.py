"""`python -m tcpconn_bench.reference`: measure the reference figures beside their peers and print what is met and what not."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from tcpconn_bench import environment
from tcpconn_bench.reference import bursts, cpu, large, layers, many, polling, threads
from tcpconn_bench.reference.actors import ActorFailed
from tcpconn_bench.reference.figures import Group, print_figures

__all__ = ["GROUPS", "main"]

GROUPS = (
    Group("connections", "cost of a message over many connections of one link", many.measure_messages),
    Group("opening", "opening connections over a link that stands", many.measure_opening),
    Group("memory", "memory of open connections", many.measure_memory),
    Group("second", "a second connection on the link", many.measure_second),
    Group("threads", "one-way streams of many threads over one link", threads.measure_streams),
    Group("asking-threads", "round trips of many threads over one link", threads.measure_round_trips),
    Group("one-cpu", "polling where there is one CPU", polling.measure_one_cpu),
    Group("crowded", "polling where others want the CPUs", polling.measure_crowded),
    Group("idle", "an open connection on which nothing happens", polling.measure_idle),
    Group("bursts", "what a send and a receive take their caller", bursts.measure),
    Group("large", "streams of large messages without a copy", large.measure),
    Group("layers", "what each layer adds to a message of 100 B", layers.measure),
    Group("cpu", "processor time for a million messages, both processes, busy_poll=0", cpu.measure),
)

_WIDTH = 128
"""Characters in a line where there is no terminal to ask."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line; return 0 if everything could be measured, whether or not goals were met, else 1."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser(prog="python -m tcpconn_bench.reference", description=__doc__)
    parser.add_argument("--row", action="append", choices=[group.name for group in GROUPS], help="only these; may be repeated")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured in turn with its peer (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    options = parser.parse_args(words)
    if options.rounds < 1:
        parser.error("--rounds: at least 1 is needed")
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    load = os.getloadavg()[0]
    console.print(
        f"{os.cpu_count()} CPUs, load {load:.1f} before; what else is running shows in the figures, less in the ratios"
    )
    result: dict[str, object] = {"environment": environment.describe(" ".join(words)), "load": load, "rounds": options.rounds}
    failed = False
    for group in GROUPS:
        if options.row and group.name not in options.row:
            continue
        try:
            figures = group.measure(options.rounds)
        except ActorFailed as error:
            print(f"{group.name}: {error}", file=sys.stderr)
            result[group.name] = {"error": str(error)}
            failed = True
        else:
            print_figures(group.title, figures, console)
            result[group.name] = [figure.result() for figure in figures]
        if options.json is not None:
            # Each time, for whoever stops it before the end.
            options.json.write_text(json.dumps(result, indent=1), encoding="utf-8")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `tcpconn compare`, `tcpconn report`, `tcpconn serve-bench`, `tcpconn info`, `tcpconn --version`.

It parses, prints and turns errors into exit codes; the comparison itself is `tcpconn_bench`, which is looked for only when
somebody asks for it, so that `tcpconn info` works on an installation that lacks what the comparison needs.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import os
import platform
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NoReturn

import tcpconn
from tcpconn.transport import load_transport

__all__ = ["main"]

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130

_COMMANDS = {
    "compare": "measure the backends side by side on this machine, with your own messages if you like",
    "report": "show the tables of an earlier result of compare, and draw it as a page",
    "serve-bench": "run the server's side of comparisons that another machine makes",
    "info": "show the versions, the backends and the settings in force here, with where each comes from",
}
_LIBRARIES = ("pyzmq", "msgpack", "rich", "psutil", "hdrhistogram", "jinja2")


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors end with what to type instead."""

    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"{self.prog}: {message}\nSee: {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out a command line and return its exit code.

    Args:
        arguments: without the program's name; those of this process if left out.

    Raises:
        SystemExit: after `--help` and `--version` (code 0), and for wrong usage (code 2).
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        return _run(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has seen enough (`tcpconn info | head -1`); the interpreter's own flush must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _run(words: list[str]) -> int:
    parser = _parser()
    if not words:
        parser.print_help(sys.stderr)
        return USAGE
    first, *rest = words
    if first.startswith("-"):
        # Help and version end here; any other option belongs behind a command.
        parser.parse_known_args(words)
        parser.error(f"{first} stands before a command; write: tcpconn compare {first} …")
    if first not in _COMMANDS:
        parser.error(_no_command(first))
    command = _Parser(prog=f"tcpconn {first}", description=_COMMANDS[first])
    if first == "compare":
        return _compare(command, rest)
    if first == "report":
        return _report(command, rest)
    if first == "serve-bench":
        return _serve_bench(command, rest)
    command.parse_args(rest)
    return _info()


def _parser() -> _Parser:
    width = max(map(len, _COMMANDS))
    parser = _Parser(
        prog="tcpconn",
        usage="tcpconn [--version] [--help] COMMAND …",
        description="Whole messages between processes over native TCP framing or ZeroMQ, and a comparison of the two.",
        epilog="commands:\n" + "\n".join(f"  {name:{width}}  {text}" for name, text in _COMMANDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", "-V", action="version", version=f"tcpconn {tcpconn.__version__}")
    return parser


def _no_command(word: str) -> str:
    near = difflib.get_close_matches(word, _COMMANDS, n=1)
    if near:
        return f"there is no command {word!r}; did you mean: tcpconn {near[0]}"
    if word in tcpconn.available_backends():
        return f"there is no command {word!r}; to measure that backend: tcpconn compare --backends {word}"
    if os.path.exists(word):
        return f"there is no command {word!r}; to measure with the messages there: tcpconn compare --messages {word}"
    return f"there is no command {word!r}; commands are {', '.join(_COMMANDS)}"


def _compare(parser: _Parser, words: list[str]) -> int:
    try:
        from tcpconn_bench.compare import add_arguments, run
    except ModuleNotFoundError as error:
        return _complain(f"tcpconn compare: {error}; this installation lacks the comparison: pip install 'tcpconn[bench]'")
    add_arguments(parser)
    options, rest = parser.parse_known_args(words)
    if rest:
        parser.error(_no_argument(rest))
    return run(options)


def _report(parser: _Parser, words: list[str]) -> int:
    try:
        from tcpconn_bench.report_command import add_arguments, run
    except ModuleNotFoundError as error:
        return _complain(f"tcpconn report: {error}; this installation lacks the comparison: pip install 'tcpconn[bench]'")
    add_arguments(parser)
    return run(parser.parse_args(words))


def _serve_bench(parser: _Parser, words: list[str]) -> int:
    try:
        from tcpconn_bench.remote.server import add_arguments, run
    except ModuleNotFoundError as error:
        return _complain(f"tcpconn serve-bench: {error}; it needs the comparison: pip install 'tcpconn[bench]'")
    add_arguments(parser)
    return run(parser.parse_args(words))


def _no_argument(rest: list[str]) -> str:
    word = rest[0]
    if word.startswith("-"):
        return f"there is no option {word}"
    if word.split(",")[0] in tcpconn.available_backends():
        return f"{' '.join(rest)!r} stands alone; name the backends with commas between them: --backends tcp,zmq"
    if os.path.exists(word):
        return f"{word!r} stands alone; for the messages in it write: --messages {word}"
    return f"{' '.join(rest)!r} stands alone; every argument belongs to an option"


def _info() -> int:
    """Print what is installed and in force; the code is 1 if a setting is wrong."""
    print(f"tcpconn {tcpconn.__version__}")
    print(f"Python {platform.python_version()} ({platform.python_implementation()}), {platform.platform()}")
    print(f"libraries: {', '.join(f'{name} {_version(name)}' for name in _LIBRARIES)}")
    print("\nbackends")
    names = tcpconn.available_backends()
    for name in names:
        print(f"  {name:12} {_condition(name)}")
    if not names:
        print("  none is registered: tcpconn is on the path but not installed; install it with: pip install .")
    print("\nsettings in force here")
    try:
        rows = list(_settings())
    except tcpconn.ConfigError as error:
        print("  none: the error below stops every connect() and listen()")
        return _complain(f"tcpconn info: {error}", FAILED)
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        print(f"  {name:{widths[0]}}  {value:{widths[1]}}  {source}")
    return OK


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _condition(name: str) -> str:
    try:
        load_transport(name)
    except tcpconn.BackendUnavailable as error:
        return f"does not load: {error}"
    except Exception as error:
        # A third party's backend may fail in any way; the command exists to tell.
        return f"does not load: {type(error).__name__}: {error}"
    return "loads"


def _settings() -> Iterator[tuple[str, str, str]]:
    """Yield each setting's name, value and source.

    Raises:
        ConfigError: a setting or the file is wrong.
    """
    config = tcpconn.Config.load()
    path = os.environ.get("TCPCONN_CONFIG") or "tcpconn.toml"
    try:
        with open(path, "rb") as file:
            in_file = tomllib.load(file).get("tcpconn", {})
    except FileNotFoundError:
        in_file = {}
    for field in dataclasses.fields(config):
        variable = f"TCPCONN_{field.name.upper()}"
        if os.environ.get(variable):
            source = f"environment variable {variable}"
        elif field.name in in_file:
            source = path
        else:
            source = "default"
        yield field.name, str(getattr(config, field.name)), source


def _complain(text: str, code: int = USAGE) -> int:
    sys.stdout.flush()
    print(text, file=sys.stderr)
    return code

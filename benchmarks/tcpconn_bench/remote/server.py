"""`tcpconn serve-bench`: starts the server's processes of comparisons that another machine makes.

It does for whoever connects what `tcpconn compare` does here, and no more: it runs subjects of the installed package, by name,
with messages that it is sent. No name leads to a module of the other side's choosing, no command carries code, every count
is bounded, and one connection is served at a time.
"""

from __future__ import annotations

import argparse
import hashlib
import selectors
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from tcpconn.address import Address
from tcpconn_bench import environment, variants
from tcpconn_bench.messages import DEFAULT_LIMIT, MessageSet
from tcpconn_bench.processes import SubjectFailed, WorkerProcess
from tcpconn_bench.remote.control import GREETING, Control, ControlError
from tcpconn_bench.sizes import label
from tcpconn_bench.subjects import find
from tcpconn_bench.subjects.base import is_within_one_process
from tcpconn_bench.workloads import WORKLOADS, Task

__all__ = ["add_arguments", "permitted", "run"]

OK = 0
FAILED = 1
USAGE = 2
INTERRUPTED = 130

_PATIENCE = 20.0
"""Seconds that the other side may take to say what it wants."""

_IDLE = 600.0
"""Seconds for which a process is kept that is told nothing."""

_SETS = 16
"""Sets of messages that are kept for the next process."""

_MOST = {"count": 20_000_000, "connections": 2_000, "clients": 200, "in_flight": 1_000_000}
"""What a task may ask for at most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options to `parser`."""
    parser.description = (
        "Wait for comparisons that another machine makes with 'tcpconn compare --server ADDRESS', and run the server's side of "
        "them here. It listens at the address that is told and at no other; what is measured listens at ports of the same "
        "host that the system chooses. It runs subjects of the installed package alone, by their names, and no code from "
        "the other side; but anybody who reaches the port can use this machine's time, so let only a network reach it "
        "that you trust. Ctrl-C ends it."
    )
    parser.add_argument(
        "address", metavar="ADDRESS", help="HOST:PORT, the host being one of this machine; port 0 is any that is free"
    )


def run(args: argparse.Namespace) -> int:
    """Carry the command out and return its exit code."""
    try:
        where = Address.parse(args.address)
        if where.path is not None:
            raise ValueError("another machine reaches a host and a port only")
    except ValueError as error:
        return _complain(f"{args.address}: {error}", USAGE)
    try:
        listening = socket.create_server((where.host, where.port))
    except OSError as error:
        return _complain(f"cannot listen at {args.address}: {error}", FAILED)
    with listening, tempfile.TemporaryDirectory(prefix="tcpconn-serve-bench-") as folder:
        host, port = listening.getsockname()[:2]
        print(f"tcpconn serve-bench: listening at {host}:{port}, Ctrl-C ends it", flush=True)
        shelf = _Shelf(Path(folder))
        try:
            while True:
                connected, (peer, *_) = listening.accept()
                _serve(Control(connected, peer, _PATIENCE), peer, shelf)
        except KeyboardInterrupt:
            return INTERRUPTED


def _serve(control: Control, peer: str, shelf: _Shelf) -> None:
    """Serve a connection to its end."""
    try:
        if control.take(dict) != GREETING:
            raise ControlError(f"{peer} is no 'tcpconn compare' of this version")
        control.put({"tcpconn": environment.version("tcpconn"), **environment.describe("tcpconn serve-bench")})
        wanted = control.take(dict)
        subject = permitted(wanted.get("subject"))
        path = shelf.find(control, str(wanted.get("messages")))
        print(f"{peer}: {subject}", flush=True)
        worker = WorkerProcess("server", subject, path)
        try:
            _pass_on(control, worker)
        finally:
            worker.end()
    except ControlError as error:
        _tell(control, error)
        if "has closed" not in str(error):
            print(f"{peer}: {error}", file=sys.stderr, flush=True)
    except (SubjectFailed, ValueError) as error:
        _tell(control, error)
        print(f"{peer}: {error}", file=sys.stderr, flush=True)
    finally:
        control.close()


def _tell(control: Control, error: Exception) -> None:
    try:
        control.put({"error": str(error)})
    except ControlError:
        return


def _pass_on(control: Control, worker: WorkerProcess) -> None:
    """Pass commands to the process and its answers back, until the other side has had enough.

    Raises:
        ControlError: the connection is over.
        SubjectFailed: the process has failed, or is told nothing any more.
        ValueError: a command is not allowed.
    """
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        selector.register(worker, selectors.EVENT_READ)
        closing = False
        while True:
            ready = selector.select(_IDLE)
            if not ready:
                raise SubjectFailed(f"the server's process was told nothing for {_IDLE:g} s")
            for key, _ in ready:
                if key.fileobj is control:
                    command = control.read()
                    while command is not None:
                        worker.tell(**_checked(command, control.here))
                        closing = command["do"] == "close"
                        command = control.at_hand()
                else:
                    answer = worker.read_answer()
                    while answer is not None:
                        control.put(answer)
                        if closing:
                            return
                        answer = worker.answer_at_hand()


def permitted(subject: Any) -> str:
    """Return the name of a subject if it is one of the installed package's.

    Raises:
        ValueError: it is another, or has settings other than numbers and switches.
    """
    if isinstance(subject, str) and variants.is_variant(subject):
        variant = variants.parse(subject)
        if any(isinstance(value, str) for value in variant.settings.values()):
            raise ValueError(
                f"{subject!r} changes settings that are neither numbers nor switches, which is not done for others"
            )
    elif not isinstance(subject, str) or ":" in subject:
        raise ValueError(f"{subject!r} is no subject of the installed package, and no other is run for others")
    found = find(subject)
    if is_within_one_process(found):
        raise ValueError(f"{subject}: both its ends are in one process, so on one machine")
    if (reason := found.unavailable()) is not None:
        raise ValueError(f"{subject} cannot be measured there: {reason}")
    return subject


def _checked(command: Any, host: str) -> dict[str, Any]:
    """Return a command as the process is given it.

    Raises:
        ValueError: it is none that another machine may give.
    """
    match command:
        case {"do": "listen"}:
            # Where the other side has reached this machine, whatever it says.
            return {"do": "listen", "host": host}
        case {"do": "accept" | "close" as do}:
            return {"do": do}
        case {"do": "work", "side": "server", "workload": str(workload), "task": dict(task)} if workload in WORKLOADS:
            if not all(isinstance(task.get(name, 1), int) and 1 <= task.get(name, 1) <= most for name, most in _MOST.items()):
                raise ValueError("a task asks for more than is allowed")
            checked = Task.from_json({"offsets": (), **task})
            if len(checked.offsets) > _MOST["count"] or not all(isinstance(offset, int) for offset in checked.offsets):
                raise ValueError("a task asks for more than is allowed")
            return {"do": "work", "side": "server", "workload": workload, "task": checked.as_json()}
        case _:
            raise ValueError("that command is not carried out for others")


class _Shelf:
    """The sets of messages that were sent lately, as files in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}

    def find(self, control: Control, sha256: str) -> Path:
        """Return the file of a set, which the other side is asked for if it is not here.

        Raises:
            ControlError: it does not send the set, or not that one, or one that is too large.
        """
        path = self._files.pop(sha256, None)
        if path is None:
            path = self._receive(control, sha256)
        else:
            control.put({"send": False})
        # The one used last is the last to go.
        self._files[sha256] = path
        while len(self._files) > _SETS:
            self._files.pop(next(iter(self._files))).unlink()
        return path

    def _receive(self, control: Control, sha256: str) -> Path:
        control.put({"send": True})
        count = control.take(dict).get("count")
        if not isinstance(count, int) or not 1 <= count <= _MOST["count"]:
            raise ControlError("a set of messages needs a count")
        messages: list[bytes] = []
        total = 0
        for _ in range(count):
            message = control.take(bytes)
            total += len(message)
            if total > 2 * DEFAULT_LIMIT:
                raise ControlError(f"the messages are more than {label(2 * DEFAULT_LIMIT)}")
            messages.append(message)
        received = MessageSet("", "lines", messages)
        if received.sha256 != sha256:
            raise ControlError("the messages are not those that were announced")
        path = self._folder / hashlib.sha256(sha256.encode()).hexdigest()
        received.save(path)
        control.put({})
        return path


def _complain(text: str, code: int) -> int:
    print(f"tcpconn serve-bench: {text}", file=sys.stderr)
    return code

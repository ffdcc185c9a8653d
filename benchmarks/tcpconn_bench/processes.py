"""The processes of the subjects, from the side that starts them: every wait has a deadline, every process is ended.

Knows `worker.py`'s commands; knows nothing of what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any, Protocol

import psutil

__all__ = ["Commanded", "Measured", "Pair", "SubjectFailed", "Worker", "WorkerProcess", "gather"]

_GRACE = 2.0
_SHOWN_LINES = 15
_AFTERMATH = 0.5
"""Seconds that the other side's process may take to fail, too, after the first."""


class SubjectFailed(Exception):
    """A subject's process reported an error, ended, or did not answer in time; the text is for the user."""


def _temporary(messages: Path | None) -> dict[str, str]:
    """Return the environment by which a process leaves what it may leave behind where the comparison removes it."""
    return {} if messages is None else {"TMPDIR": str(messages.parent)}


class Commanded(Protocol):
    """A process of a subject, here or on another machine, as whoever tells it what to do sees it."""

    @property
    def side(self) -> str:
        """What it is in errors: "server" or "client"."""
        ...

    def fileno(self) -> int:
        """The descriptor on which answers arrive."""
        ...

    def tell(self, **command: Any) -> None:
        """Give the process a command.

        Raises:
            SubjectFailed: it has ended.
        """
        ...

    def read_answer(self) -> dict[str, Any] | None:
        """Read what has arrived and return an answer if it is complete. Call it when `fileno()` is readable.

        Raises:
            SubjectFailed: the process has ended, or the answer is an error.
        """
        ...

    def answer_at_hand(self) -> dict[str, Any] | None:
        """Return an answer that was read together with the one before it, or None.

        Raises:
            SubjectFailed: the answer is an error.
        """
        ...

    def end(self) -> None:
        """End the process; idempotent."""
        ...


class Worker:
    """What carries out the commands of one side, in a process that it may share with the other side."""

    def __init__(
        self, side: str, process: subprocess.Popen[bytes], errors: IO[bytes], commands: IO[bytes], answers: IO[bytes]
    ) -> None:
        self.side = side
        self._process = process
        self._errors = errors
        self._commands = commands
        self._answers = answers
        self._read = b""

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    def fileno(self) -> int:
        """The descriptor on which answers arrive."""
        return self._answers.fileno()

    def tell(self, **command: Any) -> None:
        """Give the process a command.

        Raises:
            SubjectFailed: it has ended.
        """
        try:
            self._commands.write(json.dumps(command).encode() + b"\n")
            self._commands.flush()
        except OSError as error:
            raise self._failed("ended unexpectedly") from error

    def read_answer(self) -> dict[str, Any] | None:
        """Read what has arrived and return an answer if it is complete. Call it when `fileno()` is readable.

        Raises:
            SubjectFailed: the process has ended, or the answer is an error.
        """
        data = os.read(self.fileno(), 65536)
        if not data:
            raise self._failed("ended unexpectedly")
        self._read += data
        return self.answer_at_hand()

    def answer_at_hand(self) -> dict[str, Any] | None:
        """Return an answer that was read together with the one before it, or None.

        Raises:
            SubjectFailed: the answer is an error.
        """
        line, newline, rest = self._read.partition(b"\n")
        if not newline:
            return None
        self._read = rest
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._failed(f"failed: {answer['error']}")
        return answer

    def _failed(self, what: str) -> SubjectFailed:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        code = self._process.poll()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()[-_SHOWN_LINES:]
        ended = "" if not code else f" (exit code {code})"
        return SubjectFailed("\n  ".join([f"the {self.side}'s process {what}{ended}", *lines]))

    def end(self) -> None:
        """End the process; idempotent. It goes by itself when its input ends, or else is killed."""
        with contextlib.suppress(OSError):
            self._commands.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._answers.close()
        self._errors.close()


class WorkerProcess(Worker):
    """One child process, in a session of its own: Ctrl-C reaches the comparison alone, which then ends the process.

    Args:
        side: "server" or "client".
        subject: the name by which it finds its subject.
        messages: the file with the messages, or None.
        other_side: what else it is, if it is both sides.

    Attributes:
        other: the worker of the other side, if it is both sides.
    """

    def __init__(self, side: str, subject: str, messages: Path | None = None, other_side: str | None = None) -> None:
        errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        # The child finds the same packages as this process, whether they are installed or on a path set by hand.
        path = os.pathsep.join(part for part in sys.path if part)
        # -P: a file of the user's in the current directory must not take the place of a module.
        command = [sys.executable, "-P", "-m", "tcpconn_bench.worker", subject, *([] if messages is None else [str(messages)])]
        given: tuple[int, ...] = ()
        if other_side is not None:
            their_commands, commands = os.pipe()
            answers, their_answers = os.pipe()
            given = (their_commands, their_answers)
            command += map(str, given)
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "PYTHONPATH": path, **_temporary(messages)},
            start_new_session=True,
            pass_fds=given,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        super().__init__(side, process, errors, process.stdin, process.stdout)
        self.other: Worker | None = None
        if other_side is not None:
            for descriptor in given:
                os.close(descriptor)
            self.other = Worker(other_side, process, errors, os.fdopen(commands, "wb"), os.fdopen(answers, "rb"))


def gather(workers: Iterable[Commanded], timeout: float) -> list[dict[str, Any]]:
    """Wait until each worker has answered once and return the answers in the workers' order.

    Raises:
        SubjectFailed: one of them fails, or has not answered after `timeout` seconds.
    """
    workers = list(workers)
    answers: dict[Commanded, dict[str, Any]] = {}
    deadline = monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for worker in workers:
            answer = worker.answer_at_hand()
            if answer is None:
                selector.register(worker, selectors.EVENT_READ, worker)
            else:
                answers[worker] = answer
        while len(answers) < len(workers):
            ready = selector.select(max(0.0, deadline - monotonic()))
            if not ready:
                missing = " and ".join(f"the {worker.side}'s process" for worker in workers if worker not in answers)
                raise SubjectFailed(f"{missing} did not answer within {timeout:g} s")
            for key, _ in ready:
                worker = key.data
                try:
                    answer = worker.read_answer()
                except SubjectFailed as error:
                    selector.unregister(worker)
                    raise SubjectFailed("; ".join([str(error), *_other_failures(selector)])) from error
                if answer is not None:
                    answers[worker] = answer
                    selector.unregister(worker)
    return [answers[worker] for worker in workers]


def _other_failures(selector: selectors.BaseSelector) -> list[str]:
    """Return what else has failed: when one side's process dies, it is often the other's error that is noticed first."""
    failures: list[str] = []
    for key, _ in selector.select(_AFTERMATH) if selector.get_map() else ():
        try:
            key.data.read_answer()
        except SubjectFailed as error:
            failures.append(str(error))
    return failures


@dataclass(frozen=True, slots=True)
class Measured:
    """What each process measured of a workload."""

    clients: list[dict[str, Any]]
    server: dict[str, Any]


class Pair:
    """The processes of one subject, a server's and a client's or several; used as a context manager by one thread.

    Args:
        subject: its name.
        messages: the file of the messages.
        timeout: seconds that a step may take.
        clients: how many client processes there are.
        server: the server's process, if it is on another machine; it is this pair's from now on.
        one_process: whether both sides are in one process.

    Attributes:
        address: where the server listens.
        settings: what the subject's server process said of its settings.
    """

    def __init__(
        self,
        subject: str,
        messages: Path,
        timeout: float,
        *,
        clients: int = 1,
        server: Commanded | None = None,
        one_process: bool = False,
    ) -> None:
        self._timeout = timeout
        self.settings: dict[str, Any] = {}
        self.address = ""
        self._clients: list[Commanded] = []
        if server is not None:
            self._server: Commanded = server
        else:
            own = WorkerProcess("server", subject, messages, "client" if one_process else None)
            self._server = own
            if own.other is not None:
                self._clients.append(own.other)
                return
        try:
            for _ in range(clients):
                self._clients.append(WorkerProcess("client", subject, messages))
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    def meet(self) -> None:
        """Let the server listen, and tell the clients where.

        Raises:
            SubjectFailed: it cannot be done.
        """
        self._server.tell(do="listen")
        (listening,) = gather([self._server], self._timeout)
        self.settings = listening["settings"]
        self.address = listening["address"]
        for client in self._clients:
            client.tell(do="meet", address=self.address)
        gather(self._clients, self._timeout)

    def pids(self) -> list[int]:
        """Return the ids of the processes on this machine and of those that they have started."""
        own = dict.fromkeys(worker.pid for worker in (self._server, *self._clients) if isinstance(worker, Worker))
        try:
            started = [child.pid for pid in own for child in psutil.Process(pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            started = []  # what comes next tells that it has ended
        return [*own, *started]

    def connect(self) -> None:
        """Make the connection that stands through several workloads.


        Raises:
            SubjectFailed: it cannot be done.
        """
        self._server.tell(do="accept")
        for client in self._clients:
            client.tell(do="connect")
        gather([self._server, *self._clients], self._timeout)

    def measure(
        self,
        workload: str,
        task: dict[str, Any],
        timeout: float | None = None,
        around: AbstractContextManager[object] | None = None,
    ) -> Measured:
        """Let both sides do a workload and return what each measured.

        Args:
            workload: its name.
            task: what the sides are told of it.
            timeout: seconds for it, if not the pair's.
            around: entered when the server is ready, and left when both sides are done.

        Raises:
            SubjectFailed: a side fails or takes longer.
        """
        timeout = self._timeout if timeout is None else timeout
        self._server.tell(do="work", side="server", workload=workload, task=task)
        gather([self._server], timeout)
        with around or contextlib.nullcontext():
            for client in self._clients:
                client.tell(do="work", side="client", workload=workload, task=task)
            *clients, server = gather([*self._clients, self._server], timeout)
        return Measured(clients, server)

    def close(self) -> None:
        """Close the connection in good order, before `end`.

        Raises:
            SubjectFailed: a side fails or takes longer than the pair's timeout.
        """
        workers = (*self._clients, self._server)
        for worker in workers:
            worker.tell(do="close")
        gather(workers, self._timeout)

    def end(self) -> None:
        """End all processes."""
        for worker in (*self._clients, self._server):
            worker.end()

"""One process of a subject: `python -m tcpconn_bench.worker SUBJECT [MESSAGES [FD FD]]`, told what to do line by line.

Commands come as JSON on standard input and each is answered by a line of JSON on standard output (`processes.py` is the
other side). The process ends when its standard input does, whatever it is doing: so it cannot outlive the comparison,
even if that is killed. With the descriptors of a second pair of pipes it is both sides of a subject that needs that, each with
its own commands: in two threads, or on one event loop.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

from tcpconn_bench.messages import MessageSet
from tcpconn_bench.serving import serve, serve_asyncio
from tcpconn_bench.subjects import AsyncEndpoint, AsyncSubject, Endpoint, Listener, Subject, find, is_async
from tcpconn_bench.subjects.base import AsyncListener, event_loop_of
from tcpconn_bench.subjects.places import host, listen_on
from tcpconn_bench.usage import NoUsage, Usage
from tcpconn_bench.workloads import CLIENT, SERVER, WORKLOADS, Part, Task, summarize
from tcpconn_bench.workloads.ends import AsyncEnds, BlockingEnds, Ends, drive

__all__ = ["main"]


class Control:
    """The pipes to the process that started this one, by their descriptors here."""

    def __init__(self, commands: int, answers: int) -> None:
        self.commands: SimpleQueue[dict[str, Any]] = SimpleQueue()
        self._heard: Callable[[], object] = _nothing
        self._in = commands
        self._answers = os.fdopen(answers, "w", encoding="utf-8")
        threading.Thread(target=self._read, name="control", daemon=True).start()

    def _read(self) -> None:
        # Not by `sys.stdin`: a thread that waits inside it makes the interpreter abort when the main thread ends.
        rest = b""
        while data := os.read(self._in, 65536):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.commands.put(json.loads(line))
                self._heard()
        os._exit(0)

    def call_when_heard(self, callback: Callable[[], object]) -> None:
        """Call something, in another thread, after each command that comes from now on."""
        self._heard = callback

    def answer(self, **answer: Any) -> None:
        """Answer the command that is being carried out."""
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def _nothing() -> None:
    pass


def _prepare(messages: Sequence[bytes], command: Mapping[str, Any], control: Control) -> Part:
    """Return this side's part of a workload, ready to be measured; the server's side says so."""
    workload = WORKLOADS[command["workload"]]
    prepare = workload.client if command["side"] == CLIENT else workload.server
    part = prepare(messages, Task.from_json(command["task"]))
    gc.collect()
    if command["side"] == SERVER:
        control.answer(ready=True)
    return part


async def _measure(part: Part, ends: Ends, usage: Usage) -> dict[str, Any]:
    begun = usage.cpu_seconds()
    result = await part(ends)
    result["cpu_seconds"] = usage.cpu_seconds() - begun
    result["peak_memory"] = usage.peak_memory()
    return summarize(result)


class Worker:
    """Carries out commands; owned by `main`, used by one thread.

    Args:
        subject: what it listens and connects by.
        messages: the messages.
        control: where commands come from.
        usage: how it finds out what a workload costs; called once, when there is all that the subject starts.
    """

    def __init__(self, subject: Subject, messages: list[bytes], control: Control, usage: Callable[[], Usage]) -> None:
        self._usage = cache(usage)
        self._subject = subject
        self._messages = messages
        self._control = control
        self._listener: Listener | None = None
        self._endpoint: Endpoint | None = None
        self._ends: BlockingEnds

    def run(self) -> None:
        """Carry out commands until 'close'.

        Raises:
            Exception: whatever the subject raises.
        """
        while True:
            command = self._control.commands.get()
            match command["do"]:
                case "listen":
                    listen_on(command.get("host", host()))
                    self._listener = self._subject.listen()
                    self._ends = BlockingEnds(self._subject, self._listener, self._listener.address)
                    self._control.answer(address=self._listener.address, settings=dict(self._subject.settings()))
                case "accept":
                    assert self._listener is not None
                    self._ends.standing = self._endpoint = self._listener.accept()
                    self._control.answer()
                case "serve":
                    listener = self._subject.listen()
                    self._control.answer(address=listener.address)
                    serve(listener, command["service"], threads=command["threads"])
                case "meet":
                    self._ends = BlockingEnds(self._subject, None, command["address"])
                    self._control.answer()
                case "connect":
                    self._ends.standing = self._endpoint = self._subject.connect(self._ends.address)
                    self._control.answer()
                case "work":
                    usage = self._usage()
                    part = _prepare(self._messages, command, self._control)
                    self._control.answer(**drive(_measure(part, self._ends, usage)))
                case "close":
                    self._close()
                    self._control.answer()
                    return
                case other:
                    raise ValueError(f"unknown command {other!r}")

    def _close(self) -> None:
        if self._endpoint is not None:
            self._endpoint.close()
        if self._listener is not None:
            self._listener.close()


class AsyncWorker:
    """Carries out commands for a subject on an event loop, which goes on between them; otherwise as `Worker`."""

    def __init__(self, subject: AsyncSubject, messages: list[bytes], control: Control, usage: Callable[[], Usage]) -> None:
        self._usage = cache(usage)
        self._subject = subject
        self._messages = messages
        self._control = control
        self._listener: AsyncListener | None = None
        self._endpoint: AsyncEndpoint | None = None
        self._ends: AsyncEnds

    async def run(self) -> None:
        """Carry out commands until 'close'.

        Raises:
            Exception: whatever the subject raises.
        """
        loop = asyncio.get_running_loop()
        heard = asyncio.Event()
        self._control.call_when_heard(lambda: loop.call_soon_threadsafe(heard.set))
        while True:
            while self._control.commands.empty():
                heard.clear()
                if self._control.commands.empty():
                    await heard.wait()
            if not await self._carry_out(self._control.commands.get()):
                return

    async def _carry_out(self, command: Mapping[str, Any]) -> bool:
        answer = self._control.answer
        match command["do"]:
            case "listen":
                listen_on(command.get("host", host()))
                self._listener = await self._subject.listen()
                self._ends = AsyncEnds(self._subject, self._listener, self._listener.address)
                answer(address=self._listener.address, settings=dict(self._subject.settings()))
            case "accept":
                assert self._listener is not None
                self._ends.standing = self._endpoint = await self._listener.accept()
                answer()
            case "serve":
                listener = await self._subject.listen()
                answer(address=listener.address)
                await serve_asyncio(listener, tasks=command["threads"])
            case "meet":
                self._ends = AsyncEnds(self._subject, None, command["address"])
                answer()
            case "connect":
                self._ends.standing = self._endpoint = await self._subject.connect(self._ends.address)
                answer()
            case "work":
                usage = self._usage()
                part = _prepare(self._messages, command, self._control)
                answer(**await _measure(part, self._ends, usage))
            case "close":
                if self._endpoint is not None:
                    await self._endpoint.close()
                if self._listener is not None:
                    await self._listener.close()
                answer()
                return False
            case other:
                raise ValueError(f"unknown command {other!r}")
        return True


@contextmanager
def _telling(control: Control) -> Iterator[None]:
    """Tell what goes wrong.

    Raises:
        SystemExit: something did.
    """
    try:
        yield
    except Exception as error:
        traceback.print_exc()
        control.answer(error=f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


def _block(subject: Subject, messages: list[bytes], control: Control, usage: Callable[[], Usage]) -> None:
    with _telling(control):
        Worker(subject, messages, control, usage).run()


async def _serve(subject: AsyncSubject, messages: list[bytes], control: Control, usage: Callable[[], Usage]) -> None:
    with _telling(control):
        await AsyncWorker(subject, messages, control, usage).run()


async def _serve_all(subject: AsyncSubject, sides: Sequence[tuple[list[bytes], Control, Callable[[], Usage]]]) -> None:
    await asyncio.gather(*(_serve(subject, *side) for side in sides))


def main(arguments: list[str]) -> int:
    """Serve one subject; returns the exit code."""
    name, path, *descriptors = (*arguments, "") if len(arguments) == 1 else arguments
    # What a subject prints must not look like an answer: standard output becomes standard error.
    controls = [Control(0, os.dup(1))]
    os.dup2(2, 1)
    if descriptors:
        controls.append(Control(*map(int, descriptors)))
    with _telling(controls[0]):
        messages = MessageSet.restore(Path(path)) if path else []
        subject = find(name)
    gc.collect()
    gc.freeze()
    # What the process uses is counted once, whoever else is in it.
    sides: list[tuple[list[bytes], Control, Callable[[], Usage]]] = [(messages, control, NoUsage) for control in controls]
    sides[0] = (messages, controls[0], Usage)
    if is_async(subject):
        with asyncio.Runner(loop_factory=event_loop_of(subject)) as runner:
            runner.run(_serve_all(subject, sides))
    else:
        first, *others = (partial(_block, cast("Subject", subject), *side) for side in sides)
        threads = [threading.Thread(target=other, name="other side", daemon=True) for other in others]
        for thread in threads:
            thread.start()
        first()
        for thread in threads:
            thread.join()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

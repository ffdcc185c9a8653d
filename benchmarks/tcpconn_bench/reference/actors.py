"""Processes that hold one object each and call its methods when told: the two ends of what is measured.

Knows nothing of what the objects do. Every wait has a deadline, and no process outlives the one that started it.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection, wait
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

__all__ = ["Actor", "ActorFailed"]

_GRACE = 2.0
_TIMEOUT = 120.0

S = TypeVar("S")
P = ParamSpec("P")
R = TypeVar("R")


class ActorFailed(Exception):
    """An actor's method raised, its process ended, or it did not answer in time; the text is for the user."""


class Actor(Generic[S]):
    """A process that holds an object; used by one thread, as a context manager.

    Args:
        make: the object's class, which has to be importable.
        *arguments: what it is made of.
        settings: settings of tcpconn for that process, by name.
    """

    def __init__(self, make: Callable[..., S], *arguments: object, settings: Mapping[str, object] | None = None) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._name = getattr(make, "__name__", repr(make))
        self._process = context.Process(target=_act, args=(theirs, make, arguments, dict(settings or {})), daemon=True)
        self._process.start()
        theirs.close()

    def begin(self, method: Callable[Concatenate[S, P], object], *args: P.args, **kwargs: P.kwargs) -> None:
        """Have a method called; `result` returns what it returns.

        Raises:
            ActorFailed: the process has ended.
        """
        try:
            self._pipe.send((method, args, kwargs))
        except OSError as error:
            raise ActorFailed(f"{self._name}'s process has ended") from error

    def result(self, timeout: float = _TIMEOUT) -> Any:
        """Return what the method that was begun returns.

        Raises:
            ActorFailed: it raised, the process has ended, or there is no answer after `timeout` seconds.
        """
        if not self._pipe.poll(timeout):
            raise ActorFailed(f"{self._name} did not answer within {timeout:g} s")
        try:
            good, answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise ActorFailed(f"{self._name}'s process ended unexpectedly") from error
        if not good:
            raise ActorFailed(f"{self._name} failed:\n{answer}")
        return answer

    def call(self, method: Callable[Concatenate[S, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Call a method and return what it returns.

        Raises:
            ActorFailed: as `begin` and `result` do.
        """
        self.begin(method, *args, **kwargs)
        answer: R = self.result()
        return answer

    def end(self) -> None:
        """End the process; idempotent."""
        self._pipe.close()
        self._process.join(_GRACE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def __enter__(self) -> Actor[S]:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()


def _act(pipe: Connection, make: Callable[..., object], arguments: tuple[object, ...], settings: dict[str, object]) -> None:
    """Be an actor."""
    # Ctrl-C reaches the parent, which ends this process then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    for name, value in settings.items():
        os.environ[f"TCPCONN_{name.upper()}"] = str(value)
    try:
        actor = make(*arguments)
    except Exception:
        # The first thing that it is told to do is answered by this.
        pipe.send((False, traceback.format_exc()))
        return
    while True:
        try:
            method, args, kwargs = pipe.recv()
        except EOFError:
            return
        try:
            gc.collect()
            answer = (True, method(actor, *args, **kwargs))
        except Exception:
            answer = (False, traceback.format_exc())
        try:
            pipe.send(answer)
        except OSError:
            return


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
    os._exit(1)

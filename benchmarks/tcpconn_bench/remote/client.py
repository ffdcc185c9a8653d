"""The server's processes on another machine, from the side of `tcpconn compare`; see `processes` for those on this one."""

from __future__ import annotations

import socket
from typing import Any

from tcpconn.address import Address
from tcpconn_bench import environment
from tcpconn_bench.messages import MessageSet
from tcpconn_bench.processes import SubjectFailed
from tcpconn_bench.remote.control import GREETING, Control, ControlError

__all__ = ["RemoteMachine", "RemoteWorker", "UnreachableError"]

_PATIENCE = 20.0


class UnreachableError(Exception):
    """The other machine does not answer, or not as it has to; the text is for the user."""


class RemoteMachine:
    """A machine on which `tcpconn serve-bench` runs.

    Attributes:
        address: where.
        host: the same host by its number, at which what is measured listens.
        environment: what it says of itself, for the result.

    Raises:
        UnreachableError: nobody answers there, or it is another version.
    """

    def __init__(self, address: str) -> None:
        try:
            where = Address.parse(address)
        except ValueError as error:
            raise UnreachableError(f"--server {address}: {error}") from error
        if where.path is not None:
            raise UnreachableError(f"--server {address}: another machine has a host and a port")
        self.address = address
        self.host = ""
        self._where = (where.host, where.port)
        try:
            control, about = self._greet()
        except (ControlError, OSError) as error:
            raise UnreachableError(
                f"nobody answers at {address} ({error}); start there: tcpconn serve-bench {address}"
            ) from error
        self.host = control.there
        control.close()
        here, there = environment.version("tcpconn"), about.get("tcpconn")
        if here != there:
            raise UnreachableError(f"{address} has tcpconn {there} and this machine {here}: install the same one")
        self.environment: dict[str, Any] = about

    def worker(self, subject: str, messages: MessageSet) -> RemoteWorker:
        """Start a server's process there.

        Args:
            subject: its name there.
            messages: those that are going to be sent; they are carried over unless they are there already.

        Raises:
            SubjectFailed: it cannot be started.
        """
        try:
            control, _ = self._greet()
        except (ControlError, OSError) as error:
            raise SubjectFailed(f"the server's machine: {error}") from error
        try:
            control.put({"subject": subject, "messages": messages.sha256})
            if control.take(dict).get("send"):
                control.put({"count": len(messages.messages)})
                for message in messages.messages:
                    control.put(message)
                control.take(dict)
        except ControlError as error:
            control.close()
            raise SubjectFailed(f"the server's machine: {error}") from error
        return RemoteWorker(control)

    def _greet(self) -> tuple[Control, dict[str, Any]]:
        control = Control(socket.create_connection(self._where, _PATIENCE), self.address, _PATIENCE)
        try:
            control.put(GREETING)
            about: dict[str, Any] = control.take(dict)
        except ControlError:
            control.close()
            raise
        return control, about


class RemoteWorker:
    """One process there, as `WorkerProcess` is one here."""

    side = "server"

    def __init__(self, control: Control) -> None:
        self._control = control

    def fileno(self) -> int:
        return self._control.fileno()

    def tell(self, **command: Any) -> None:
        try:
            self._control.put(command)
        except ControlError as error:
            raise SubjectFailed(f"the server's machine: {error}") from error

    def read_answer(self) -> dict[str, Any] | None:
        try:
            return self._checked(self._control.read())
        except ControlError as error:
            raise SubjectFailed(f"the server's machine: {error}") from error

    def answer_at_hand(self) -> dict[str, Any] | None:
        try:
            return self._checked(self._control.at_hand())
        except ControlError as error:
            raise SubjectFailed(f"the server's machine: {error}") from error

    @staticmethod
    def _checked(answer: Any) -> dict[str, Any] | None:
        if answer is not None and not isinstance(answer, dict):
            raise SubjectFailed("the server's machine does not speak as 'tcpconn serve-bench' does")
        if answer is not None and "error" in answer:
            raise SubjectFailed(str(answer["error"]))
        return answer

    def end(self) -> None:
        self._control.close()

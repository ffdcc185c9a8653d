"""What `tcpconn serve-bench` runs for others, and what it refuses. It is the real one, in a process of its own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from tcpconn_bench.messages import MessageSet
from tcpconn_bench.processes import SubjectFailed, gather
from tcpconn_bench.remote.client import RemoteMachine, UnreachableError
from tcpconn_bench.remote.control import GREETING, Control, ControlError
from tcpconn_bench.remote.server import permitted
from tcpconn_bench.workloads import Task

DEADLINE = 30
MESSAGES = MessageSet("here", "lines", [b"one", b"", b"three"])


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A serve-bench on the loopback interface."""
    command = [sys.executable, "-m", "tcpconn", "serve-bench", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"listening at (\S+),", process.stdout.readline())
            assert found is not None
            yield found[1]
        finally:
            process.terminate()


@pytest.fixture
def control(address: str) -> Iterator[Control]:
    """A connection that has been greeted."""
    host, _, port = address.rpartition(":")
    with closing(Control(socket.create_connection((host, int(port)), DEADLINE), address, DEADLINE)) as control:
        control.put(GREETING)
        assert control.take(dict)["tcpconn"]
        yield control


def refused(control: Control) -> str:
    """Return what the other side says before it ends the connection."""
    with pytest.raises(ControlError) as error:
        control.take(dict)
    with pytest.raises(ControlError, match=r"closed the connection|is over"):
        control.take(dict)
    return str(error.value)


def started(control: Control) -> Control:
    """Have a process started, and its address told."""
    control.put({"subject": "plain-socket", "messages": MESSAGES.sha256})
    if control.take(dict)["send"]:
        control.put({"count": 3})
        for message in MESSAGES.messages:
            control.put(message)
        control.take(dict)
    return control


def test_a_process_there_does_what_it_is_told_and_the_messages_are_sent_once(address: str) -> None:
    machine = RemoteMachine(address)
    assert machine.host == "127.0.0.1"
    assert machine.environment["cpu"]["usable_cores"] > 0
    for _ in range(2):
        worker = machine.worker("plain-socket", MESSAGES)
        try:
            worker.tell(do="listen", host="10.20.30.40")
            (listening,) = gather([worker], DEADLINE)
            # Where it was reached, not where it was told.
            assert listening["address"].startswith("127.0.0.1:")
            worker.tell(do="close")
            assert gather([worker], DEADLINE) == [{}]
        finally:
            worker.end()


def test_an_error_of_the_process_there_is_told_here(address: str) -> None:
    worker = RemoteMachine(address).worker("plain-socket", MESSAGES)
    try:
        worker.tell(do="work", side="server", workload="stream", task=Task(count=1).as_json())
        assert gather([worker], DEADLINE) == [{"ready": True}]
        with pytest.raises(SubjectFailed, match=r"the server's process failed: AttributeError: .*_ends"):
            gather([worker], DEADLINE)
    finally:
        worker.end()


@pytest.mark.parametrize(
    "subject",
    ["os:system", "test_compare:corrupting", "nothing", "", None, 7, "tcp:tls_cert=/etc/passwd", "tcp:backend=zmq", "memory"],
)
def test_no_subject_is_run_but_those_of_the_package_with_numbers_and_switches(subject: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        permitted(subject)


@pytest.mark.parametrize("subject", ["tcp", "tcp-asyncio", "plain-socket", "tcp:busy_poll=0,coalesce=false"])
def test_subjects_of_the_package_are_run(subject: str) -> None:
    assert permitted(subject) == subject


def test_a_subject_from_elsewhere_is_refused_by_the_other_machine(address: str) -> None:
    with pytest.raises(SubjectFailed, match="'os:system' is no subject of the installed package"):
        RemoteMachine(address).worker("os:system", MESSAGES)


@pytest.mark.parametrize(
    "command",
    [
        {"do": "serve", "service": "echo", "threads": True},
        {"do": "connect"},
        {"do": "meet", "address": "127.0.0.1:1"},
        {"do": "work", "side": "client", "workload": "stream", "task": {"count": 1}},
        {"do": "work", "side": "server", "workload": "os.system", "task": {"count": 1}},
        {"do": "work", "side": "server", "workload": "stream", "task": {"count": 10**12}},
        {"do": "work", "side": "server", "workload": "fan_in", "task": {"count": 1, "connections": 10**6}},
        {"do": "work", "side": "server", "workload": "replay", "task": {"count": 1, "offsets": ["now"]}},
        {"do": "eval", "code": "1"},
        {},
        [],
        "listen",
    ],
)
def test_no_command_is_carried_out_but_those_of_a_servers_process(control: Control, command: Any) -> None:
    started(control).put(command)
    assert re.search("not carried out for others|more than is allowed", refused(control))


def test_messages_have_to_be_those_that_were_announced(control: Control) -> None:
    control.put({"subject": "plain-socket", "messages": "0" * 64})
    assert control.take(dict) == {"send": True}
    control.put({"count": 1})
    control.put(b"others")
    assert refused(control) == "the messages are not those that were announced"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", b"\xc1", b"\xc6\xff\xff\xff\xff" + b"x" * 100])
def test_whoever_speaks_otherwise_is_refused_and_the_next_is_served(address: str, data: bytes) -> None:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE) as stranger:
        stranger.sendall(data)
        stranger.shutdown(socket.SHUT_WR)
        stranger.settimeout(DEADLINE)
        while stranger.recv(1000):
            pass
    assert RemoteMachine(address).environment["tcpconn"]


def test_a_machine_on_which_nobody_serves_is_named_with_what_to_start_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UnreachableError, match=f"nobody answers at {address} .*; start there: tcpconn serve-bench {address}"):
        RemoteMachine(address)
    for wrong in ("unix:/here", "here"):
        with pytest.raises(UnreachableError, match=f"--server {wrong}: "):
            RemoteMachine(wrong)

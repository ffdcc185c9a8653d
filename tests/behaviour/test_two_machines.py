"""`tcpconn compare --server` and `tcpconn serve-bench`: on the loopback interface, and between two network namespaces.

These have delay and loss between them where the kernel has netem; where no namespaces can be made, that is skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("rich")

DEADLINE = 55
FEW = ["--rounds", "1", "--round-trips", "20", "--stream-messages", "200", "--connections", "3", "--clients", "2"]
DELAY = 0.005
"""Seconds that a packet takes in either direction between the namespaces."""


@contextmanager
def serving(host: str, *within: str) -> Iterator[str]:
    """Run a serve-bench, within a namespace if one is named, and give its address."""
    command = [*within, sys.executable, "-m", "tcpconn", "serve-bench", f"{host}:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"listening at (\S+),", process.stdout.readline())
            assert found is not None
            yield found[1]
        finally:
            process.terminate()


def compare(path: Path, address: str, *arguments: str, within: Sequence[str] = ()) -> tuple[int, str, dict[str, Any]]:
    """Return the exit code, what was said, and the result."""
    command = [*within, sys.executable, "-m", "tcpconn", "compare", "--server", address, "--json", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE, check=False)
    result = json.loads(path.read_text()) if path.exists() else {}
    return done.returncode, " ".join((done.stdout + done.stderr).split()), result


def test_workloads_of_every_kind_are_measured_with_their_server_elsewhere(tmp_path: Path) -> None:
    pytest.importorskip("zmq")
    some = ["--workloads", "round-trip,clients,fan-in,reconnect,replay", "--rate", "300", "--replay-seconds", "0.2", *FEW]
    subjects = ["--backends", "tcp", "--no-floors", "--subject", "plain-pyzmq"]
    with serving("127.0.0.1") as address:
        code, said, result = compare(tmp_path / "r.json", address, *some, *subjects)
    assert code == 0, said
    assert result["environment"]["server"]["tcpconn"] == result["tcpconn"]
    assert result["environment"]["options"]["server"] == address
    tcp, pyzmq = result["subjects"]["tcp"], result["subjects"]["plain-pyzmq"]
    assert (tcp["failures"], tcp["left_out"]) == (0, {})
    assert tcp["verified"] == tcp["messages"] > 0
    assert tcp["replay"]["p50"] > 0
    # There one thread would have to send while another receives, as two machines have no clock in common.
    assert "replay" in pyzmq["left_out"]
    assert pyzmq["failures"] == 0
    assert f"The servers were at {address}" in said


def test_what_only_this_machine_reaches_is_left_out(tmp_path: Path) -> None:
    with serving("127.0.0.1") as address:
        code, said, result = compare(tmp_path / "r.json", address, *FEW, "--backends", "unix")
    assert code == 1
    assert "left out round trip, stream: it listens where no other machine reaches it" in said
    assert result["subjects"]["unix"]["failures"] == 0


def test_a_subject_from_elsewhere_is_not_run_on_the_other_machine(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from tcpconn_bench.subjects.plain_socket import PlainSocket\nclass Mine(PlainSocket):\n    name = 'mine'\n"
    )
    with serving("127.0.0.1") as address:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])}
        command = [sys.executable, "-m", "tcpconn", "compare", "--server", address, "--backends", "", "--subject", "mine:Mine"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    assert "'mine:Mine' is no subject of the installed package" in " ".join(done.stdout.split())


def test_without_anybody_there_the_exit_code_is_2_and_says_what_to_start(tmp_path: Path) -> None:
    code, said, _ = compare(tmp_path / "r.json", "127.0.0.1:1", *FEW)
    assert code == 2
    assert "nobody answers at 127.0.0.1:1" in said
    assert "start there: tcpconn serve-bench" in said
    assert "Traceback" not in said


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True, timeout=DEADLINE)


@pytest.fixture
def namespaces() -> Iterator[tuple[list[str], list[str]]]:
    """Two namespaces at 10.99.0.1 and 10.99.0.2 with a wire between them: by what to run a command in each."""
    if os.geteuid() != 0:
        pytest.skip("network namespaces are made by root")
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} here; Debian has it in iproute2")
    names = [f"tcpconn-{os.getpid()}-{side}" for side in ("a", "b")]
    with ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "delete", name)
            ip("link", "add", "v0", "netns", names[0], "type", "veth", "peer", "name", "v0", "netns", names[1])
            for number, name in enumerate(names, 1):
                ip("-n", name, "address", "add", f"10.99.0.{number}/24", "dev", "v0")
                for link in ("lo", "v0"):
                    ip("-n", name, "link", "set", link, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine makes no network namespaces: {error.stderr.strip()}")
        yield ["ip", "netns", "exec", names[0]], ["ip", "netns", "exec", names[1]]


@pytest.fixture
def far_apart(namespaces: tuple[list[str], list[str]]) -> tuple[list[str], list[str]]:
    """The same with delay and loss between them."""
    for within in namespaces:
        emulated = ["tc", "qdisc", "add", "dev", "v0", "root", "netem", "delay", f"{DELAY * 1000:g}ms", "loss", "0.5%"]
        try:
            ip(*within[1:], *emulated)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine's kernel has no netem: {error.stderr.strip()}")
    return namespaces


def compare_between(namespaces: tuple[list[str], list[str]], path: Path) -> dict[str, Any]:
    """Return what tcp and the plain socket measured between two namespaces, after the checks common to all."""
    there, here = namespaces
    some = ["--workloads", "round-trip,stream,in-flight,churn,replay", "--rate", "200", "--replay-seconds", "0.5", *FEW]
    with serving("10.99.0.1", *there) as address:
        code, said, result = compare(path, address, *some, "--backends", "tcp", within=here)
    assert code == 0, said
    subjects: dict[str, Any] = result["subjects"]
    assert list(subjects) == ["tcp", "plain-socket"]
    for one in subjects.values():
        assert (one["failures"], one["left_out"]) == (0, {})
        assert one["verified"] == one["messages"] > 0
    return subjects


def test_between_two_namespaces_every_message_arrives(namespaces: tuple[list[str], list[str]], tmp_path: Path) -> None:
    compare_between(namespaces, tmp_path / "r.json")


def test_with_delay_and_loss_every_message_arrives_and_takes_its_time(
    far_apart: tuple[list[str], list[str]], tmp_path: Path
) -> None:
    for one in compare_between(far_apart, tmp_path / "r.json").values():
        # There and back, whatever the machine does besides.
        for workload in ("round_trip", "in_flight", "churn", "replay"):
            assert one[workload]["p50"] >= 2 * DELAY * 0.99

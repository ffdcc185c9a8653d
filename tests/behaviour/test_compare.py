"""`tcpconn compare` from the outside: its figures, its exit codes, and that it leaves no process behind.

The subjects defined here are real ones that do their work badly; the comparison's processes import them from this file.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import tcpconn
from tcpconn_bench.subjects.base import Traits
from tcpconn_bench.subjects.plain_queue import PlainQueue
from tcpconn_bench.subjects.plain_socket import PlainSocket, PlainSocketEndpoint, PlainSocketListener
from tcpconn_bench.variants import SWITCHES
from tcpconn_bench.workload_names import NAMES

pytest.importorskip("rich")

FIFO = "TCPCONN_TEST_FIFO"
RECORDS = "TCPCONN_TEST_RECORDS"
DEADLINE = 60
SMALL = ["--rounds", "2", "--warmup", "1", "--round-trips", "20", "--stream-messages", "50"]


class BadServer(PlainSocketEndpoint):
    """A server's end that does its work well, for others to derive from; it is made of an accepted one."""

    def __init__(self, accepted: PlainSocketEndpoint) -> None:
        super().__init__(accepted._socket)
        self.count = 0


class Corrupting(BadServer):
    def send(self, message: bytes) -> None:
        self.count += 1
        super().send(message[:-1] + bytes([message[-1] ^ 1]) if self.count == 15 else message)


class Reordering(BadServer):
    def receive_many(self, count: int) -> Sequence[bytes | bytearray | memoryview]:
        self.count += 1
        received = super().receive_many(count)
        return list(reversed(received)) if self.count == 1 else received


class Crashing(BadServer):
    def receive(self) -> bytes | bytearray | memoryview:
        print("about to crash", flush=True)
        os._exit(7)


class Raising(BadServer):
    def receive(self) -> bytes | bytearray | memoryview:
        raise RuntimeError("no more of this")


class Losing(BadServer):
    def send(self, message: bytes) -> None:
        """Lose it."""


class Slow(BadServer):
    def receive_many(self, count: int) -> Sequence[bytes | bytearray | memoryview]:
        time.sleep(0.002 * count)
        return super().receive_many(count)


class BadListener(PlainSocketListener):
    def __init__(self, kind: type[BadServer]) -> None:
        super().__init__()
        self.kind = kind

    def accept(self) -> PlainSocketEndpoint:
        return self.kind(super().accept())


class BadSubject(PlainSocket):
    role = "peer"

    def __init__(self, kind: type[BadServer]) -> None:
        self.kind = kind
        self.name = kind.__name__.lower()

    def listen(self) -> PlainSocketListener:
        return BadListener(self.kind)


corrupting = BadSubject(Corrupting)
reordering = BadSubject(Reordering)
crashing = BadSubject(Crashing)
raising = BadSubject(Raising)
losing = BadSubject(Losing)
slow = BadSubject(Slow)


class Promising(PlainSocket):
    """Says that it comes back after a cut, and does not."""

    name = "promising"
    traits = Traits(reconnects=True)


promising = Promising()


class Announcing(PlainSocket):
    """Both its processes write their ids to a FIFO once they are connected and keep it open as long as they live."""

    name = "announcing"

    def listen(self) -> PlainSocketListener:
        self._announce()
        return super().listen()

    def connect(self, address: str) -> PlainSocketEndpoint:
        self._announce()
        return super().connect(address)

    def _announce(self) -> None:
        self.fifo = os.open(os.environ[FIFO], os.O_WRONLY)
        os.write(self.fifo, b"%d\n" % os.getpid())


class Recording(PlainSocket):
    """Each of its processes appends to a file who it is and how many of those before it are still there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def listen(self) -> PlainSocketListener:
        self._record("server")
        return super().listen()

    def connect(self, address: str) -> PlainSocketEndpoint:
        self._record("client")
        return super().connect(address)

    def _record(self, side: str) -> None:
        with open(os.environ[RECORDS], "a+") as file:
            file.seek(0)
            before = [json.loads(line)["pid"] for line in file]
            line = {"subject": self.name, "side": side, "pid": os.getpid(), "there": sum(map(psutil.pid_exists, before))}
            file.write(json.dumps(line) + "\n")


class Faulty(PlainQueue):
    """Both its ends are in one process, and the client's fails."""

    name = "faulty"
    role = "peer"

    def connect(self, address: str) -> Any:
        end = super().connect(address)
        end.receive = Raising.receive.__get__(end)
        return end


faulty = Faulty()
first = Recording("first")
second = Recording("second")
third = Recording("third")


class Absent(PlainSocket):
    name = "absent"

    def unavailable(self) -> str | None:
        return "its package is not on [this] machine"


@pytest.fixture
def environment() -> dict[str, str]:
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def messages(tmp_path: Path) -> Path:
    path = tmp_path / "messages.jsonl"
    path.write_bytes(b"".join(b'{"number": %d, "text": "%s"}\n' % (index, b"x" * 40 * index) for index in range(25)))
    return path


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tcpconn", "compare", *map(str, arguments)]


def compare(
    environment: dict[str, str], *arguments: str | Path, deadline: float = DEADLINE
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), env=environment, capture_output=True, text=True, timeout=deadline, check=False)


def compare_one(environment: dict[str, str], subject: str, path: Path, *arguments: str | Path) -> dict[str, Any]:
    """Compare a bad subject of this file beside a plain socket; return its result after the checks common to all."""
    name = f"test_compare:{subject}"
    done = compare(
        environment,
        "--backends",
        "",
        "--subject",
        name,
        "--subject",
        "plain-socket",
        "--json",
        path,
        *SMALL,
        *arguments,
    )
    assert done.returncode == 1, done.stderr
    assert f"FAILED {subject}: " in done.stdout
    subjects = json.loads(path.read_text())["subjects"]
    good = subjects["plain-socket"]
    assert (good["failures"], good["error"], len(good["rounds"])) == (0, None, 2)
    assert subjects[subject]["failures"] > 0
    one: dict[str, Any] = subjects[subject]
    return one


def test_both_backends_stand_beside_their_floors_with_every_message_verified(
    environment: dict[str, str], messages: Path, tmp_path: Path
) -> None:
    pytest.importorskip("zmq")
    path, page = tmp_path / "result.json", tmp_path / "page.html"
    done = compare(environment, "--quick", "--messages", messages, "--json", path, "--html", page)
    assert done.returncode == 0, done.stdout + done.stderr
    # Three rounds do not tell.
    assert "Too few rounds to choose." in done.stdout
    assert '<p class="headline">Too few rounds to choose.</p>' in page.read_text(encoding="utf-8")
    result = json.loads(path.read_text())
    assert list(result["subjects"]) == ["tcp", "plain-socket", "zmq", "plain-pyzmq"]
    assert result["messages"]["count"] == 25
    assert result["skipped"] == {}
    for name, subject in result["subjects"].items():
        # And a sample of one fortieth of either, or several.
        samples = subject["messages"] - 3 * (500 + 20_000) * 5 / 4
        assert subject["messages"] == subject["verified"]
        assert 3 * 512 <= samples <= 3 * 3 * 512
        assert (subject["failures"], subject["error"], len(subject["rounds"])) == (0, None, 3)
        assert 0 < subject["round_trip"]["p50"] <= subject["round_trip"]["p99"] <= subject["round_trip"]["p999"]
        assert subject["stream"]["peak_memory"] > 10_000_000
        assert subject["stream"]["messages_per_second"] > 0
        assert subject["cpu_seconds_per_million_messages"]["stream"] > 0
        assert name in done.stdout
    assert result["subjects"]["tcp"]["to_floor"]["round_trip"]["p50"]["ratio"] > 0
    assert result["environment"]["config"]["zmq"]["backend"] == "zmq"
    assert result["environment"]["command_line"].startswith("tcpconn compare --quick")


def test_without_floors_and_arguments_the_corpus_goes_over_the_named_backend_alone(environment: dict[str, str]) -> None:
    done = compare(environment, "--backends", "tcp", "--no-floors", *SMALL, "--json", "-")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert "round trip, lower is better" in done.stderr
    assert list(result["subjects"]) == ["tcp"]
    assert result["messages"]["source"] == "corpus:aws-api-examples.jsonl"


def test_the_settings_in_force_here_are_those_of_the_measured_processes_and_stand_in_the_result(
    environment: dict[str, str],
) -> None:
    changed = {**environment, "TCPCONN_CREDIT": "65536", "TCPCONN_BUSY_POLL": "0", "TCPCONN_BACKEND": "memory"}
    done = compare(changed, "--backends", "tcp", "--no-floors", *SMALL, "--json", "-")
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout)["environment"]["config"]["tcp"]
    assert (config["backend"], config["credit"], config["busy_poll"]) == ("tcp", 65536, 0)
    assert config.keys() == tcpconn.Config.__dataclass_fields__.keys()


def test_unix_sockets_are_measured_by_both_apis_and_none_is_left(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    # Not tmp_path: the path of a Unix socket has room for about a hundred bytes.
    with tempfile.TemporaryDirectory() as temporary:
        wanted = ["--backends", "unix", "--api", "blocking,asyncio", *SMALL]
        done = compare({**environment, "TMPDIR": temporary}, *wanted, "--json", path)
        assert done.returncode == 0, done.stdout
        assert os.listdir(temporary) == []
    subjects = json.loads(path.read_text())["subjects"]
    assert list(subjects) == ["unix", "plain-unix-socket", "unix-asyncio"]
    assert all(subject["failures"] == 0 and len(subject["rounds"]) == 2 for subject in subjects.values())


def test_what_messages_cost_besides_time_is_counted_and_told(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    done = compare(environment, "--backends", "tcp,unix", "--no-floors", "--costs", "--sizes", "100", *SMALL, "--json", path)
    assert done.returncode == 0, done.stderr + done.stdout
    result = json.loads(path.read_text())
    reasons = " ".join(result["uncounted"])
    for name, subject in result["subjects"].items():
        (one,) = subject["by_size"]
        # Two rounds, and one in which system calls are counted.
        rounds = 2 if "system calls" in reasons else 3
        assert (subject["messages"], subject["failures"]) == (rounds * (20 + 5 + 50 + 12), 0)
        for workload, least, most in (("round_trip", 2 * (100 + 44), 2 * (100 + 16 + 4 * 52)), ("stream", 104, 200)):
            sent, calls = (one[workload][figure] for figure in ("wire_bytes_per_message", "syscalls_per_message"))
            if "unix" in name or "wire" in reasons:
                assert sent is None
            else:
                assert least < sent < most
            if "system calls" in reasons:
                assert calls is None
            else:
                # Of a stream several messages are written at once.
                assert calls >= 4 if workload == "round_trip" else calls < 4
    assert all(f"not counted: {reason}" in done.stdout for reason in result["uncounted"])
    assert ("costs besides" in done.stdout) == (len(result["uncounted"]) < 2)


def test_memory_is_measured_in_one_process_beside_a_queue(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    done = compare(environment, "--backends", "memory", "--api", "blocking,asyncio,uvloop", *SMALL, "--json", path)
    assert done.returncode == 0, done.stdout
    subjects = json.loads(path.read_text())["subjects"]
    assert list(subjects) == ["memory", "plain-queue", "memory-asyncio", "memory-uvloop"]
    for subject in subjects.values():
        assert (subject["messages"], subject["failures"], len(subject["rounds"])) == (174, 0, 2)
        # One process: what it uses is counted once.
        for measured in subject["rounds"]:
            assert measured["stream"]["client_peak_memory"] == measured["stream"]["client_cpu_seconds"] == 0
            assert measured["stream"]["server_peak_memory"] > 10_000_000
            assert measured["stream"]["server_cpu_seconds"] > 0


def test_a_fault_within_one_process_is_told_and_ends_it(environment: dict[str, str], tmp_path: Path) -> None:
    found = compare_one(environment, "faulty", tmp_path / "r.json")
    assert "the client's process failed: RuntimeError: no more of this" in found["error"]


def test_a_wrong_setting_is_refused_before_anything_is_measured(environment: dict[str, str]) -> None:
    done = compare({**environment, "TCPCONN_LINGER": "soon"}, "--quick")
    assert (done.returncode, done.stdout) == (2, "")
    assert "linger='soon' (from environment variable TCPCONN_LINGER)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_subject_is_found_in_the_current_directory(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from tcpconn_bench.subjects.plain_socket import PlainSocket\nclass Mine(PlainSocket):\n    name = 'mine'\n"
    )
    script = "import sys; from tcpconn.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, "compare", "--backends", "", "--subject", "mine:Mine", *SMALL, "--json", "-"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(json.loads(done.stdout)["subjects"]) == ["mine"]


def test_a_subject_that_is_too_slow_for_the_time_it_has_is_measured_with_fewer_messages(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    much = ["--rounds", "1", "--round-trips", "20", "--stream-messages", "8000", "--timeout", "4"]
    done = compare(environment, "--backends", "", "--subject", "test_compare:slow", "--sizes", "100", *much, "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(path.read_text())["subjects"].values()
    assert found["failures"] == 0
    # In 16 s, at best, it could receive them all.
    assert 200 < found["messages"] < 8000


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_leaves_only_the_tables(environment: dict[str, str]) -> None:
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        command("--backends", "tcp", "--no-floors", *SMALL),
        env={**environment, "TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # what Linux says when the last process has left the terminal
        while select.select([ours], [], [], DEADLINE)[0] and (data := os.read(ours, 65536)):
            shown += data
    os.close(ours)
    tables, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, tables
    # Two workloads in each of two rounds.
    assert b"measuring tcp" in shown
    assert b"4/4" in shown
    assert "one-way stream, more messages are better" in tables
    assert "measuring" not in tables


def test_each_round_of_each_subject_runs_alone_in_new_processes_and_the_subjects_take_turns(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "records"
    subjects = [word for name in ("first", "second", "third") for word in ("--subject", f"test_compare:{name}")]
    done = compare({**environment, RECORDS: str(path)}, "--backends", "", *subjects, *SMALL, "--rounds", "3", "--sizes", "9,99")
    assert done.returncode == 0, done.stderr
    records = list(map(json.loads, path.read_text().splitlines()))
    assert len({record["pid"] for record in records}) == len(records) == 3 * 3 * 2 * 2
    # Of all before it, a client finds its own server and nobody else.
    assert [(record["side"], record["there"]) for record in records] == [("server", 0), ("client", 1)] * 18
    rounds = [["first", "second", "third"], ["second", "first", "third"], ["third", "first", "second"]]
    assert [record["subject"] for record in records[::2]] == [name for order in rounds for name in order * 2]


def test_messages_of_each_size_are_measured_over_every_subject_and_floor(environment: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("zmq")
    path = tmp_path / "r.json"
    some = ["--rounds", "1", "--round-trips", "20", "--stream-messages", "50", "--round-bytes", "1MB"]
    done = compare(environment, "--sizes", "100,300KB", "--floors", "all", *some, "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(path.read_text())
    assert [(one["size"], one["count"]) for one in result["sizes"]] == [(100, 1021), (300_000, 13)]
    floors = ["plain-socket", "polling-socket"], ["plain-pyzmq", "plain-pyzmq-nocopy"]
    assert list(result["subjects"]) == ["tcp", *floors[0], "zmq", *floors[1]]
    assert "300 KB: one-way stream" in done.stdout
    for subject in result["subjects"].values():
        small, large = subject["by_size"]
        # Twenty and fifty, and a quarter of each to warm up.
        assert (small["size"], small["messages"], small["verified"]) == (100, 87, 87)
        # No more than three of those are a megabyte.
        assert (large["size"], large["messages"], large["verified"]) == (300_000, 8, 8)
        assert large["rounds"][0]["stream"]["bytes"] == 900_000
        assert large["stream"]["megabytes_per_second"] > 0
        assert subject["failures"] == 0
    for backend in ("tcp", "zmq"):
        for one in result["subjects"][backend]["by_size"]:
            assert list(one["to"]) == [*floors[0], *floors[1]]
            assert one["to_floor"]["round_trip"]["cpu_seconds_per_million_messages"] is not None


@pytest.mark.timeout(3 * DEADLINE)
def test_every_workload_is_measured_with_every_message_verified(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    some = ["--rounds", "1", "--round-trips", "50", "--stream-messages", "200", "--connections", "5", "--clients", "2"]
    some += ["--rate", "500", "--replay-seconds", "0.2", "--backends", "tcp", "--no-floors"]
    done = compare(environment, "--workloads", "all", *some, "--json", path, deadline=2 * DEADLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(path.read_text())
    tcp = result["subjects"]["tcp"]
    assert result["environment"]["options"]["clients"] == 2
    assert (tcp["failures"], tcp["left_out"]) == (0, {})
    assert list(tcp["rounds"][0]) == list(NAMES)
    for workload in NAMES:
        assert tcp[workload]["cpu_seconds_per_million_messages"] > 0
        assert tcp[workload].get("p50", 1) > 0
        assert tcp[workload].get("messages_per_second", 1) > 0
    assert tcp["beside_bulk"]["alone_p50"] > 0
    assert len(tcp["in_flight"]["curve"]) > 100
    replay = tcp["replay"]
    assert 100 < replay["messages_per_second"] <= 1.01 * replay["intended_per_second"]
    assert replay["p9999"] >= replay["p999"] >= replay["p50"] > 0


def test_a_server_with_one_endpoint_for_all_connections_is_measured_with_several(
    environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip("zmq")
    path = tmp_path / "r.json"
    wanted = ["--workloads", "fan-in,slow-reader,clients", "--clients", "2", "--backends", "", "--subject", "plain-pyzmq"]
    done = compare(environment, *wanted, *SMALL, "--rounds", "1", "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    subject = json.loads(path.read_text())["subjects"]["plain-pyzmq"]
    assert subject["failures"] == 0
    assert list(subject["rounds"][0]) == ["clients", "fan_in"]
    assert "left out slow reader: its server has one endpoint" in " ".join(done.stdout.split())


def test_a_subject_that_does_not_come_back_after_a_cut_is_said_to_not_reconnect_and_has_not_failed(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    wanted = ["--workloads", "reconnect,churn", "--backends", "", "--subject", "plain-socket", *SMALL, "--rounds", "1"]
    done = compare(environment, *wanted, "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    subject = json.loads(path.read_text())["subjects"]["plain-socket"]
    assert subject["left_out"].keys() == {"reconnect"}
    assert subject["left_out"]["reconnect"].startswith("does not reconnect: the ")
    assert (subject["failures"], subject["error"], [list(one) for one in subject["rounds"]]) == (0, None, [["churn"]])
    assert "left out reconnect: does not reconnect: the " in " ".join(done.stdout.split())


def test_a_subject_that_promised_to_come_back_after_a_cut_and_does_not_has_failed(environment: dict[str, str]) -> None:
    wanted = ["--workloads", "reconnect", "--backends", "", "--subject", "test_compare:promising"]
    done = compare(environment, *wanted, *SMALL)
    assert done.returncode == 1
    assert "FAILED promising: " in done.stdout


def test_the_users_own_trace_is_replayed_at_its_times(environment: dict[str, str], tmp_path: Path) -> None:
    trace, path = tmp_path / "trace.jsonl", tmp_path / "r.json"
    trace.write_text("".join(f'{{"at": {number / 1000}, "text": "{"x" * number}"}}\n' for number in range(200)))
    wanted = ["--messages", str(trace), "--timestamps", "at", "--speed", "2", "--workloads", "replay"]
    wanted += ["--api", "blocking,asyncio", "--backends", "tcp", "--no-floors"]
    done = compare(environment, *wanted, "--rounds", "1", "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(path.read_text())
    assert result["messages"]["lasts_seconds"] == 0.199
    for subject in result["subjects"].values():
        assert (subject["messages"], subject["verified"]) == (250, 250)
        assert subject["replay"]["intended_per_second"] == pytest.approx(2000)
        assert 0 < subject["replay"]["messages_per_second"] <= 2000


def test_quick_ends_with_what_could_be_done_and_says_what_it_left_out(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    script = (
        "import sys; from tcpconn_bench import arguments; arguments._A_MINUTE = arguments._QUICK_TIMEOUT; "
        "from tcpconn.cli import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "compare", "--quick", "--backends", "tcp", "--json", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert json.loads(path.read_text())["subjects"]["tcp"]["left_out"].keys() == {"round_trip", "stream"}
    assert "left out round trip, stream: the time was up (--quick takes a minute at most)" in " ".join(done.stdout.split())


def test_a_variant_is_the_backend_with_other_settings_in_both_its_processes(
    environment: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "r.json"
    variant = "credit=65536,linger=1"
    wanted = ["--backends", "tcp", "--no-floors", "--variant", f"tcp:{variant}", "--ablation"]
    done = compare(environment, *wanted, *SMALL, "--rounds", "1", "--json", path)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(path.read_text())
    names = [f"tcp {variant}", *(f"tcp {switch}" for switch in SWITCHES)]
    assert list(result["subjects"]) == ["tcp", *names]
    config = result["environment"]["config"]
    for name in names:
        one = result["subjects"][name]
        assert (one["variant_of"], one["failures"]) == ("tcp", 0)
        assert one["to_default"]["round_trip"]["p50"]["ratio"] > 0
        assert {key: config[name][key] for key in one["changes"]} == one["changes"]
        assert {key for key in config[name] if config[name][key] != config["tcp"][key]} == one["changes"].keys()
    assert "variants of tcp, round trip" in done.stdout


def test_a_changed_echo_ends_in_exit_code_1(environment: dict[str, str], tmp_path: Path) -> None:
    found = compare_one(environment, "corrupting", tmp_path / "r.json")
    # The fifteenth in each round's new process.
    assert (found["failures"], found["error"]) == (2, None)


def test_streamed_messages_out_of_order_end_in_exit_code_1(environment: dict[str, str], tmp_path: Path) -> None:
    found = compare_one(environment, "reordering", tmp_path / "r.json")
    assert found["error"] is None


def test_a_subject_whose_process_ends_is_given_up_and_the_others_go_on(environment: dict[str, str], tmp_path: Path) -> None:
    found = compare_one(environment, "crashing", tmp_path / "r.json")
    assert "the server's process ended unexpectedly (exit code 7)" in found["error"]
    assert "about to crash" in found["error"]
    assert found["rounds"] == []


def test_an_error_in_a_subject_is_reported_in_its_own_words(environment: dict[str, str], tmp_path: Path) -> None:
    assert "RuntimeError: no more of this" in compare_one(environment, "raising", tmp_path / "r.json")["error"]


def test_a_subject_that_does_not_get_on_is_given_up_after_the_timeout(environment: dict[str, str], tmp_path: Path) -> None:
    found = compare_one(environment, "losing", tmp_path / "r.json", "--timeout", "4")
    assert "did not answer within 4 s" in found["error"]


def test_a_subject_that_is_not_here_is_skipped_with_its_reason(environment: dict[str, str], tmp_path: Path) -> None:
    both = ["--subject", "test_compare:Absent", "--subject", "plain-socket"]
    done = compare(environment, "--backends", "", *both, *SMALL, "--json", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    assert "skipped absent: its package is not on [this] machine" in done.stdout
    assert list(json.loads((tmp_path / "r.json").read_text())["subjects"]) == ["plain-socket"]
    done = compare(environment, "--backends", "", "--subject", "test_compare:Absent", *SMALL)
    assert (done.returncode, "nothing could be measured" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--messages", "absent.jsonl"], "cannot read absent.jsonl"),
        (["--backends", "carrier-pigeon"], "backend='carrier-pigeon'"),
        (["--backends", "plain-socket"], "'plain-socket' is no backend"),
        (["--subject", "test_compare:nothing"], "'test_compare:nothing' cannot be loaded"),
        (["--subject", "plain-socket", "--subject", "test_compare:PlainSocket"], "two subjects are called"),
        (["--json", "absent/result.json"], "there is no directory absent"),
        (["--rounds", "0"], "0 is not at least 1"),
        (["--warmup", "-1"], "-1 is negative"),
        (["--timeout", "0"], "0 is not a positive number"),
        (["--sizes", "100,1XB"], "'1XB' is no size"),
        (["--sizes", "100", "--messages", "here.jsonl"], "give one of the two"),
        (["--round-bytes", "much"], "'much' is no size"),
        (["--variant", "tcp:busy_pole=0"], "did you mean 'busy_poll'"),
        (["--variant", "tcp"], "'tcp' is no variant"),
        (["--timestamps", "ts"], "--timestamps is about the messages of --messages"),
        (["--rate", "5", "--speed", "2"], "give one of the two"),
        (["--workloads", "all,fan-out"], "'all' is no workload"),
        (["--floors", "some"], "invalid choice: 'some'"),
        (["--html", "nowhere/page.html"], "cannot write nowhere/page.html: there is no directory nowhere"),
    ],
)
def test_wrong_usage_is_exit_code_2_with_the_reason(
    environment: dict[str, str], tmp_path: Path, arguments: list[str], reason: str
) -> None:
    done = subprocess.run(
        command(*arguments),
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2
    assert reason in done.stderr
    assert "Traceback" not in done.stderr


Running = tuple[subprocess.Popen[str], list[int], int]
"""A comparison, the ids of the workers that have announced themselves, and the FIFO that they hold open."""


@contextmanager
def announcing(environment: dict[str, str], folder: Path, workers: int, *arguments: str | Path) -> Iterator[Running]:
    """Start a comparison, and wait until so many of its workers have announced themselves."""
    fifo = folder / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    # While somebody may write there is no end of file, which also comes between two rounds.
    writer = os.open(fifo, os.O_WRONLY)
    process = subprocess.Popen(
        command("--backends", "", "--subject", "test_compare:Announcing", *arguments),
        env={**environment, FIFO: str(fifo)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        read = b""
        while read.count(b"\n") < workers:
            assert select.select([reader], [], [], DEADLINE)[0], "the workers never announced themselves"
            read += os.read(reader, 1000)
        os.close(writer)
        yield process, list(map(int, read.split())), reader
    finally:
        process.kill()
        process.communicate()
        os.close(reader)


@pytest.fixture
def running(environment: dict[str, str], tmp_path: Path) -> Iterator[Running]:
    """A comparison whose first round takes long, and its two workers."""
    with announcing(environment, tmp_path, 2, "--round-trips", "3000000", "--round-bytes", "10000000000") as started:
        yield started


def wait_for_end_of_file(reader: int) -> None:
    assert select.select([reader], [], [], DEADLINE)[0], "a worker still lives"
    assert os.read(reader, 1000) == b""


def test_ctrl_c_ends_every_process_and_says_so(running: Running) -> None:
    process, workers, reader = running
    assert sorted(child.pid for child in psutil.Process(process.pid).children()) == sorted(workers)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert "interrupted: all processes are ended" in errors
    assert "Traceback" not in errors
    wait_for_end_of_file(reader)
    assert not any(psutil.pid_exists(pid) for pid in workers)


def test_ctrl_c_keeps_the_rounds_that_were_done(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    # The third worker belongs to the second round, so the first is done.
    with announcing(environment, tmp_path, 3, *SMALL, "--rounds", "500", "--json", path) as (process, _, reader):
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=DEADLINE)
        assert process.returncode == 130
        assert "the figures are of the rounds that were done" in errors
        assert "Traceback" not in errors
        wait_for_end_of_file(reader)
    assert "(of 500, when it ended)" in " ".join(output.split())
    result = json.loads(path.read_text())
    subject = result["subjects"]["announcing"]
    assert result["interrupted"] is True
    assert 1 <= len(subject["rounds"]) < 500
    assert (subject["failures"], subject["error"]) == (0, None)
    assert subject["round_trip"]["p50"] > 0


def test_a_regression_against_an_earlier_result_ends_in_exit_code_1(environment: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    arguments = ["--backends", "", "--subject", "plain-socket", "--sizes", "99", *SMALL]
    assert compare(environment, *arguments, "--rounds", "1", "--json", path).returncode == 0
    old = json.loads(path.read_text())
    (measured,) = old["subjects"]["plain-socket"]["by_size"]
    (only,) = measured["rounds"]
    faster = {**only, "round_trip": {**only["round_trip"], "p50": only["round_trip"]["p50"] / 100}}
    measured["rounds"] = [faster] * 6
    path.write_text(json.dumps(old))

    done = compare(environment, *arguments, "--rounds", "6", "--against", path)
    assert done.returncode == 1, done.stderr
    assert "REGRESSION plain-socket, 99 B: round trip, p50: slower" in " ".join(done.stdout.split())
    assert "figures are more than 5 % worse than in" in done.stderr

    other = compare(environment, "--backends", "", "--subject", "plain-socket", "--sizes", "98", *SMALL, "--against", path)
    assert other.returncode == 2
    assert "was measured with other messages" in other.stderr


def test_no_process_outlives_a_comparison_that_is_killed(
    running: Running,
) -> None:
    process, _, reader = running
    process.kill()
    process.communicate(timeout=DEADLINE)
    wait_for_end_of_file(reader)

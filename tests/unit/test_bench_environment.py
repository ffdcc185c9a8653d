"""What the result of `tcpconn compare` says of the machine and the software."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tcpconn_bench import environment
from tcpconn_bench.environment import describe


def test_the_environment_tells_machine_and_software_apart() -> None:
    told = describe("tcpconn compare --quick")
    assert told["command_line"] == "tcpconn compare --quick"
    assert told["cpu"]["model"]
    assert told["cpu"]["logical_cores"] >= 1
    assert told["python"]["version"].count(".") == 2
    assert told["versions"]["msgpack"]
    assert json.loads(json.dumps(told)) == told


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity") or (os.cpu_count() or 1) < 2, reason="there is nothing to choose")
def test_a_process_that_is_held_to_some_cores_says_so() -> None:
    core = min(os.sched_getaffinity(0))
    program = (
        f"import os, json; os.sched_setaffinity(0, {{{core}}}); from tcpconn_bench.environment import describe; "
        "print(json.dumps(describe('')['cpu']))"
    )
    told = json.loads(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)
    assert (told["pinned_to"], told["usable_cores"]) == ([core], 1)


def test_the_congestion_control_is_told_where_the_system_tells_it(tmp_path: Path) -> None:
    assert environment._congestion_control(tmp_path) is None
    (tmp_path / "tcp_congestion_control").write_text("bbr\n")
    assert environment._congestion_control(tmp_path) == "bbr"


def test_the_governor_is_told_where_there_is_one(tmp_path: Path) -> None:
    assert environment._governor(tmp_path) is None
    (tmp_path / "scaling_governor").write_text("performance\n")
    assert environment._governor(tmp_path) == "performance"

"""The processes of the comparison, from the side that starts them. They are real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tcpconn_bench.processes import SubjectFailed, WorkerProcess, gather

DEADLINE = 30


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess("server", "plain-socket")
    yield process
    process.end()


def wait_for_the_end(worker: WorkerProcess) -> None:
    worker._process.wait(DEADLINE)


def test_answers_that_arrive_together_are_told_one_by_one(worker: WorkerProcess) -> None:
    worker.tell(do="listen")
    worker.tell(do="close")
    wait_for_the_end(worker)
    (listening,) = gather([worker], DEADLINE)
    assert listening["address"].startswith("127.0.0.1:")
    assert listening["settings"]["framing"] == "4-byte length"
    assert gather([worker], DEADLINE) == [{}]
    with pytest.raises(SubjectFailed, match=r"the server's process ended unexpectedly$"):
        gather([worker], DEADLINE)


def test_an_error_behind_an_answer_is_reported_in_its_own_words(worker: WorkerProcess) -> None:
    worker.tell(do="listen")
    worker.tell(do="fly")
    wait_for_the_end(worker)
    gather([worker], DEADLINE)
    with pytest.raises(SubjectFailed, match=r"failed: ValueError: unknown command 'fly' \(exit code 1\)"):
        gather([worker], DEADLINE)


def test_a_command_to_a_process_that_has_ended_is_a_failure(worker: WorkerProcess) -> None:
    worker.tell(do="close")
    wait_for_the_end(worker)
    with pytest.raises(SubjectFailed, match="ended unexpectedly"):
        worker.tell(do="listen")
    worker.end()
    worker.end()


def test_a_file_in_the_current_directory_does_not_take_the_place_of_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "queue.py").write_text("raise SystemExit('this is no queue')")
    monkeypatch.chdir(tmp_path)
    worker = WorkerProcess("server", "plain-socket")
    try:
        worker.tell(do="close")
        assert gather([worker], DEADLINE) == [{}]
    finally:
        worker.end()


def test_when_both_sides_fail_both_are_told(worker: WorkerProcess) -> None:
    other = WorkerProcess("client", "plain-socket")
    try:
        for process, command in ((worker, "fly"), (other, "swim")):
            process.tell(do=command)
            wait_for_the_end(process)
        with pytest.raises(SubjectFailed, match=r"the server's process failed: .*'fly'(?s:.*); the client's process .*'swim'"):
            gather([worker, other], DEADLINE)
    finally:
        other.end()

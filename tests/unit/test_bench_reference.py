"""The reference figures: goals and ratios, the processes that are measured, and the command's output."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("rich")

from acting import Counting, Serving
from tcpconn_bench.reference.__main__ import main
from tcpconn_bench.reference.actors import Actor, ActorFailed
from tcpconn_bench.reference.figures import Figure, at_least, at_most
from tcpconn_bench.subjects import Subject, find


def figure(**given: object) -> Figure:
    found = Figure("a thing", "µs", peer="another", **given)  # type: ignore[arg-type]
    for value, beside in ((10.0, 5.0), (40.0, 10.0), (9.0, 3.0)):
        found.add(value, beside)
    return found


def test_the_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    assert figure().ratio == 3.0


def test_the_difference_is_the_median_of_the_differences_within_each_round() -> None:
    assert figure().difference == 6.0


@pytest.mark.parametrize(
    ("goal", "text", "met"),
    [
        (at_most(3.0), "≤ 3 x", True),
        (at_most(2.9), "≤ 2.9 x", False),
        (at_least(3.0), "≥ 3 x", True),
        (at_least(3.1), "≥ 3.1 x", False),
        (at_most(10.0, ratio=False), "≤ 10", True),
        (at_most(9.9, ratio=False), "≤ 9.9", False),
    ],
)
def test_a_goal_is_held_against_the_ratio_or_the_median_of_the_figure(goal: object, text: str, met: bool) -> None:
    result = figure(goal=goal).result()
    assert (result["figure"], result["goal"], result["met"]) == (10.0, text, met)


def test_a_ratio_that_could_not_be_measured_meets_no_goal() -> None:
    alone = Figure("a thing", "µs", at_most(3.0))
    alone.add(1.0)
    assert (alone.ratio, alone.met) == (None, False)


def test_an_actor_keeps_its_object_in_another_process_and_has_settings_of_its_own() -> None:
    with Actor(Counting, 10, settings={"bench_test_step": 5}) as actor:
        assert [actor.call(Counting.more, 1), actor.call(Counting.more, by=2)] == [16, 18]
        assert actor.call(Counting.pid) != os.getpid()
    assert "TCPCONN_BENCH_TEST_STEP" not in os.environ


def test_what_an_actor_raises_is_told_and_it_goes_on() -> None:
    with Actor(Counting, 1) as actor:
        with pytest.raises(ActorFailed, match="less is not more"):
            actor.call(Counting.more, -1)
        assert actor.call(Counting.more, 1) == 2


def test_an_actor_that_cannot_be_made_says_why() -> None:
    with Actor(Counting, "one") as actor, pytest.raises(ActorFailed, match="TypeError"):
        actor.call(Counting.pid)


def test_the_end_of_an_actors_process_is_noticed() -> None:
    with Actor(Counting, 1) as actor:
        os.kill(actor.call(Counting.pid), signal.SIGKILL)
        with pytest.raises(ActorFailed, match="ended"):
            actor.call(Counting.more, 1)


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("large:INTO", False),
        ("large:SOCKET_INTO", False),
        ("large:VIEWS", True),
        ("large:NO_COPY", True),
        ("layers:FRAMES", True),
        ("layers:MULTIPLEXER", True),
        ("layers:ENGINE", True),
    ],
)
def test_a_subject_of_the_reference_figures_carries_what_it_is_given(name: str, exact: bool) -> None:
    subject = cast("Subject", find(f"tcpconn_bench.reference.{name}"))
    messages = [bytes([number]) * size for number, size in enumerate([100] * 100 + [1, 70_000, 5, 200_000, 100])]
    with Actor(Serving, f"tcpconn_bench.reference.{name}") as server:
        address = server.call(Serving.address)
        server.begin(Serving.accept)
        client = subject.connect(address)
        server.result()
        server.begin(Serving.receive_singly, len(messages))
        client.send_many(messages)
        for received, message in zip(server.result(), messages, strict=True):
            # What receives into one large buffer leaves the rest of it as it was.
            assert (received if exact else received[: len(message)]) == message
        server.begin(Serving.count_batches, 3, 2)
        for message in messages[:5]:
            client.send(message)
        assert server.result() == [3, 2]
        server.begin(Serving.send, messages)
        assert [client.receive() for _ in messages] == messages
        server.result()
        client.close()


def test_the_command_prints_each_row_and_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "figures.json"
    assert main(["--row", "second", "--rounds", "2", "--json", str(path)]) == 0
    rows = json.loads(path.read_text())["second"]
    output = capsys.readouterr().out
    assert len(rows) == 4
    for row in rows:
        assert len(row["rounds"]) == 2
        assert row["what"] in output
    assert min(rows[0]["rounds"]) > 0

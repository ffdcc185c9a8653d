"""What a round of `tcpconn compare` asks of its subjects."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import pytest

from tcpconn_bench.arguments import add_arguments, amounts
from tcpconn_bench.messages import MessageSet, made_of_size
from tcpconn_bench.planning import Clock, Options, affordable, groups, plan, sample, shortened
from tcpconn_bench.workload_names import DEFAULT, NAMES, RECONNECT, REPLAY
from tcpconn_bench.workloads import STREAM, WORKLOADS, Task

TRACE = MessageSet("here", "jsonl", [b"x" * 10] * 5, times=[0.0, 0.5, 1.0, 3.0, 9.0])


def options(*words: str) -> Options:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    chosen = amounts(parser.parse_args(words))
    names: dict[str, Any] = {
        "backends": (),
        "apis": (),
        "peers": (),
        "variants": (),
        "subjects": (),
        "floors": False,
        "further_floors": False,
    }
    return Options(**names, sizes=(), command_line="", costs=False, **chosen)


def replayed(messages: MessageSet, *words: str) -> Task:
    task = plan(WORKLOADS[REPLAY], messages, 3, options(*words))
    assert isinstance(task, Task)
    return task


def test_a_trace_is_replayed_at_its_own_times_from_its_beginning_for_some_seconds() -> None:
    assert replayed(TRACE) == Task(count=4, offsets=(0, 500_000_000, 1_000_000_000, 3_000_000_000))
    assert replayed(TRACE, "--replay-seconds", "0.7").offsets == (0, 500_000_000)
    assert replayed(TRACE, "--quick").count == 2


def test_a_trace_is_replayed_so_many_times_as_fast() -> None:
    assert replayed(TRACE, "--speed", "10").offsets == (0, 50_000_000, 100_000_000, 300_000_000, 900_000_000)


@pytest.mark.parametrize("messages", [TRACE, made_of_size(10)])
def test_any_messages_are_replayed_at_a_rate(messages: MessageSet) -> None:
    task = replayed(messages, "--rate", "4", "--replay-seconds", "2")
    assert task == Task(count=8, offsets=tuple(range(0, 2_000_000_000, 250_000_000)))


def test_a_replay_is_bounded_by_bytes() -> None:
    assert replayed(TRACE, "--round-bytes", "25").offsets == (0, 500_000_000)


def test_without_times_or_a_rate_nothing_is_replayed() -> None:
    reason = plan(WORKLOADS[REPLAY], made_of_size(10), 0, options())
    assert reason == "the messages have no times: give --rate, or --messages with --timestamps"


def test_a_warm_up_is_the_first_quarter() -> None:
    task = replayed(TRACE)
    assert shortened(task) == replace(task, count=1, offsets=(0,))
    assert shortened(Task(count=3)).count == 1


def test_replay_is_added_to_the_default_by_its_options_alone() -> None:
    assert options().workloads == DEFAULT
    for words in (["--rate", "1"], ["--speed", "1"], ["--timestamps", "ts"], ["--replay-seconds", "1"]):
        assert options(*words).workloads == (*DEFAULT, REPLAY)
    assert options("--workloads", "churn", "--rate", "1").workloads == ("churn",)


def test_messages_go_on_in_each_round_where_the_one_before_it_stopped() -> None:
    tasks = [plan(WORKLOADS["stream"], TRACE, number, options("--stream-messages", "7")) for number in range(3)]
    assert tasks == [Task(count=7, start=start, in_flight=16, connections=50) for start in (0, 2, 4)]


def test_only_workloads_of_processes_have_several_clients() -> None:
    clients = {
        name: task.clients
        for name, workload in WORKLOADS.items()
        if isinstance(task := plan(workload, TRACE, 0, options("--clients", "3")), Task)
    }
    assert clients.pop("clients") == 3
    assert clients.keys() == set(NAMES) - {"clients"}
    assert set(clients.values()) == {1}


def test_small_messages_beside_large_ones_have_to_be_small() -> None:
    task = plan(WORKLOADS["beside_bulk"], made_of_size(100_000), 0, options())
    assert task == "the messages are not small: more than 64 KiB on average"


def test_workloads_on_one_connection_are_done_together_and_the_others_alone() -> None:
    chosen = replace(options(), workloads=("stream", "churn", "round_trip", "fan_in"))
    assert [[one.name for one in group] for group in groups(chosen)] == [["stream", "round_trip"], ["churn"], ["fan_in"]]


def test_quick_has_less_of_everything_and_ends_within_a_minute_with_a_step_that_takes_its_time() -> None:
    quick, usual = options("--quick"), options()
    assert quick.round_trips < usual.round_trips
    assert quick.within is not None
    assert quick.within + quick.timeout == 60
    assert (usual.within, usual.timeout) == (None, 60)


def test_a_clock_says_when_the_time_is_up() -> None:
    assert Clock(0).is_up()
    assert not Clock(1000).is_up()
    assert not Clock(None).is_up()


def test_a_subject_that_is_slow_is_asked_for_as_much_as_fits_into_a_quarter_of_its_time() -> None:
    task = Task(count=200_000)
    part = sample(WORKLOADS[STREAM], task)
    assert part == Task(count=5000)
    assert affordable(task, part, 0.25, timeout=60) == task
    assert affordable(task, part, 2.2, timeout=60) == Task(count=37_500)
    assert affordable(task, part, 1e6, timeout=60) == Task(count=1)
    assert affordable(task, part, 0.0, timeout=60) == task


@pytest.mark.parametrize(("name", "count"), [(STREAM, 399), (REPLAY, 100_000), (RECONNECT, 100_000)])
def test_no_sample_is_taken_of_little_nor_of_what_says_itself_how_long_it_takes(name: str, count: int) -> None:
    assert sample(WORKLOADS[name], Task(count=count)) is None

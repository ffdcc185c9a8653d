"""The workloads of `tcpconn compare` on connections in memory, of both flavours: what is verified, and what is found wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import pytest

from queued import Fault, carry_out, carry_out_asyncio, change, lose, repeat, swap
from tcpconn_bench import workload_names
from tcpconn_bench.workloads import ROUND_TRIP, STREAM, WORKLOADS, Task, summarize
from tcpconn_bench.workloads.checking import count_right, fit, is_same, take
from tcpconn_bench.workloads.numbered import SINK, Checker, Rows
from tcpconn_bench.workloads.reconnect import relayed

MESSAGES = [index.to_bytes(2, "big") * (index * 7 % 2500 + 1) for index in range(1000)]
TASK = Task(count=len(MESSAGES))


class CarryOut(Protocol):
    """`queued.carry_out` or its like."""

    def __call__(
        self, workload: str, messages: list[bytes], task: Task, *, there: Fault = ..., back: Fault = ..., patience: float = ...
    ) -> tuple[dict[str, Any], dict[str, Any]]: ...


@pytest.fixture(params=[carry_out, carry_out_asyncio], ids=["blocking", "asyncio"])
def run(request: pytest.FixtureRequest) -> CarryOut:
    found: CarryOut = request.param
    return found


def test_every_echo_is_verified_and_timed(run: CarryOut) -> None:
    client, _ = run(ROUND_TRIP, MESSAGES, TASK)
    assert client["verified"] == len(MESSAGES)
    assert len(client["times"]) == len(MESSAGES)
    assert min(client["times"]) > 0
    assert set(summarize(client)) == {"verified", "p50", "p99", "p999", "max", "mean", "histogram"}


def test_a_changed_echo_is_found(run: CarryOut) -> None:
    client, _ = run(ROUND_TRIP, MESSAGES, TASK, back=change(3))
    assert client["verified"] == len(MESSAGES) - 1


def test_every_streamed_message_is_verified_by_the_receiver(run: CarryOut) -> None:
    client, server = run(STREAM, MESSAGES, TASK)
    assert server == {"verified": len(MESSAGES)}
    assert client["seconds"] > 0
    assert summarize(client) == client


def test_a_changed_streamed_message_is_found(run: CarryOut) -> None:
    _, server = run(STREAM, MESSAGES, TASK, there=change(3))
    assert server == {"verified": len(MESSAGES) - 1}


def test_streamed_messages_that_change_places_are_found(run: CarryOut) -> None:
    _, server = run(STREAM, MESSAGES, TASK, there=swap(3))
    assert server == {"verified": len(MESSAGES) - 2}


def test_a_changed_confirmation_is_an_error(run: CarryOut) -> None:
    with pytest.raises(ValueError, match="confirmation"):
        run(STREAM, MESSAGES, Task(count=10), back=change(1))


@pytest.mark.parametrize("workload", [ROUND_TRIP, STREAM])
def test_a_message_that_comes_twice_is_found(run: CarryOut, workload: str) -> None:
    client, server = run(workload, MESSAGES, TASK, there=repeat(3))
    assert {**client, **server}["verified"] < len(MESSAGES)


@pytest.mark.parametrize("workload", [ROUND_TRIP, STREAM])
def test_a_message_that_never_comes_is_waited_for(run: CarryOut, workload: str) -> None:
    with pytest.raises(TimeoutError):
        run(workload, MESSAGES, TASK, there=lose(3), patience=0.2)


SEVERAL = [name for name, workload in WORKLOADS.items() if not workload.connected and name != "reconnect"]
"""Those that make their connections themselves and need nothing between the two sides."""

SOME = Task(count=200, in_flight=8, connections=5, offsets=tuple(range(0, 20_000_000, 100_000)))
FEW = {("fan_in", "back"): 3, ("slow_reader", "there"): 3, ("replay", "back"): 1}
"""Which message to tamper with in directions in which there is not much but requests and confirmations."""

ECHOED = replace(SOME, echo=True)


def found_right(measured: tuple[dict[str, Any], dict[str, Any]], task: Task) -> tuple[int, int]:
    """Return how many messages were found right, and how many were carried."""
    client, server = measured
    return client.get("verified", 0) + server.get("verified", 0), client.get("messages", task.count)


@pytest.mark.parametrize("workload", SEVERAL)
def test_every_message_of_every_workload_is_verified(run: CarryOut, workload: str) -> None:
    measured = run(workload, MESSAGES, SOME)
    right, carried = found_right(measured, SOME)
    assert right == carried > 0
    client, server = map(summarize, measured)
    wanted = WORKLOADS[workload]
    assert not wanted.latency or {**client, **server}["p50"] > 0
    assert not wanted.rate or client["seconds"] > 0
    assert set(wanted.further) == client.get("figures", {}).keys()


@pytest.mark.parametrize("start", [0, 7])
@pytest.mark.parametrize("workload", SEVERAL)
def test_fewer_messages_than_connections_are_enough(run: CarryOut, workload: str, start: int) -> None:
    for count in (1, 9):
        task = replace(SOME, count=count, start=start, offsets=SOME.offsets[:count])
        right, carried = found_right(run(workload, [b"", b"one"], task), task)
        assert right == carried > 0


@pytest.mark.parametrize("fault", [change, repeat, lose, swap])
@pytest.mark.parametrize("direction", ["there", "back"])
@pytest.mark.parametrize("workload", SEVERAL)
def test_what_goes_wrong_on_the_way_is_noticed_in_every_workload(
    run: CarryOut, workload: str, direction: str, fault: Callable[[int], Fault]
) -> None:
    which = FEW.get((workload, direction), 21)
    faults: Any = {direction: fault(which)}
    try:
        right, carried = found_right(run(workload, MESSAGES, SOME, patience=0.1, **faults), SOME)
    except (TimeoutError, ValueError):
        # It waits for what does not come, or something else comes in place of an end.
        return
    assert right < carried


@pytest.mark.parametrize("fault", [change, repeat, lose, swap])
@pytest.mark.parametrize("direction", ["there", "back"])
def test_what_goes_wrong_on_the_way_is_noticed_in_a_replay_timed_by_its_echo(
    run: CarryOut, direction: str, fault: Callable[[int], Fault]
) -> None:
    assert found_right(run("replay", MESSAGES, ECHOED), ECHOED) == (200, 200)
    faults: Any = {direction: fault(21)}
    try:
        right, carried = found_right(run("replay", MESSAGES, ECHOED, patience=0.1, **faults), ECHOED)
    except (TimeoutError, ValueError):
        return
    assert right < carried


@pytest.mark.parametrize("task", [SOME, ECHOED], ids=["one way", "echo"])
def test_in_a_replay_a_stall_counts_for_every_message_that_was_to_be_sent_meanwhile(run: CarryOut, task: Task) -> None:
    # Ten messages a millisecond; the one in the middle takes 50 of them, longer than all that come after.
    stalled = 0

    def stall(message: bytes) -> list[bytes]:
        nonlocal stalled
        stalled += 1
        if stalled == 102:
            time.sleep(0.05)
        return [message]

    client, server = run("replay", MESSAGES, task, there=stall)
    times = {**client, **server}["times"]
    assert len(times) == 200
    assert min(times[100:]) > 30_000_000
    assert client["seconds"] > 0.05
    assert client["figures"]["intended_per_second"] == pytest.approx(10_000)


@pytest.mark.parametrize("workload", SEVERAL)
def test_a_server_that_never_answers_is_waited_for(run: CarryOut, workload: str) -> None:
    with pytest.raises(TimeoutError):
        run(workload, MESSAGES, SOME, back=lambda message: [], patience=0.2)


def test_connections_with_one_endpoint_at_the_server_are_told_apart_by_their_numbers() -> None:
    rows = Rows(SINK, MESSAGES[:10], 0, 10, 3)
    checker = Checker(rows)
    mixed = [rows.numbered[number] for number in (0, 3, 1, 2, 4, 6, 9, 5, 0, 7, 8, 1)]
    assert [checker.check(message) for message in mixed] == [1] * 12
    assert [checker.check(rows.numbered[number]) for number in (3, 9, 0, 0, 4)] == [1, -1, 1, -1, 1]
    assert checker.check(rows.numbered[7][:-1]) == -1


def test_requests_in_flight_are_no_more_than_asked_for_and_fewer_if_they_are_large() -> None:
    most = 0
    under_way = 0

    def sent(message: bytes) -> list[bytes]:
        nonlocal most, under_way
        under_way += 1
        most = max(most, under_way)
        return [message]

    def answered(message: bytes) -> list[bytes]:
        nonlocal under_way
        under_way -= 1
        return [message]

    for size, expected in ((10, 5), (100_000, 2), (1_000_000, 1)):
        most = 0
        carry_out_asyncio("in_flight", [bytes(size)], Task(count=20, in_flight=5), there=sent, back=answered)
        assert most == expected


@pytest.mark.parametrize(
    ("address", "target", "listen", "replaced"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", "127.0.0.1:0", "127.0.0.1:80"),
        ("tcp://10.0.0.1:80", "10.0.0.1:80", "127.0.0.1:0", "10.0.0.1:80"),
        ("http://localhost:80/x", "localhost:80", "127.0.0.1:0", "localhost:80"),
        ("[::1]:80", "[::1]:80", "[::1]:0", "[::1]:80"),
        ("unix:/a/b", "unix:/a/b", r"unix:/a/b-\d+", "/a/b"),
        ("/a/b", "unix:/a/b", r"unix:/a/b-\d+", "/a/b"),
    ],
)
def test_a_relay_stands_before_any_address_with_a_port_or_a_path(address: str, target: str, listen: str, replaced: str) -> None:
    found = relayed(address)
    assert (found[0], found[2]) == (target, replaced)
    assert re.fullmatch(listen.replace("[", r"\["), found[1])


def test_no_relay_stands_before_an_address_that_leads_nowhere() -> None:
    with pytest.raises(ValueError, match="no relay can stand before 'here'"):
        relayed("here")


def test_a_stream_of_large_messages_is_verified_in_small_batches(run: CarryOut) -> None:
    messages = [bytes([index]) * 200_000 for index in range(20)]
    _, server = run(STREAM, messages, Task(count=20))
    assert server == {"verified": 20}


def test_workloads_are_named_as_people_write_them_and_all_have_a_name() -> None:
    assert tuple(WORKLOADS) == workload_names.NAMES
    assert workload_names.parse("all") == workload_names.NAMES
    assert workload_names.parse("fan-in, round_trip,fan-in") == ("round_trip", "fan_in")
    for wrong in ("", "fan-out", "all,stream"):
        with pytest.raises(ValueError, match="is no workload; there are round-trip, stream, "):
            workload_names.parse(wrong)


def test_a_task_is_the_same_in_the_other_process() -> None:
    task = Task(count=3, start=2, in_flight=4, connections=5, clients=6, offsets=(0, 10), echo=True)
    assert Task.from_json(task.as_json()) == task


def test_messages_are_taken_in_turn_beginning_anew_at_the_end() -> None:
    assert take([b"a", b"b", b"c"], 2, 5) == [b"c", b"a", b"b", b"c", b"a"]


def test_a_round_is_bounded_by_count_and_by_bytes_but_never_empty() -> None:
    messages = [b"x" * 10, b"y" * 20]
    assert fit(messages, 0, 5, 1000) == 5
    assert fit(messages, 0, 5, 40) == 3
    assert fit(messages, 1, 5, 40) == 2
    assert fit(messages, 0, 5, 1) == 1


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_message_of_any_kind_is_the_same_if_all_its_bytes_are(kind: Callable[[bytes], bytes]) -> None:
    for message in (b"", b"a", b"abc" * 1000):
        assert is_same(kind(message), message)
        assert not is_same(kind(message + b"!"), message)
        assert not is_same(kind(b"!" + message[1:]), message)
    assert not is_same(kind(b"ab"), b"abc")
    batch = [b"one", b"two", b"three"]
    assert count_right(batch, [kind(message) for message in batch]) == 3
    assert count_right(batch, [kind(b"one"), kind(b"three"), kind(b"three")]) == 2
    assert count_right(batch, [kind(b"one"), kind(b"two")]) == 2

"""Each technique that can be switched off, switched off: slower, and otherwise the same connections."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from behaving import DEADLINE, Connect, Echo, Lines

pytestmark = pytest.mark.flavours("blocking", "asyncio", "blocking to asyncio")

SWITCHED_OFF: list[dict[str, Any]] = [
    {"busy_poll": 0},
    {"coalesce": False},
    {"leader_followers": False},
    {"gather": False},
    {"receive_in_place": False},
    {"read_ahead": False},
    {"reuse_buffers": False},
    {"unpaced_loopback": False},
]
ALL_OFF = {name: value for switch in SWITCHED_OFF for name, value in switch.items()}
SIZES = [0, 1, 100, 5000, 70_000, 300_000, 3 << 20]


@pytest.mark.parametrize("settings", [*SWITCHED_OFF, ALL_OFF], ids=[*(next(iter(one)) for one in SWITCHED_OFF), "all"])
def test_messages_of_every_size_go_both_ways_and_in_order(echo: Echo, connect: Connect, settings: dict[str, Any]) -> None:
    client = connect(echo(**settings).address, **settings)
    sent = [random.Random(size).randbytes(size) for size in random.Random(3).choices(SIZES, k=40)]
    with ThreadPoolExecutor(1) as thread:
        sending = thread.submit(client.send_many, sent)
        assert [client.receive(DEADLINE) for _ in sent] == sent
        assert sending.result(DEADLINE) == len(sent)


def test_with_all_off_nothing_is_lost_over_a_cut(line: Lines, echo: Echo, connect: Connect) -> None:
    lines = line(echo(**ALL_OFF))
    client = connect(lines.address, **ALL_OFF)
    sent = [b"%d" % number * 30_000 for number in range(30)]
    for number, message in enumerate(sent):
        client.send(message)
        if number % 10 == 5:
            lines.cut()
    assert [client.receive(DEADLINE) for _ in sent] == sent

"""Who takes part in a comparison, by what was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from tcpconn_bench.entrants import Names, UsageError, choose

pytest.importorskip("zmq")


def names(**changes: Any) -> Names:
    chosen: dict[str, Any] = {
        "backends": ("tcp",),
        "apis": ("blocking",),
        "variants": (),
        "subjects": (),
        "floors": True,
        "further_floors": False,
    }
    return Names(**{**chosen, **changes})


def chosen(**changes: Any) -> list[str]:
    entrants, skipped = choose(names(**changes))
    assert skipped == {}
    return [entrant.record.name for entrant in entrants]


def test_each_backend_stands_before_its_floors() -> None:
    assert chosen(backends=("tcp", "zmq")) == ["tcp", "plain-socket", "zmq", "plain-pyzmq"]
    assert chosen(backends=("zmq", "tcp"), floors=False) == ["zmq", "tcp"]
    assert chosen(backends=("tcp", "zmq"), further_floors=True) == [
        "tcp",
        "plain-socket",
        "polling-socket",
        "zmq",
        "plain-pyzmq",
        "plain-pyzmq-nocopy",
    ]


def test_each_backend_is_used_by_each_api() -> None:
    assert chosen(apis=("blocking", "asyncio")) == ["tcp", "plain-socket", "tcp-asyncio", "plain-protocol"]


def test_a_subject_that_is_named_twice_takes_part_once() -> None:
    assert chosen(subjects=("plain-socket", "polling-socket"), variants=("tcp:busy_poll=0",) * 2) == [
        "tcp",
        "tcp busy_poll=0",
        "plain-socket",
        "polling-socket",
    ]


def test_a_variant_brings_its_backend_with_it_and_knows_what_it_changes() -> None:
    entrants, _ = choose(names(backends=(), variants=("tcp:busy_poll=0,coalesce=off",), floors=False))
    assert [entrant.key for entrant in entrants] == ["tcp", "tcp:busy_poll=0,coalesce=off"]
    record = entrants[1].record
    assert (record.role, record.floor, record.variant_of) == ("variant", "plain-socket", "tcp")
    assert record.changes == {"busy_poll": 0, "coalesce": False}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"variants": ("tcp",)}, "'tcp' is no variant"),
        ({"variants": ("tcp:busy_pole=0",)}, "did you mean 'busy_poll'"),
        ({"variants": ("tcp:busy_poll=often",)}, "busy_poll='often'"),
        ({"variants": ("plain-socket:busy_poll=0",)}, "'plain-socket' is no backend"),
        ({"variants": ("pigeon:busy_poll=0",)}, "backend='pigeon'"),
        ({"backends": ("tcp:busy_poll=0",)}, "is no backend of tcpconn"),
        ({"backends": ("polling-socket",)}, "'polling-socket' is no backend of tcpconn"),
        ({"subjects": ("no_such_module:subject",)}, "cannot be loaded"),
    ],
)
def test_a_name_that_makes_no_sense_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        choose(names(**changes))

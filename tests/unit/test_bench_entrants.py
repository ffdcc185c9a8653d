"""Who takes part in a comparison, by what was asked for."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tcpconn_bench.entrants import Names, UsageError, choose
from tcpconn_bench.subjects import PEERS

pytest.importorskip("zmq")


def names(**changes: Any) -> Names:
    chosen: dict[str, Any] = {
        "backends": ("tcp",),
        "apis": ("blocking",),
        "variants": (),
        "peers": (),
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


def test_each_backend_on_uvloop_has_a_floor_on_uvloop() -> None:
    assert chosen(apis=("uvloop",)) == ["tcp-uvloop", "plain-protocol-uvloop"]
    assert chosen(apis=("uvloop",), further_floors=True) == ["tcp-uvloop", "plain-protocol-uvloop", "plain-streams-uvloop"]


def test_peers_are_chosen_by_their_names_or_by_what_several_begin_with() -> None:
    def keys(*peers: str) -> list[str]:
        entrants, skipped = choose(names(backends=(), peers=peers))
        return sorted([*(entrant.key for entrant in entrants), *skipped])

    assert keys("grpc", "http") == ["grpc-stream", "grpc-unary", "http"]
    assert keys("websockets-asyncio") == ["websockets-asyncio"]
    assert keys("plain-streams-uvloop") == ["plain-streams-uvloop"]
    assert keys("all") == sorted(PEERS)


def test_a_peer_that_cannot_be_measured_here_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynng", None)
    entrants, skipped = choose(names(backends=(), peers=("pynng", "plain-streams")))
    assert [entrant.key for entrant in entrants] == ["plain-streams"]
    assert "pynng cannot be imported" in skipped["pynng"]


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
        ({"peers": ("pigeon",)}, "there is no peer 'pigeon'; there are pynng, grpc-unary"),
        ({"backends": ("http",)}, "'http' is no backend of tcpconn"),
        ({"peers": ("redis-uvloop",)}, "'redis' is not on an event loop"),
        ({"subjects": ("no_such_module:subject",)}, "cannot be loaded"),
    ],
)
def test_a_name_that_makes_no_sense_is_refused_with_the_reason(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        choose(names(**changes))

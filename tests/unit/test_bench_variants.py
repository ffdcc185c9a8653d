"""Backends with other settings: how they are written, and that the switches of the ablation are settings of the library."""

from __future__ import annotations

import pytest

import tcpconn
from tcpconn_bench.variants import ABLATION, is_variant, parse


def test_a_variant_is_a_backend_and_settings_of_the_right_types() -> None:
    variant = parse("tcp-asyncio: busy_poll=2e-5, credit=65536,coalesce=False,idle_timeout=none,curve=x")
    assert variant.base == "tcp-asyncio"
    assert variant.settings == {
        "busy_poll": 2e-5,
        "credit": 65_536,
        "coalesce": False,
        "idle_timeout": None,
        "curve": "x",
    }
    assert type(variant.settings["credit"]) is int
    assert variant.name == "tcp-asyncio busy_poll=2e-5,credit=65536,coalesce=False,idle_timeout=none,curve=x"


def test_a_key_leads_back_to_its_variant() -> None:
    variant = parse("tcp: busy_poll = 0 , coalesce=on")
    assert variant.key == "tcp:busy_poll=0,coalesce=on"
    assert parse(variant.key) == variant


@pytest.mark.parametrize(
    "key", ["tcp", "tcp:", "tcp:busy_poll", "tcp:=0", "tcp:busy_poll=", ":busy_poll=0", "tcp:credit=1,credit=2"]
)
def test_what_is_no_variant_is_refused_with_how_to_write_one(key: str) -> None:
    with pytest.raises(ValueError, match="is no variant; write BACKEND:SETTING=VALUE"):
        parse(key)


def test_the_backend_is_no_setting_of_a_variant() -> None:
    with pytest.raises(ValueError, match="the backend stands before the colon"):
        parse("tcp:backend=zmq")


def test_a_subject_from_elsewhere_is_no_variant() -> None:
    assert is_variant("tcp:busy_poll=0")
    assert not is_variant("module:name")
    assert not is_variant("tcp")


@pytest.mark.parametrize("key", ABLATION)
def test_each_switch_of_the_ablation_turns_one_setting_of_the_library_off_that_is_on(key: str) -> None:
    variant = parse(key)
    ((name, value),) = variant.settings.items()
    assert not value
    assert getattr(tcpconn.Config(backend=variant.base), name)
    assert getattr(tcpconn.Config(backend=variant.base, **variant.settings), name) == value

"""Packets that are dropped by the kernel, in a network namespace of the test's own."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from fault_programs import outcome

_SHAPES = (
    ["netem", "loss", "3%"],
    # A queue too short for what is sent: what does not fit is dropped. Into a longer one Linux lets no socket put so much.
    ["tbf", "rate", "100mbit", "burst", "16kb", "limit", "12kb"],
)


def _in_a_namespace(*command: str) -> list[str]:
    return ["unshare", "--net", "--map-root-user", *command]


def _shaping() -> list[str]:
    """Return how packets can be dropped here, or skip the test."""
    for tool in ("unshare", "ip", "tc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    refusals = []
    for shape in _SHAPES:
        script = f"ip link set lo up && tc qdisc add dev lo root {' '.join(shape)}"
        done = subprocess.run(_in_a_namespace("sh", "-c", script), capture_output=True, text=True, timeout=20, check=False)
        if done.returncode == 0:
            return shape
        refusals.append(f"{shape[0]}: {done.stderr.strip() or done.returncode}")
    pytest.skip(f"a network namespace that drops packets cannot be had: {'; '.join(refusals)}")


def test_messages_arrive_once_and_in_order_though_packets_are_dropped(backend: str) -> None:
    shape = _shaping()
    code, said, complaints = outcome("through-losses", *shape, prefix=_in_a_namespace())
    assert code == 0, complaints
    words = dict(line.split("=") for line in said.split())
    assert words["messages"] == "3000"
    assert int(words["dropped"]) > 0


def test_a_network_that_drops_everything_for_a_while_is_noticed_and_resumed(backend: str) -> None:
    _shaping()
    code, said, complaints = outcome("through-an-outage", prefix=_in_a_namespace())
    assert (code, said.split()) == (0, ["reconnecting", "connected", "100"]), complaints

"""The guard itself: it counts what is done, says what is wrong, and writes only what it is asked to."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from socket import socketpair

import pytest

from counting import Calls, Peaks
from figures import Figures, complaints, load, margin, store

COUNTED: Figures = {"a path": {"send, calls": 21.0, "send, system calls": 1.1}}


def lean(data: bytes) -> int:
    return len(data)


def wasteful(data: bytes) -> int:
    os.getpid()
    return len(bytes(bytearray(data)))


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def test_calls_of_python_functions_c_functions_and_the_kernel_are_counted() -> None:
    meter = Calls()
    for operation in (lean, wasteful):
        meter.count("client", operation, b"data")
    assert meter.calls == {"client lean": {"lean": 1, "len": 1}, "client wasteful": {"wasteful": 1, "getpid": 1, "len": 1}}
    assert meter.system_calls == {"client lean": {}, "client wasteful": {"getpid": 1}}


def test_what_a_socket_is_asked_is_a_system_call() -> None:
    def exchange() -> None:
        one.send(b"a")
        other.recv(1)
        other.fileno()

    one, other = socketpair()
    meter = Calls()
    with closing(one), closing(other):
        meter.count("client", exchange)
    assert meter.system_calls["client exchange"] == {"socket.send": 1, "socket.recv": 1}


def test_calls_from_the_files_of_the_harness_are_not_counted() -> None:
    meter = Calls(__file__)
    meter.count("client", wasteful, b"data")
    assert meter.calls["client wasteful"].total() == 0


@pytest.mark.usefixtures("traced")
def test_a_copy_shows_in_the_memory_needed_at_a_time() -> None:
    meter = Peaks()
    data = bytes(100_000)
    for operation in (lean, wasteful):
        meter.count("client", operation, data)
    usual = meter.usual()
    assert usual["client lean"] < 1000
    assert 200_000 < usual["client wasteful"] < 201_000


def test_a_count_within_the_margin_is_no_complaint() -> None:
    assert complaints("a path", {"calls": 102.0}, {"calls": 100.0}, 0.02) == []
    assert complaints("a path", {"calls": 98.0}, {"calls": 100.0}, 0.02) == []


def test_a_count_beyond_the_margin_is_named_with_its_figure_the_margin_and_what_to_do() -> None:
    (text,) = complaints("a path", {"send, calls": 103.0}, {"send, calls": 100.0}, 0.02)
    assert text.startswith("a path: send, calls: 103, committed 100, margin 2%; it costs more than it did")


def test_a_count_that_has_become_better_is_to_be_committed() -> None:
    (text,) = complaints("a path", {"send, calls": 97.0}, {"send, calls": 100.0}, 0.02)
    assert "commit the better figure" in text


def test_a_count_without_a_figure_and_a_figure_without_a_count_are_complaints() -> None:
    assert len(complaints("a path", {"calls": 1.0}, {"bytes": 1.0}, 0.02)) == 2


def test_one_more_system_call_is_never_within_the_margin() -> None:
    assert complaints("a path", {"system calls": 21.0}, {"system calls": 20.0}, margin())


def test_writing_replaces_the_figures_of_one_version_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "figures.toml"
    file.write_text("margin = 0.03\n")
    store("3.12", {"another path": {"calls": 5.0}}, file)
    store("3.11", {"a path": {"calls": 7.0}}, file)
    store("3.11", COUNTED, file)
    assert load(file) == {"3.11": COUNTED, "3.12": {"another path": {"calls": 5.0}}}
    assert margin(file) == 0.03

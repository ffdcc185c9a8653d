"""Finding and creating backends, among them ones that other packages add, and ones that are broken."""

from __future__ import annotations

import itertools
import pathlib
import sys
import textwrap
import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from tcpconn import transport
from tcpconn.config import Config
from tcpconn.errors import BackendUnavailable, ConfigError
from tcpconn.transport import ENTRY_POINT_GROUP, LinkOptions, available_backends, is_registered, load_transport

_numbers = itertools.count()

Install = Callable[..., str]


@pytest.fixture(autouse=True)
def _nothing_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_cache", {})
    monkeypatch.setattr(transport, "_registered", set())


@pytest.fixture
def install(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Return a function that installs a package with one backend and returns the name of its module.

    What it installs is what pip would leave in site-packages: a module, its metadata and its entry points.
    """

    def install(backend: str, source: str, value: str = "Transport", package: str = "") -> str:
        module = f"tcpconn_test_backend_{next(_numbers)}"
        root = tmp_path / module
        metadata = root / f"{module}-1.0.dist-info"
        metadata.mkdir(parents=True)
        (root / f"{module}.py").write_text(textwrap.dedent(source))
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package or module}\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{backend} = {module}:{value}\n")
        monkeypatch.syspath_prepend(str(root))
        return module

    return install


GOOD = """
    class Transport:
        name = "pigeon"
"""


def test_the_backends_of_this_package_are_found_by_name() -> None:
    assert {"memory", "tcp", "zmq"} <= set(available_backends())
    assert available_backends() == sorted(set(available_backends()))


@pytest.mark.parametrize("name", ["memory", "tcp"])
def test_a_backend_is_created_once(name: str) -> None:
    first = load_transport(name)
    assert first.name == name
    assert load_transport(name) is first


def test_a_package_adds_a_backend_by_being_installed(install: Install) -> None:
    module = install("pigeon", GOOD)
    assert "pigeon" in available_backends()
    assert Config(backend="pigeon").backend == "pigeon"
    assert load_transport("pigeon").name == "pigeon"
    assert type(load_transport("pigeon")).__module__ == module


def test_a_function_may_make_a_backend(install: Install) -> None:
    install("pigeon", GOOD + "\n    def make(): return Transport()\n", "make")
    assert load_transport("pigeon").name == "pigeon"


def test_a_name_that_nobody_registers_is_a_config_error_that_lists_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        load_transport("pigeon")
    assert str(caught.value) == (
        f"backend 'pigeon' is not installed: installed are {', '.join(available_backends())}; "
        "a package adds one by an entry point in the group 'tcpconn.transports'"
    )


def test_without_any_backend_installed_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [])
    assert available_backends() == []
    with pytest.raises(ConfigError, match="installed are none"):
        load_transport("tcp")
    with pytest.raises(ConfigError, match="there is none"):
        Config(backend="tcp")


def test_a_backend_installed_while_the_process_runs_is_found(install: Install) -> None:
    assert not is_registered("pigeon")
    with pytest.raises(ConfigError, match="not installed"):
        load_transport("pigeon")
    install("pigeon", GOOD)
    assert is_registered("pigeon")
    assert load_transport("pigeon").name == "pigeon"


def test_a_name_once_found_is_not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_registered("tcp")
    monkeypatch.setattr(transport, "entry_points", None)
    assert is_registered("tcp")


def test_a_loaded_backend_is_registered_however_it_came(monkeypatch: pytest.MonkeyPatch) -> None:
    known = load_transport("memory")
    monkeypatch.setattr(transport, "_cache", {"double": known})
    monkeypatch.setattr(transport, "entry_points", None)
    assert is_registered("double")
    assert load_transport("double") is known


# -- broken ones


def test_a_missing_pyzmq_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zmq", None)
    with pytest.raises(BackendUnavailable, match="pip install pyzmq") as caught:
        load_transport("zmq")
    assert isinstance(caught.value.__cause__, ImportError)


def test_a_backend_that_misses_a_module_is_told_with_the_package_to_install_anew(install: Install) -> None:
    module = install("pigeon", "import tcpconn_test_there_is_no_such_module", package="pigeon-post")
    with pytest.raises(BackendUnavailable) as caught:
        load_transport("pigeon")
    assert str(caught.value) == (
        f"backend 'pigeon' ({module}:Transport, from pigeon-post) cannot be imported: "
        "No module named 'tcpconn_test_there_is_no_such_module'; install what it needs, for one by installing it anew: "
        "pip install --force-reinstall pigeon-post"
    )
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("raise OSError('libpigeon.so.1: cannot open shared object file')", "OSError: libpigeon.so.1"),
        ("Other = 1", "AttributeError"),
        ("def Transport(): raise ValueError('no loft')", "ValueError: no loft"),
        ("Transport = None", "TypeError"),
    ],
)
def test_a_backend_that_fails_in_any_other_way_is_unavailable_with_the_cause(install: Install, source: str, told: str) -> None:
    install("pigeon", source)
    with pytest.raises(BackendUnavailable, match=r"does not start.*a fault of that package or of its set-up") as caught:
        load_transport("pigeon")
    assert told in str(caught.value)
    assert caught.value.__cause__ is not None


def test_what_a_backend_says_itself_of_what_it_lacks_is_passed_on(install: Install) -> None:
    install(
        "pigeon",
        """
        from tcpconn.errors import BackendUnavailable
        def Transport(): raise BackendUnavailable("install seeds with: apt install seeds")
        """,
    )
    with pytest.raises(BackendUnavailable, match=r"^install seeds with: apt install seeds$"):
        load_transport("pigeon")


def test_a_backend_that_failed_is_tried_again(install: Install) -> None:
    making = """
    broken = True
    def make():
        return 1 / 0 if broken else Transport()
    """
    module = install("pigeon", GOOD + making, "make")
    with pytest.raises(BackendUnavailable, match="ZeroDivisionError"):
        load_transport("pigeon")
    sys.modules[module].broken = False  # type: ignore[attr-defined]
    assert load_transport("pigeon").name == "pigeon"


def test_two_packages_that_register_one_name_are_both_named(install: Install) -> None:
    first = install("pigeon", GOOD, package="a-post")
    second = install("pigeon", GOOD, package="b-post")
    assert available_backends().count("pigeon") == 1
    with pytest.raises(ConfigError) as caught:
        load_transport("pigeon")
    assert str(caught.value) == (
        f"several packages register a backend 'pigeon': a-post ({first}:Transport), b-post ({second}:Transport); "
        "uninstall all of them but one"
    )


def test_one_backend_that_is_listed_twice_is_no_contradiction(install: Install, tmp_path: pathlib.Path) -> None:
    module = install("pigeon", GOOD, package="a-post")
    again = tmp_path / module / "b_post-1.0.dist-info"
    again.mkdir()
    (again / "METADATA").write_text("Metadata-Version: 2.1\nName: b-post\nVersion: 1.0\n")
    (again / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\npigeon = {module}:Transport\n")
    assert load_transport("pigeon").name == "pigeon"


def test_an_entry_without_a_package_has_no_name_to_give(monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = EntryPoint("pigeon", "tcpconn_test_there_is_no_such_module:Transport", ENTRY_POINT_GROUP)
    monkeypatch.setattr(transport, "entry_points", lambda **_: [orphan])
    with pytest.raises(BackendUnavailable, match=r"from an unknown package\).*install what it needs$"):
        load_transport("pigeon")


# -- threads


def test_threads_that_load_a_backend_at_once_all_get_the_same(install: Install) -> None:
    # The factory holds back whoever is in it until all threads are, if it can be called at once at all.
    module = install(
        "pigeon",
        """
        import contextlib, threading
        made = []
        together = threading.Barrier(4)
        class Transport:
            name = "pigeon"
            def __init__(self):
                with contextlib.suppress(threading.BrokenBarrierError):
                    together.wait(2)
                made.append(self)
        """,
    )
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(load_transport("pigeon"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(map(id, found))) == 1
    assert found[0] in sys.modules[module].made
    assert load_transport("pigeon") is found[0]


def test_a_backend_may_be_made_of_another(install: Install) -> None:
    install(
        "pigeon",
        """
        from tcpconn.transport import load_transport
        def Transport(): return load_transport("memory")
        """,
    )
    assert load_transport("pigeon") is load_transport("memory")


def test_options_are_values_with_finite_defaults() -> None:
    assert LinkOptions() == LinkOptions(handshake_timeout=10.0, send_buffer=None, receive_buffer=None, max_links=10_000)
    assert len({LinkOptions(), LinkOptions(), LinkOptions(max_links=1)}) == 2

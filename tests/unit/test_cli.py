"""The command line: what it prints, what it says to what users get wrong, and its exit codes."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tcpconn
from tcpconn import transport
from tcpconn.cli import main


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in [name for name in os.environ if name.startswith("TCPCONN_")]:
        monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command line that must end in exit code 2 and return what it says."""
    with pytest.raises(SystemExit) as stopped:
        main(words)
    assert stopped.value.code == 2
    told = capsys.readouterr()
    assert told.out == ""
    return told.err


def settings(text: str) -> dict[str, list[str]]:
    """Return from the output of `tcpconn info` each setting's value and source."""
    lines = text.split("settings in force here\n")[1].splitlines()
    return {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines}


def test_the_version_is_that_of_the_installed_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"tcpconn {importlib.metadata.version('tcpconn')}\n"


def test_without_a_command_the_commands_are_listed_and_the_code_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    text = capsys.readouterr().err
    assert "  compare      measure the backends" in text
    assert "  report       show the tables of an earlier result" in text
    assert "  serve-bench  run the server's side" in text
    assert "  info         show the versions" in text


def test_python_m_tcpconn_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tcpconn", "--version"], capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout == f"tcpconn {tcpconn.__version__}\n"


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (["comapre"], "there is no command 'comapre'; did you mean: tcpconn compare\n"),
        (["run"], "there is no command 'run'; commands are compare, report, serve-bench, info\n"),
        (["serve"], "there is no command 'serve'; did you mean: tcpconn serve-bench\n"),
        (
            ["serve-bench"],
            "tcpconn serve-bench: the following arguments are required: ADDRESS\nSee: tcpconn serve-bench --help\n",
        ),
        (["zmq"], "to measure that backend: tcpconn compare --backends zmq\n"),
        (["m.jsonl"], "to measure with the messages there: tcpconn compare --messages m.jsonl\n"),
        (["--quick"], "--quick stands before a command; write: tcpconn compare --quick …\n"),
        (["compare", "tcp", "zmq"], "name the backends with commas between them: --backends tcp,zmq\n"),
        (["compare", "--backends", "tcp", "zmq"], "name the backends with commas between them: --backends tcp,zmq\n"),
        (["compare", "m.jsonl"], "'m.jsonl' stands alone; for the messages in it write: --messages m.jsonl\n"),
        (["compare", "nothing"], "'nothing' stands alone; every argument belongs to an option\n"),
        (["compare", "--josn", "x"], "tcpconn compare: there is no option --josn\nSee: tcpconn compare --help\n"),
        (["report"], "tcpconn report: the following arguments are required: RESULT.json\nSee: tcpconn report --help\n"),
        (["info", "tcp"], "tcpconn info: unrecognized arguments: tcp\nSee: tcpconn info --help\n"),
    ],
)
def test_what_is_typed_wrong_is_answered_with_what_to_type(
    capsys: pytest.CaptureFixture[str], words: list[str], advice: str
) -> None:
    Path("m.jsonl").write_text("{}\n")
    assert advice in refused(capsys, *words)


@pytest.mark.parametrize("address", ["here", "unix:/here", ""])
def test_serve_bench_wants_an_address_that_another_machine_reaches(capsys: pytest.CaptureFixture[str], address: str) -> None:
    assert main(["serve-bench", address]) == 2
    assert capsys.readouterr().err.startswith(f"tcpconn serve-bench: {address}: ")


def test_serve_bench_says_what_it_runs_for_others_and_what_not(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["serve-bench", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "runs subjects of the installed package alone, by their names, and no code from the other side" in text
    assert "listens at the address that is told and at no other" in text


def test_info_tells_versions_and_that_each_backend_loads(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("zmq")
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"tcpconn {tcpconn.__version__}\nPython {'.'.join(map(str, sys.version_info[:3]))}")
    assert f"pyzmq {importlib.metadata.version('pyzmq')}" in text
    for name in ("memory", "tcp", "zmq"):
        assert f"  {name:12} loads\n" in text


def test_info_tells_why_a_backend_does_not_load(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_cache", {})
    monkeypatch.setitem(sys.modules, "zmq", None)
    assert main(["info"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("  zmq "))
    assert "does not load" in line
    assert "pip install pyzmq" in line


def test_info_tells_every_setting_and_where_it_comes_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("tcpconn.toml").write_text("[tcpconn]\nlinger = 7\ncredit = 8192\n")
    monkeypatch.setenv("TCPCONN_LINGER", "none")
    monkeypatch.setenv("TCPCONN_BACKEND", "")
    assert main(["info"]) == 0
    found = settings(capsys.readouterr().out)
    assert list(found) == [*tcpconn.Config.__dataclass_fields__]
    assert found["linger"] == ["None", "environment variable TCPCONN_LINGER"]
    assert found["credit"] == ["8192", "tcpconn.toml"]
    assert found["backend"] == ["tcp", "default"]


def test_info_names_the_file_that_was_asked_for(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Path("other.toml").write_text('[tcpconn]\nbackend = "memory"\n')
    monkeypatch.setenv("TCPCONN_CONFIG", "other.toml")
    assert main(["info"]) == 0
    assert settings(capsys.readouterr().out)["backend"] == ["memory", "other.toml"]


def test_info_shows_a_wrong_setting_as_the_library_would_and_ends_in_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TCPCONN_LINGER", "soon")
    assert main(["info"]) == 1
    told = capsys.readouterr()
    assert "linger='soon' (from environment variable TCPCONN_LINGER) is not allowed" in told.err
    assert "  memory       loads" in told.out


def test_info_says_how_to_install_when_no_backend_is_registered(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcpconn, "available_backends", list[str])
    assert main(["info"]) == 0
    assert "none is registered: tcpconn is on the path but not installed" in capsys.readouterr().out


def test_a_reader_that_goes_away_early_ends_the_command_in_silence() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.readline(); from tcpconn.cli import main; sys.exit(main(['info']))"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(b"go\n")
    process.stdin.close()
    assert process.wait(50) == 0
    with process.stderr:
        assert process.stderr.read() == b""


def without(package: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line in a process that cannot import `package`."""
    script = f"import sys; sys.modules[{package!r}] = None; from tcpconn.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize("package", ["rich", "psutil", "hdrh.histogram", "jinja2", "tcpconn_bench"])
def test_compare_says_what_to_install_when_something_that_it_needs_is_missing(package: str) -> None:
    done = without(package, "compare", "--quick")
    assert (done.returncode, done.stdout) == (2, "")
    assert package.partition(".")[0] in done.stderr
    assert "pip install 'tcpconn[bench]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_report_says_what_to_install_when_something_that_it_needs_is_missing() -> None:
    for package in ("jinja2", "tcpconn_bench"):
        done = without(package, "report", "result.json")
        assert (done.returncode, done.stdout) == (2, "")
        assert "pip install 'tcpconn[bench]'" in done.stderr
        assert "Traceback" not in done.stderr


def test_info_does_not_need_the_comparison() -> None:
    done = without("tcpconn_bench", "info")
    assert (done.returncode, done.stderr) == (0, "")
    assert "settings in force here" in done.stdout

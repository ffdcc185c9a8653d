"""Settings: where they come from, which wins, and what an error says about them."""

from __future__ import annotations

import copy
import dataclasses
import os
import pathlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tcpconn import config as config_module
from tcpconn.config import Config
from tcpconn.errors import ConfigError
from tcpconn.secret import Secret
from tcpconn.transport import LinkOptions, available_backends

_quick = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])

NAMES = [field.name for field in dataclasses.fields(Config)]
TIMEOUTS = ["connect_timeout", "handshake_timeout", "resume_timeout", "idle_timeout", "heartbeat_interval", "linger"]


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    """Run each test without variables of tcpconn and in a directory without a file of its."""
    for variable in list(os.environ):
        if variable.upper().startswith("TCPCONN"):
            monkeypatch.delenv(variable)
    monkeypatch.chdir(tmp_path)


def complaint(call: Callable[[], object]) -> str:
    """Return the text of the ConfigError that a call raises."""
    with pytest.raises(ConfigError) as caught:
        call()
    return str(caught.value)


# -- which settings there are


def test_every_setting_of_the_design_is_there() -> None:
    named = """backend connect_timeout handshake_timeout resume_timeout idle_timeout heartbeat_interval linger reconnect_initial
        reconnect_max chunk_size credit max_message max_streams max_links busy_poll coalesce flush_interval send_buffer
        receive_buffer"""
    assert set(named.split()) <= set(NAMES)


@pytest.mark.parametrize("name", TIMEOUTS)
def test_every_timeout_is_finite_by_default_and_none_is_for_ever(name: str) -> None:
    assert 0 < getattr(Config(), name) < 3600
    assert getattr(Config().replace(**{name: None}), name) is None


def test_every_setting_is_documented() -> None:
    assert Config.__doc__ is not None
    for name in NAMES:
        assert f"{name}:" in Config.__doc__ or f"{name}, " in Config.__doc__


def test_a_config_cannot_be_changed_only_replaced() -> None:
    config = Config(linger=1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.linger = 2  # type: ignore[misc]
    assert config.replace(linger=2) == Config(linger=2)
    assert config.linger == 1


def test_settings_are_keywords_only() -> None:
    with pytest.raises(TypeError):
        Config("tcp")  # type: ignore[call-arg]


def test_a_backend_is_told_what_concerns_it() -> None:
    config = Config(handshake_timeout=None, send_buffer=4096, receive_buffer=8192, max_links=3)
    assert config.link_options() == LinkOptions(None, 4096, 8192, 3)


def test_equal_configs_are_one_key_however_they_were_spelled() -> None:
    assert len({Config(), Config(linger=5), Config(linger=5.0), Config(linger=6).replace(linger=5), Config.load()}) == 1
    assert Config(linger=5) != Config(linger=6)
    assert type(Config(linger=5).linger) is float


def test_a_config_keeps_its_meaning_through_copying_and_pickling() -> None:
    config = Config(backend="memory", linger=None)
    for same in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert same == config
        assert hash(same) == hash(config)


def test_a_config_pickled_in_another_process_hashes_as_one_made_here() -> None:
    # The hash of a str differs from process to process.
    code = (
        "import pickle, sys, tcpconn; c = tcpconn.Config(backend='memory'); hash(c); sys.stdout.buffer.write(pickle.dumps(c))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    made = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment, timeout=50).stdout
    loaded = pickle.loads(made)
    assert loaded == Config(backend="memory")
    assert hash(loaded) == hash(Config(backend="memory"))


# -- what is allowed

GOOD: list[tuple[str, Any]] = [
    ("backend", "memory"),
    ("connect_timeout", 0.001),
    ("connect_timeout", 2_000_000),
    ("idle_timeout", 0),
    ("linger", 0),
    ("reconnect_initial", 0.001),
    ("reconnect_max", 3600),
    ("chunk_size", 256),
    ("credit", 4096),
    ("session_credit", 2**31 - 1),
    ("max_message", 2**63 - 1),
    ("max_streams", 1),
    ("max_links", 1),
    ("backlog", 1),
    ("busy_poll", 0),
    ("coalesce", False),
    ("flush_interval", 0),
    ("send_buffer", None),
    ("receive_buffer", 1024),
]

BAD: list[tuple[str, Any, str]] = [
    ("backend", "tpc", f"the name of an installed backend: {', '.join(available_backends())}"),
    ("backend", "", "the name of an installed backend"),
    ("backend", None, "the name of an installed backend"),
    ("backend", 1, "the name of an installed backend"),
    ("connect_timeout", 0, "a number, greater than 0, at most 2,000,000, or None"),
    ("connect_timeout", -1, "greater than 0"),
    ("connect_timeout", 2_000_001, "at most 2,000,000"),
    ("connect_timeout", 10**400, "at most 2,000,000"),
    ("connect_timeout", float("nan"), "a number, greater than 0"),
    ("connect_timeout", float("inf"), "or None"),
    ("connect_timeout", "10", "a number, greater than 0"),
    ("connect_timeout", True, "a number, greater than 0"),
    ("linger", -0.001, "a number, 0 or more, at most 2,000,000, or None"),
    ("linger", float("-inf"), "0 or more"),
    ("reconnect_initial", 0, "a number, 0.001 or more, at most 3,600"),
    ("reconnect_max", None, "a number, 0.001 or more, at most 3,600"),
    ("chunk_size", 255, "a whole number, 256 or more, at most 16,777,216"),
    ("chunk_size", 65536.0, "a whole number"),
    ("credit", True, "a whole number, 4,096 or more, at most 2,147,483,647"),
    ("credit", float("nan"), "a whole number"),
    ("max_message", 0, "a whole number, 1 or more, at most 9,223,372,036,854,775,807"),
    ("max_message", 2**63, "at most 9,223,372,036,854,775,807"),
    ("busy_poll", 0.011, "a number, 0 or more, at most 0.01"),
    ("coalesce", 1, "true or false"),
    ("coalesce", None, "true or false"),
    ("send_buffer", 1023, "a whole number, 1,024 or more, at most 1,073,741,824, or None"),
    ("send_buffer", [4096], "a whole number"),
]


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_values_up_to_their_limits_are_taken(name: str, value: Any) -> None:
    assert getattr(Config(**{name: value}), name) == value
    assert Config.load(**{name: value}) == Config(**{name: value})


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_a_bad_keyword_is_told_with_its_value_its_source_and_what_is_allowed(name: str, value: Any, allowed: str) -> None:
    for call in (
        lambda: Config(**{name: value}),
        lambda: Config.load(**{name: value}),
        lambda: Config().replace(**{name: value}),
    ):
        text = complaint(call)
        assert text.startswith(f"{name}={repr(value)[:77]}")
        assert " (from keyword argument) is not allowed; allowed is " in text
        assert allowed in text


def test_a_very_long_value_is_shortened_in_the_error() -> None:
    assert len(complaint(lambda: Config(backend="x" * 10_000))) < 300


@_quick
@example("auth_key", "a secret of 16 characters or more")
@given(
    st.sampled_from(NAMES),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.none()),
)
def test_any_value_is_taken_as_it_is_or_a_config_error_that_names_the_setting(name: str, value: Any) -> None:
    try:
        config = Config(**{name: value})
    except ConfigError as error:
        assert name in str(error)  # noqa: PT017
    else:
        taken = getattr(config, name)
        assert taken == (Secret(value) if isinstance(taken, Secret) else value)


@pytest.mark.parametrize("call", [Config, Config.load, Config().replace, Config.sources])
def test_an_unknown_keyword_is_told_with_the_nearest_setting_and_all_of_them(call: Callable[..., object]) -> None:
    text = complaint(lambda: call(lingr=2))
    assert text.startswith("unknown setting lingr=2 (from keyword argument); did you mean 'linger'? settings are: backend, ")
    assert all(name in text for name in NAMES)


def test_an_unknown_keyword_that_is_like_no_setting_gets_no_guess() -> None:
    assert "did you mean" not in complaint(lambda: Config(xyzzy=2))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            {"credit": 128 << 20},
            "credit=134217728 (from keyword argument) is not allowed; allowed is at most session_credit, "
            "which is 67108864 (from default)",
        ),
        (
            {"session_credit": 4096},
            "session_credit=4096 (from keyword argument) is not allowed; allowed is at least credit, "
            "which is 2162688 (from default)",
        ),
        (
            {"reconnect_initial": 2, "reconnect_max": 1},
            "reconnect_initial=2.0 (from keyword argument) is not allowed; allowed is at most reconnect_max, "
            "which is 1.0 (from keyword argument)",
        ),
        (
            {"reconnect_max": 0.01},
            "reconnect_max=0.01 (from keyword argument) is not allowed; allowed is at least reconnect_initial, "
            "which is 0.05 (from default)",
        ),
    ],
)
def test_settings_that_contradict_each_other_blame_the_one_that_was_set(values: dict[str, Any], text: str) -> None:
    assert complaint(lambda: Config(**values)) == text
    assert complaint(lambda: Config.load(**values)) == text


def test_settings_from_two_sources_that_contradict_each_other_name_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPCONN_CREDIT", "8192")
    pathlib.Path("tcpconn.toml").write_text("[tcpconn]\nsession_credit = 4096\n")
    assert complaint(Config.load) == (
        "credit=8192 (from environment variable TCPCONN_CREDIT) is not allowed; allowed is at most session_credit, "
        "which is 4096 (from tcpconn.toml)"
    )


LIMITS: dict[str, tuple[float, float, float]] = {
    "reconnect_initial": (0.001, 2.0, 1e-6),
    "reconnect_max": (0.05, 3600, 1e-6),
    "chunk_size": (256, 16 << 20, 1),
    "credit": (4096, 64 << 20, 1),
    "session_credit": ((2 << 20) + (64 << 10), 2**31 - 1, 1),
    "max_message": (1, 2**63 - 1, 1),
    "max_streams": (1, 1 << 30, 1),
    "max_links": (1, 1 << 20, 1),
    "backlog": (1, 1 << 30, 1),
    "busy_poll": (0, 0.01, 1e-6),
    "flush_interval": (0, 1, 1e-6),
    "send_buffer": (1024, 1 << 30, 1),
    "receive_buffer": (1024, 1 << 30, 1),
    "idle_timeout": (0, 2_000_000, 1e-6),
    "linger": (0, 2_000_000, 1e-6),
}
"""What is allowed beside the defaults of all others, and the least step beyond it."""


@pytest.mark.parametrize("name", LIMITS)
def test_each_limit_is_allowed_and_the_next_value_is_not(name: str) -> None:
    low, high, step = LIMITS[name]
    for value in (low, high):
        assert getattr(Config().replace(**{name: value}), name) == value
    for value in (low - step, high + step):
        assert f"{name}={value!r}" in complaint(lambda value=value: Config().replace(**{name: value}))  # type: ignore[misc]


def test_both_credits_may_be_as_small_as_a_page() -> None:
    assert Config(credit=4096, session_credit=4096).session_credit == 4096
    assert "session_credit=4095" in complaint(lambda: Config(credit=4096, session_credit=4095))
    assert "credit=4095" in complaint(lambda: Config(credit=4095))
    assert Config(credit=2**31 - 1, session_credit=2**31 - 1).credit == 2**31 - 1
    assert "credit=2147483648" in complaint(lambda: Config(credit=2**31, session_credit=2**31 - 1))


def test_the_defaults_are_those_of_the_design() -> None:
    config = Config()
    assert (config.backend, config.coalesce) == ("tcp", True)
    assert (config.chunk_size, config.credit, config.session_credit) == (64 << 10, (2 << 20) + (64 << 10), 64 << 20)
    assert (config.max_message, config.max_streams, config.max_links, config.backlog) == (1 << 30, 100_000, 10_000, 65_536)
    assert (config.busy_poll, config.flush_interval) == (50e-6, 0.5e-3)
    assert (config.reconnect_initial, config.reconnect_max) == (0.05, 2.0)
    assert (config.send_buffer, config.receive_buffer) == (None, None)


# -- the environment


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("BACKEND", "memory", "memory"),
        ("BACKEND", " memory ", "memory"),
        ("LINGER", "2", 2.0),
        ("LINGER", "1e-1", 0.1),
        ("LINGER", "none", None),
        ("LINGER", " None ", None),
        ("CREDIT", "65536", 65536),
        ("CREDIT", "65_536", 65536),
        ("SEND_BUFFER", "none", None),
        ("COALESCE", "no", False),
        ("COALESCE", "OFF", False),
        ("COALESCE", "0", False),
        ("COALESCE", "true", True),
    ],
)
def test_a_variable_sets_its_setting(variable: str, text: str, expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TCPCONN_{variable}", text)
    assert getattr(Config.load(), variable.lower()) == expected


def test_keywords_alone_do_not_look_at_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPCONN_LINGER", "2")
    assert Config().linger == 5.0


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("BACKEND", "tpc", "the name of an installed backend"),
        ("LINGER", "soon", "a number, 0 or more, at most 2,000,000, or none"),
        ("LINGER", "nan", "a number"),
        ("LINGER", "inf", "or none"),
        ("LINGER", "-1", "0 or more"),
        ("LINGER", "1" * 400, "at most 2,000,000"),
        ("CREDIT", "1e6", "a whole number"),
        ("CREDIT", "none", "a whole number"),
        ("CREDIT", "9" * 5000, "a whole number"),
        ("COALESCE", "maybe", "true or false"),
    ],
)
def test_a_bad_variable_is_told_with_its_text_its_name_and_what_is_allowed(
    variable: str, text: str, allowed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TCPCONN_{variable}", text)
    told = complaint(Config.load)
    assert told.startswith(f"{variable.lower()}={repr(text)[:77]}")
    assert f" (from environment variable TCPCONN_{variable}) is not allowed; allowed is " in told
    assert allowed in told


@pytest.mark.parametrize(
    ("variable", "guess"),
    [("TCPCONN_LINGR", "did you mean 'linger'?"), ("TCPCONN_Linger", "did you mean 'linger'?"), ("TCPCONN_", "")],
)
def test_an_unknown_variable_is_told_with_the_way_out(variable: str, guess: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "2")
    text = complaint(Config.load)
    assert f"(from environment variable {variable})" in text
    assert guess in text
    assert f"unset {variable} or call it otherwise if it is not meant for tcpconn" in text


def test_a_variable_set_to_nothing_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TCPCONN_LINGER", "TCPCONN_BACKEND", "TCPCONN_CONFIG", "TCPCONN_LINGR"):
        monkeypatch.setenv(variable, "")
    assert Config.load() == Config()


def test_variables_of_other_programs_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("TCPCONNECT_TIMEOUT", "TCPCONN", "MY_TCPCONN_LINGER", "tcpconn_linger"):
        monkeypatch.setenv(variable, "nonsense")
    assert Config.load() == Config()


@pytest.mark.parametrize("service", ["TCPCONN", "TCPCONN_GATEWAY"])
def test_what_kubernetes_sets_beside_a_service_of_this_name_breaks_nothing(
    service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix, text in {
        "SERVICE_HOST": "10.0.0.11",
        "SERVICE_PORT": "9000",
        "SERVICE_PORT_MESSAGES": "9000",
        "PORT": "tcp://10.0.0.11:9000",
        "PORT_9000_TCP": "tcp://10.0.0.11:9000",
        "PORT_9000_TCP_PROTO": "tcp",
        "PORT_9000_TCP_PORT": "9000",
        "PORT_9000_TCP_ADDR": "10.0.0.11",
    }.items():
        monkeypatch.setenv(f"{service}_{suffix}", text)
    assert Config.load() == Config()


def test_a_port_that_a_user_has_set_is_an_unknown_setting_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPCONN_PORT", "9000")
    assert "unknown setting port='9000'" in complaint(Config.load)


# -- the file


def write(text: str, path: str = "tcpconn.toml") -> pathlib.Path:
    """Write a configuration file."""
    file = pathlib.Path(path)
    file.write_text(text)
    return file


def test_the_file_in_the_working_directory_is_read() -> None:
    write('[tcpconn]\nbackend = "memory"\nlinger = 2\ncoalesce = false\ncredit = 65_536\n')
    assert Config.load() == Config(backend="memory", linger=2, coalesce=False, credit=65536)


def test_the_file_that_the_variable_names_is_read_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[tcpconn]\nlinger = 1\n")
    write("[tcpconn]\nlinger = 2\n", "other.toml")
    monkeypatch.setenv("TCPCONN_CONFIG", "other.toml")
    assert Config.load().linger == 2


def test_toml_has_no_none_so_it_is_written_as_a_word() -> None:
    write('[tcpconn]\nlinger = "none"\nsend_buffer = "none"\n')
    assert Config.load() == Config(linger=None)
    write('[tcpconn]\ncredit = "none"\n')
    assert "credit='none' (from tcpconn.toml)" in complaint(Config.load)


@pytest.mark.parametrize(
    ("line", "start", "allowed"),
    [
        ('linger = "2"', "linger='2'", 'a number, 0 or more, at most 2,000,000, or "none"'),
        ("linger = true", "linger=True", "a number"),
        ("linger = nan", "linger=nan", "a number"),
        ("linger = inf", "linger=inf", '"none"'),
        ("linger = -1", "linger=-1", "0 or more"),
        ("linger = 2020-01-01", "linger=datetime.date(2020, 1, 1)", "a number"),
        ("linger = [1]", "linger=[1]", "a number"),
        ("linger = {seconds = 1}", "linger={'seconds': 1}", "a number"),
        ("credit = 65536.0", "credit=65536.0", "a whole number"),
        ("credit = true", "credit=True", "a whole number"),
        ("coalesce = 1", "coalesce=1", "true or false"),
        ('coalesce = "yes"', "coalesce='yes'", "true or false"),
        ("backend = 1", "backend=1", "the name of an installed backend"),
        ('backend = "tpc"', "backend='tpc'", "the name of an installed backend"),
    ],
)
def test_a_bad_line_is_told_with_its_value_its_file_and_what_is_allowed(line: str, start: str, allowed: str) -> None:
    write(f"[tcpconn]\n{line}\n")
    text = complaint(Config.load)
    assert text.startswith(f"{start} (from tcpconn.toml) is not allowed; allowed is ")
    assert allowed in text


@pytest.mark.parametrize("line", ["lingr = 2", "[tcpconn.lingr]\nseconds = 2", "LINGER = 2"])
def test_an_unknown_line_is_told_with_its_file(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(f"[tcpconn]\n{line}\n", "some.toml").absolute()
    monkeypatch.setenv("TCPCONN_CONFIG", str(path))
    text = complaint(Config.load)
    assert text.startswith("unknown setting ")
    assert f"(from {path}); did you mean 'linger'?" in text


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "[tcpconn]\n"])
def test_a_file_without_settings_changes_nothing(text: str) -> None:
    write(text)
    assert Config.load() == Config()


def test_other_tables_of_the_file_are_other_programs() -> None:
    write("title = 'all my services'\n[database]\nlinger = 'x'\n[tcpconn]\nlinger = 1\n")
    assert Config.load() == Config(linger=1)


def test_settings_outside_of_the_table_are_not_passed_over_in_silence() -> None:
    path = write("linger = 1\n").absolute()
    assert complaint(Config.load) == (
        f"the configuration file {path} has no table [tcpconn]; write its settings below that line"
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"[tcpconn\n", ""),
        (b"\xff\xfe", "decode"),
        (b"[tcpconn]\nlinger = 1\nlinger = 2\n", "overwrite"),
        (b"[tcpconn]\nlinger = " + b"[" * 5000, ""),
        (b"tcpconn = 1\n", "tcpconn=1 is not a table"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_config_error_with_its_path(content: bytes, why: str) -> None:
    path = pathlib.Path("tcpconn.toml").absolute()
    path.write_bytes(content)
    text = complaint(Config.load)
    assert text.startswith(f"the configuration file {path}")
    assert why in text


def test_a_directory_in_place_of_the_file_is_a_config_error() -> None:
    pathlib.Path("tcpconn.toml").mkdir()
    assert "cannot be read" in complaint(Config.load)


def test_a_named_file_that_is_missing_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPCONN_CONFIG", "missing.toml")
    assert complaint(Config.load) == "TCPCONN_CONFIG='missing.toml': the file cannot be read: No such file or directory"


def test_a_changed_file_is_read_anew() -> None:
    file = write("[tcpconn]\nlinger = 1\n")
    status = file.stat()
    assert Config.load().linger == 1
    write("[tcpconn]\nlinger = 22\n")
    # Some file systems count their times in whole seconds.
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert Config.load().linger == 22


def test_an_unchanged_file_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[tcpconn]\nlinger = 1\n")
    first = Config.load()
    monkeypatch.setattr("tomllib.load", None)
    assert Config.load() is first


# -- which source wins


def test_keyword_wins_over_environment_over_file_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[tcpconn]\nlinger = 1\nidle_timeout = 1\nconnect_timeout = 1\n")
    monkeypatch.setenv("TCPCONN_LINGER", "2")
    monkeypatch.setenv("TCPCONN_IDLE_TIMEOUT", "2")
    config = Config.load(linger=3)
    assert (config.linger, config.idle_timeout, config.connect_timeout, config.resume_timeout) == (3, 2, 1, 30)
    sources = Config.sources(linger=3)
    assert list(sources) == NAMES
    assert sources["linger"] == "keyword argument"
    assert sources["idle_timeout"] == "environment variable TCPCONN_IDLE_TIMEOUT"
    assert sources["connect_timeout"] == "tcpconn.toml"
    assert sources["resume_timeout"] == "default"


@pytest.mark.parametrize("name", ["linger", "send_buffer"])
def test_none_by_keyword_wins_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TCPCONN_{name.upper()}", "4096")
    assert getattr(Config.load(**{name: None}), name) is None


def test_a_bad_value_is_told_even_where_another_source_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TCPCONN_LINGER", "soon")
    assert "TCPCONN_LINGER" in complaint(lambda: Config.load(linger=1))


@_quick
@given(st.sampled_from(GOOD), st.booleans(), st.booleans(), st.booleans())
def test_for_every_setting_the_first_source_that_has_it_wins(
    setting: tuple[str, Any], by_keyword: bool, by_variable: bool, by_file: bool
) -> None:
    name, value = setting
    spelled = "none" if value is None else str(value).lower()
    in_file = f'"{spelled}"' if value is None or isinstance(value, str) else spelled
    with pytest.MonkeyPatch.context() as patch:
        write(f"[tcpconn]\n{name} = {in_file}\n" if by_file else "")
        if by_variable:
            patch.setenv(f"TCPCONN_{name.upper()}", spelled)
        overrides = {name: value} if by_keyword else {}
        expected = Config(**{name: value}) if by_keyword or by_variable or by_file else Config()
        assert Config.load(**overrides) == expected
        source = Config.sources(**overrides)[name]
    first = "keyword argument" if by_keyword else f"environment variable TCPCONN_{name.upper()}" if by_variable else ""
    assert source == (first or ("tcpconn.toml" if by_file else "default"))


def test_the_same_settings_give_the_same_object_and_not_without_end() -> None:
    first = Config.load(linger=1)
    assert Config.load(linger=1.0) is first
    for number in range(2 * config_module._LOADED_MAX):
        Config.load(max_streams=1 + number)
    assert len(config_module._loaded) <= config_module._LOADED_MAX
    assert Config.load(linger=1) == first

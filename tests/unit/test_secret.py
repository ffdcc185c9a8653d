"""Secrets show nowhere but where they are asked for: not in what is printed, logged, raised or dumped."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pathlib
import pickle
import traceback
from collections.abc import Callable

import pytest

import tcpconn
from tcpconn import cli
from tcpconn.config import Config
from tcpconn.secret import Secret

SECRET = "correct horse battery staple"
SHORT = "too-short-key"


def test_a_secret_is_its_bytes_and_shows_none_of_them() -> None:
    secret = Secret(SECRET)
    assert secret.reveal() == Secret(SECRET.encode()).reveal() == Secret(secret).reveal() == SECRET.encode()
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret!r:>40}", str([secret]), str({"a": secret})):
        assert "horse" not in shown
    assert not hasattr(secret, "__dict__")


def test_equal_secrets_are_equal_and_hash_so_and_equal_nothing_else() -> None:
    assert Secret(SECRET) == Secret(SECRET.encode())
    assert hash(Secret(SECRET)) == hash(Secret(SECRET.encode()))
    assert Secret(SECRET) != Secret(SHORT)
    assert Secret(SECRET) != SECRET
    assert Secret(SECRET) != SECRET.encode()


def test_a_secret_keeps_its_meaning_through_copying_and_pickling() -> None:
    secret = Secret(SECRET)
    for same in (copy.copy(secret), copy.deepcopy(secret), pickle.loads(pickle.dumps(secret))):
        assert same == secret


def test_a_config_with_a_key_shows_it_nowhere() -> None:
    config = Config(auth_key=SECRET)
    assert config.shared_key == SECRET.encode()
    fields = dataclasses.asdict(config)
    for shown in (repr(config), str(config), str(fields), json.dumps(fields, default=str), str(vars(config.replace(linger=1)))):
        assert "horse" not in shown
    assert pickle.loads(pickle.dumps(config)) == config == Config(auth_key=SECRET.encode()) != Config(auth_key=SECRET + "r")


@pytest.mark.parametrize("source", ["keyword", "bytes", "replace", "environment", "file", "name"])
def test_an_error_about_a_key_does_not_hold_it(source: str, monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.chdir(tmp_path)
    if source == "environment":
        monkeypatch.setenv("TCPCONN_AUTH_KEY", SHORT)
    if source == "file":
        pathlib.Path("tcpconn.toml").write_text(f'[tcpconn]\nauth_key = "{SHORT}"\n')
    calls: dict[str, Callable[[], object]] = {
        "keyword": lambda: Config(auth_key=SHORT),
        "bytes": lambda: Config(auth_key=SHORT.encode()),
        "replace": lambda: Config().replace(auth_key=SHORT),
        "environment": Config.load,
        "file": Config.load,
        "name": lambda: Config(auth_keys=SHORT),  # type: ignore[call-arg]
    }
    with pytest.raises(tcpconn.ConfigError) as caught:
        calls[source]()
    text = "".join(traceback.format_exception(caught.value))
    assert "auth_key" in str(caught.value)
    assert SHORT not in str(caught.value)
    # The line of this test that made the mistake is in the traceback, but nothing of the value.
    assert SHORT not in text


def test_the_key_of_the_environment_is_not_printed_by_info(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TCPCONN_AUTH_KEY", SECRET)
    assert cli.main(["info"]) == 0
    shown = capsys.readouterr()
    assert "auth_key" in shown.out
    assert "horse" not in shown.out + shown.err


def test_nothing_of_a_key_is_logged_however_a_handshake_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with tcpconn.listen("memory:1", backend="memory", auth_key=SECRET, linger=0) as listener:
        with tcpconn.connect(listener.address, backend="memory", auth_key=SECRET) as good:
            good.send(b"hello")
            assert "horse" not in repr(good) + repr(listener) + repr(vars(listener.config))
        with pytest.raises(tcpconn.AuthenticationError) as caught:
            tcpconn.connect(listener.address, backend="memory", auth_key=SECRET + "!")
    assert caplog.records
    logged = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert "horse" not in logged + "".join(traceback.format_exception(caught.value))

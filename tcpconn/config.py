"""Settings: one frozen dataclass, filled from keywords, the environment, a TOML file and defaults, in that order.

Times are in seconds and sizes in bytes. A value is checked wherever it comes from, and an error says from where it came.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import tomllib
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tcpconn.errors import ConfigError
from tcpconn.transport import LinkOptions

__all__ = ["Config"]

_PREFIX = "TCPCONN_"
_FILE_VARIABLE = "TCPCONN_CONFIG"
_DEFAULT_FILE = "tcpconn.toml"
_NONE_WORDS = ("none", "")
_BOOL_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
_INFINITY = float("inf")


def _field(default: Any, *, low: float = 0, high: float = _INFINITY, over: bool = False) -> Any:
    """Declare a setting whose value lies from `low` (not itself, if `over`) to `high`."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "over": over})


def _timeout(default: float) -> Any:
    return _field(default, over=True)


@dataclass(frozen=True, kw_only=True)
class Config:
    """All settings of connections, listeners and pools.

    `Config(...)` takes keywords and defaults only; `Config.load(...)` also looks at the environment and the TOML file, as
    `connect` and `listen` do. Equal configs have equal hashes, so a config can be a key.

    Attributes:
        backend: name of the transport: `tcp`, `zmq`, `memory`, or one that a package adds.
        connect_timeout: how long `connect` tries to reach the peer; None is for ever, as for every timeout.
        handshake_timeout: how long a peer may take to say HELLO.
        resume_timeout: how long a lost link may take to come back before the connections over it are lost.
        idle_timeout: how long a link that no connection uses is kept.
        heartbeat_interval: silence after which the peer is pinged; after as much again without an answer the link is dead.
            None sends no pings.
        linger: how long `close` waits for the peer to acknowledge what was sent.
        reconnect_initial: upper bound of the first random wait between attempts; it doubles with each.
        reconnect_max: the most that it grows to.
        chunk_size: a message longer than this travels in several frames, between which other streams have their turn.
        credit: how much a peer may send on one connection ahead of its reader.
        session_credit: the same for all connections of a link together.
        max_message: longest message that this end receives.
        max_streams: connections that a peer may have open over one link.
        max_links: links that a listener serves at once.
        backlog: connections that may wait in a listener to be accepted.
        busy_poll: how long a receiving thread polls before it sleeps, while messages lately came that fast; 0 is never.
        coalesce: whether sends in a burst are gathered and written together.
        flush_interval: longest time that a gathered message waits to be written.
        send_buffer, receive_buffer: size of the kernel's buffers to ask for; None leaves it to the system.
    """

    backend: str = "tcp"
    connect_timeout: float | None = _timeout(10.0)
    handshake_timeout: float | None = _timeout(5.0)
    resume_timeout: float | None = _timeout(30.0)
    idle_timeout: float | None = _field(30.0)
    heartbeat_interval: float | None = _timeout(10.0)
    linger: float | None = _field(5.0)
    reconnect_initial: float = _field(0.05, low=0.001, high=3600)
    reconnect_max: float = _field(2.0, low=0.001, high=3600)
    chunk_size: int = _field(64 * 1024, low=256, high=16 << 20)
    credit: int = _field(1 << 20, low=4096, high=(1 << 31) - 1)
    session_credit: int = _field(64 << 20, low=4096, high=(1 << 31) - 1)
    max_message: int = _field(1 << 30, low=1, high=(1 << 63) - 1)
    max_streams: int = _field(100_000, low=1, high=1 << 30)
    max_links: int = _field(10_000, low=1, high=1 << 20)
    backlog: int = _field(65_536, low=1, high=1 << 30)
    busy_poll: float = _field(50e-6, high=0.01)
    coalesce: bool = True
    flush_interval: float = _field(0.0005, high=1)
    send_buffer: int | None = _field(None, low=1024, high=1 << 30)
    receive_buffer: int | None = _field(None, low=1024, high=1 << 30)

    def __post_init__(self) -> None:
        for name, check in _checks().items():
            object.__setattr__(self, name, check(getattr(self, name), "keyword argument"))
        _check_pairs({name: getattr(self, name) for name in _checks()}, {})

    @classmethod
    def load(cls, **overrides: Any) -> Config:
        """Return the settings: keyword, else environment (`TCPCONN_LINGER=2`), else TOML file, else default.

        The file is the one named by `TCPCONN_CONFIG`, or `./tcpconn.toml` if there is one; its table is `[tcpconn]`.
        In the environment `none` stands for None.

        Raises:
            ConfigError: a setting is unknown or out of range, or the file cannot be read; it says which, from where,
                and what is allowed.
        """
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for source, table in (_from_file(), _from_environment(), ("keyword argument", overrides)):
            for name, value in table.items():
                where = f"environment variable {_PREFIX}{name.upper()}" if source == "environment" else source
                if name not in _checks():
                    raise _unknown(name, value, where)
                values[name] = _checks()[name](_parsed(name, value) if source == "environment" else value, where)
                sources[name] = where
        return _checked(values, sources)

    def replace(self, **changes: Any) -> Config:
        """Return a copy with some settings changed.

        Raises:
            ConfigError: a setting is unknown or out of range.
        """
        for name, value in changes.items():
            if name not in _checks():
                raise _unknown(name, value, "keyword argument")
        return dataclasses.replace(self, **changes)

    def link_options(self) -> LinkOptions:
        """Return what a backend needs to know."""
        return LinkOptions(
            handshake_timeout=self.handshake_timeout,
            send_buffer=self.send_buffer,
            receive_buffer=self.receive_buffer,
            max_links=self.max_links,
        )

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, name) for name in _checks()))

    def __hash__(self) -> int:
        """Return a hash that is computed once: pools look configs up for each `connect`."""
        return self._hash


_CHECKS: dict[str, Callable[[Any, str], Any]] = {}


def _checks() -> Mapping[str, Callable[[Any, str], Any]]:
    if not _CHECKS:
        hints = typing.get_type_hints(Config)
        for field in dataclasses.fields(Config):
            _CHECKS[field.name] = _check_of(field, hints[field.name])
    return _CHECKS


def _check_of(field: dataclasses.Field[Any], hint: Any) -> Callable[[Any, str], Any]:
    """Return a function that checks a value of one setting and brings it into its type."""
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    optional = type(None) in members
    kind = next(member for member in members if member is not type(None))
    low, high, over = (field.metadata.get(key) for key in ("low", "high", "over"))

    def allowed() -> str:
        if kind is bool:
            return "true or false"
        if kind is str:
            return "the name of an installed backend"
        noun = "a whole number" if kind is int else "a number"
        low_text = f"greater than {low:g}" if over else f"{low:,} or more" if low else "0 or more"
        high_text = "" if high == _INFINITY else f", at most {high:,}"
        return f"{noun}, {low_text}{high_text}{', or None' if optional else ''}"

    def check(value: Any, source: str) -> Any:
        if value is None and optional:
            return None
        if kind is bool or kind is str:
            good = isinstance(value, kind) and value != ""
        else:
            numeric = int if kind is int else (int, float)
            good = isinstance(value, numeric) and not isinstance(value, bool)
            # The comparison is false for a NaN; infinity is spelled None.
            good = good and low <= value <= high and value != _INFINITY and not (over and value == low)
        if not good:
            raise ConfigError(f"{field.name}={value!r} (from {source}) is not allowed; allowed is {allowed()}")
        return kind(value)

    return check


def _parsed(name: str, text: str) -> Any:
    """Turn the text of an environment variable into a value of about the right type; the check does the rest."""
    default_type = typing.get_type_hints(Config)[name]
    members = typing.get_args(default_type) or (default_type,)
    word = text.strip().lower()
    if type(None) in members and word in _NONE_WORDS:
        return None
    if bool in members:
        return _BOOL_WORDS.get(word, text)
    for kind in (int, float):
        if kind in members:
            try:
                return kind(text)
            except ValueError:
                return text
    return text


def _unknown(name: str, value: object, source: str) -> ConfigError:
    near = difflib.get_close_matches(name, _checks(), n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(f"unknown setting {name}={value!r} (from {source}); {hint}settings are: {', '.join(_checks())}")


def _check_pairs(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Check settings against each other."""
    for lower, upper in (("reconnect_initial", "reconnect_max"), ("credit", "session_credit")):
        low, high = values[lower], values[upper]
        if low > high:
            where = sources.get(lower) or sources.get(upper) or "keyword argument"
            raise ConfigError(f"{lower}={low!r} (from {where}) is not allowed; allowed is at most {upper}, which is {high!r}")


def _from_environment() -> tuple[str, Mapping[str, str]]:
    table = {}
    for variable, text in os.environ.items():
        if variable.startswith(_PREFIX) and variable != _FILE_VARIABLE:
            table[variable.removeprefix(_PREFIX).lower()] = text
    return "environment", table


def _from_file() -> tuple[str, Mapping[str, Any]]:
    named = os.environ.get(_FILE_VARIABLE)
    path = named or _DEFAULT_FILE
    try:
        status = os.stat(path)
    except OSError as error:
        if named:
            raise ConfigError(f"{_FILE_VARIABLE}={named!r}: the file cannot be read: {error.strerror}") from error
        return path, {}
    return path, _read_file(os.path.abspath(path), status.st_mtime_ns)


_files: dict[str, tuple[int, Mapping[str, Any]]] = {}


def _read_file(path: str, modified: int) -> Mapping[str, Any]:
    known = _files.get(path)
    if known is not None and known[0] == modified:
        return known[1]
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error}") from error
    table = document.get("tcpconn", {})
    if not isinstance(table, dict):
        raise ConfigError(f"the configuration file {path}: tcpconn={table!r} is not a table; write [tcpconn]")
    _files[path] = (modified, table)
    return table


_loaded: dict[tuple[tuple[str, Any], ...], Config] = {}
_LOADED_MAX = 64


def _checked(values: dict[str, Any], sources: Mapping[str, str]) -> Config:
    """Return the config of these checked values, the same object for the same values: `connect` is called often."""
    key = tuple(sorted(values.items()))
    config = _loaded.get(key)
    if config is None:
        defaults = {field.name: field.default for field in dataclasses.fields(Config)}
        _check_pairs({**defaults, **values}, sources)
        config = Config(**values)
        if len(_loaded) >= _LOADED_MAX:
            _loaded.clear()
        _loaded[key] = config
    return config

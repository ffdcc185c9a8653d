"""Settings: one frozen dataclass, filled from keywords, the environment, a TOML file and defaults, in that order.

Times are in seconds and sizes in bytes. A value is checked wherever it comes from, and an error says from where it came.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from tcpconn.errors import ConfigError
from tcpconn.secret import Secret
from tcpconn.securing import CurveOptions, TlsOptions, check_encryption
from tcpconn.setting import Hidden, Number, Rule, Setting, Text, setting_of, shorten
from tcpconn.sources import FILE_VARIABLE, PREFIX, from_environment, from_file
from tcpconn.transport import LinkOptions

__all__ = ["Config"]

_KEYWORD = "keyword argument"
_AUTH_KEY = Hidden("text or bytes, 16 to 1024 bytes, such as secrets.token_hex(32) returns", 16, 1024)
_CURVE_SECRET = Hidden("40 characters, the second that zmq.curve_keypair() returns", 40, 40)
_CURVE_PUBLIC = Text("40 characters, the first that zmq.curve_keypair() has returned for the listener", 40)
_FILE = Text("the path of a file")
_LONGEST = 2_000_000.0
"""Seconds, about 23 days: poll() counts milliseconds in an int of 32 bits."""


def _field(default: Any, *, high: float, low: float = 0) -> Any:
    """Declare a setting whose value lies from `low` to `high`."""
    return _by(Number(int, low, high, over=False), default)


def _seconds(default: float, *, low: float = 0, high: float) -> Any:
    return _by(Number(float, low, high, over=False), default)


def _timeout(default: float, *, over: bool = True) -> Any:
    return _by(Number(float, 0, _LONGEST, over), default)


def _by(rule: Rule, default: Any = None) -> Any:
    return dataclasses.field(default=default, metadata={"rule": rule})


_C = TypeVar("_C")


def _refusing_unknown_keywords(cls: type[_C]) -> type[_C]:
    """Have the constructor raise `ConfigError` for an unknown setting, as every other source of settings does."""
    initialise = cls.__init__

    @functools.wraps(initialise)
    def __init__(self: _C, **values: Any) -> None:  # noqa: N807
        for name, value in values.items():
            _setting(name, value, _KEYWORD)
        initialise(self, **values)

    cls.__init__ = __init__  # type: ignore[assignment]
    return cls


@_refusing_unknown_keywords
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
        max_handlers: handlers that `serve` runs at once. Half are for peers that have none yet, of the others a peer may have
            as many as it leaves. None: 4,096, which are threads, in the blocking API; any number in the asyncio API.
        busy_poll: how long a receiving thread or lone task polls before it sleeps, while messages lately came fast; 0 is never.
        coalesce: whether sends in a burst are gathered and written together.
        leader_followers: this and the five that follow are switched off to measure what they are worth, and for no other
            reason. Whether a thread that waits for a message reads the link itself; if not, the caretaker's thread
            reads for all of them. The asyncio API has no such threads.
        gather: whether tcp writes a large message from where it lies, and does not join it with its header first.
        receive_in_place: whether a large message is received into its own memory, and not into a buffer first.
        read_ahead: whether the header behind a large chunk is read with it, in one call (blocking API).
        reuse_buffers: whether the buffer that small messages are received into is used again, and not a new one each time.
        unpaced_loopback: whether a link within this machine goes without BBR, where that is the system's congestion control:
            its timers cost processor time, and within a machine nothing is congested (tcp and zmq, on Linux).
        flush_interval: longest time that a gathered message waits to be written.
        send_buffer, receive_buffer: size of the kernel's buffers to ask for; None leaves it to the system.
        auth_key: a secret that both ends have to know, and prove to each other that they do; None asks for no proof.
            It is kept as a `Secret`, which nothing prints.
        encrypt: whether links are encrypted, by tcp with TLS 1.2 or later, by zmq with CURVE; see docs/security.md. A backend
            that cannot is refused.
        tls_cert: PEM file of this end's certificate, and those that lead to its authority; a listener needs one. The files are
            looked at for each new link, so that a renewed certificate is used without a restart.
        tls_key: PEM file of its private key, without a password; None: it is in `tls_cert`.
        tls_ca: PEM file of the authorities that the other end's certificate may come from; None: those of the system.
        tls_hostname: the name that the listener's certificate must be for; None: the host of the address.
        tls_verify: whether a client checks the listener's certificate at all; without, whoever stands between can read along.
        tls_require_client_cert: whether a listener refuses clients without a certificate of `tls_ca`.
        curve_secret_key: the secret key of this end, for zmq; a listener needs one. Kept as a `Secret`.
        curve_server_key: the public key that the listener must have, for zmq; a client needs it.

    Raises:
        ConfigError: a setting is unknown or out of range.
    """

    backend: str = "tcp"
    connect_timeout: float | None = _timeout(10.0)
    handshake_timeout: float | None = _timeout(5.0)
    resume_timeout: float | None = _timeout(30.0)
    idle_timeout: float | None = _timeout(30.0, over=False)
    heartbeat_interval: float | None = _timeout(10.0)
    linger: float | None = _timeout(5.0, over=False)
    reconnect_initial: float = _seconds(0.05, low=0.001, high=3600)
    reconnect_max: float = _seconds(2.0, low=0.001, high=3600)
    chunk_size: int = _field(64 * 1024, low=256, high=16 << 20)
    credit: int = _field((2 << 20) + (64 << 10), low=4096, high=(1 << 31) - 1)
    session_credit: int = _field(64 << 20, low=4096, high=(1 << 31) - 1)
    max_message: int = _field(1 << 30, low=1, high=(1 << 63) - 1)
    max_streams: int = _field(100_000, low=1, high=1 << 30)
    max_links: int = _field(10_000, low=1, high=1 << 20)
    backlog: int = _field(65_536, low=1, high=1 << 30)
    max_handlers: int | None = _field(None, low=1, high=1 << 30)
    busy_poll: float = _seconds(50e-6, high=0.01)
    coalesce: bool = True
    leader_followers: bool = True
    gather: bool = True
    receive_in_place: bool = True
    read_ahead: bool = True
    reuse_buffers: bool = True
    unpaced_loopback: bool = True
    flush_interval: float = _seconds(0.0005, high=1)
    send_buffer: int | None = _field(None, low=1024, high=1 << 30)
    receive_buffer: int | None = _field(None, low=1024, high=1 << 30)
    auth_key: Secret | str | bytes | None = _by(_AUTH_KEY)
    encrypt: bool = False
    tls_cert: str | None = _by(_FILE)
    tls_key: str | None = _by(_FILE)
    tls_ca: str | None = _by(_FILE)
    tls_hostname: str | None = _by(Text("the name of a host, or its address"))
    tls_verify: bool = True
    tls_require_client_cert: bool = False
    curve_secret_key: Secret | str | bytes | None = _by(_CURVE_SECRET)
    curve_server_key: str | None = _by(_CURVE_PUBLIC)

    def __post_init__(self) -> None:
        sources = {}
        for name, setting in _SETTINGS.items():
            value = setting.check(getattr(self, name), _KEYWORD)
            object.__setattr__(self, name, value)
            if value != setting.default:
                sources[name] = _KEYWORD
        _check_pairs({name: getattr(self, name) for name in _SETTINGS}, sources)

    @classmethod
    def load(cls, **overrides: Any) -> Config:
        """Return the settings: keyword, else environment (`TCPCONN_LINGER=2`), else TOML file, else default.

        The file is the one named by `TCPCONN_CONFIG`, or `./tcpconn.toml` if there is one; its table is `[tcpconn]`.
        In the environment and in the file, `none` stands for None. A variable set to nothing counts as not set.

        Raises:
            ConfigError: a setting is unknown or out of range, or the file cannot be read; it says which, from where,
                and what is allowed.
        """
        return cls._load(overrides, fresh=True)

    @classmethod
    def _load(cls, overrides: Mapping[str, Any], *, fresh: bool) -> Config:
        values, sources = _collect(overrides, fresh=fresh)
        key = tuple(sorted(values.items()))
        config = _loaded.get(key)
        if config is None:
            _check_pairs({name: values.get(name, setting.default) for name, setting in _SETTINGS.items()}, sources)
            config = Config(**values)
            if len(_loaded) >= _LOADED_MAX:
                _loaded.clear()
            _loaded[key] = config
        return config

    @classmethod
    def resolve(cls, config: Config | None, overrides: dict[str, Any]) -> Config:
        """Return `config` with some settings changed, or what `load` finds, or found a tenth of a second ago, where it is None.

        Raises:
            ConfigError: as `load` and `replace` do.
        """
        if config is None:
            return cls._load(overrides, fresh=False) if overrides else _usual()
        return config.replace(**overrides) if overrides else config

    @classmethod
    def sources(cls, **overrides: Any) -> dict[str, str]:
        """Return for each setting where `load` with the same keywords takes it from, in words for people.

        Raises:
            ConfigError: as for `load`.
        """
        return {**dict.fromkeys(_SETTINGS, "default"), **_collect(overrides, fresh=True)[1]}

    def replace(self, **changes: Any) -> Config:
        """Return a copy with some settings changed.

        Raises:
            ConfigError: a setting is unknown or out of range.
        """
        return dataclasses.replace(self, **changes)

    @property
    def shared_key(self) -> bytes | None:
        """The bytes of `auth_key`."""
        return None if self.auth_key is None else Secret(self.auth_key).reveal()

    def check_transport(self, transport: object, *, listens: bool) -> None:
        """Check that the backend can do for security what is set.

        Raises:
            ConfigError: it cannot, or it needs another setting for it.
        """
        if self.encrypt:
            check_encryption(self.backend, transport, self._tls, self._curve, listens=listens)

    @property
    def _tls(self) -> TlsOptions:
        return TlsOptions(
            self.tls_cert, self.tls_key, self.tls_ca, self.tls_hostname, self.tls_verify, self.tls_require_client_cert
        )

    @property
    def _curve(self) -> CurveOptions:
        return CurveOptions(None if self.curve_secret_key is None else Secret(self.curve_secret_key), self.curve_server_key)

    def link_options(self) -> LinkOptions:
        """Return what a backend needs to know."""
        return LinkOptions(
            handshake_timeout=self.handshake_timeout,
            send_buffer=self.send_buffer,
            receive_buffer=self.receive_buffer,
            max_links=self.max_links,
            gather=self.gather,
            unpaced_loopback=self.unpaced_loopback,
            tls=self._tls if self.encrypt else None,
            curve=self._curve if self.encrypt else None,
        )

    @cached_property
    def _hash(self) -> int:
        return hash(tuple(getattr(self, name) for name in _SETTINGS))

    def __hash__(self) -> int:
        """Return a hash that is computed once: pools look configs up for each `connect`."""
        return self._hash

    def __getstate__(self) -> dict[str, Any]:
        # The hash of a str differs from process to process, so it must not travel with a pickle.
        return {name: getattr(self, name) for name in _SETTINGS}


_HINTS = typing.get_type_hints(Config)
_SETTINGS: Mapping[str, Setting] = {field.name: setting_of(field, _HINTS[field.name]) for field in dataclasses.fields(Config)}


def _setting(name: str, value: object, source: str, hint: str = "") -> Setting:
    """Return the setting of this name.

    Raises:
        ConfigError: there is none.
    """
    setting = _SETTINGS.get(name)
    if setting is None:
        near = difflib.get_close_matches(name.lower(), _SETTINGS, n=1)
        guess = f"did you mean {near[0]!r}? " if near else ""
        # Of what is called like a secret the value may be one.
        shown = "..." if near and isinstance(_SETTINGS[near[0]].rule, Hidden) else shorten(repr(value))
        raise ConfigError(f"unknown setting {name}={shown} (from {source}); {guess}{hint}settings are: {', '.join(_SETTINGS)}")
    return setting


_IDLE = ("encrypt", "does nothing while encrypt is off: set encrypt to true as well, or leave it out")
_NEEDS: Mapping[str, tuple[tuple[str, str], ...]] = {
    **{name: (_IDLE,) for name in _SETTINGS if name.startswith(("tls_", "curve_"))},
    "tls_key": (_IDLE, ("tls_cert", "is the key of a certificate: set tls_cert as well")),
    "tls_hostname": (_IDLE, ("tls_verify", "is the name to verify: set tls_verify to true, or leave it out")),
    "tls_require_client_cert": (_IDLE, ("tls_ca", "needs to know whose certificates are good: set tls_ca as well")),
}
"""Settings that would be ignored without another one; of those that are for security none ever is."""


def _check_pairs(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    """Check settings against each other; `sources` names those that are not defaults."""
    for lower, upper in (("reconnect_initial", "reconnect_max"), ("credit", "session_credit")):
        if values[lower] <= values[upper]:
            continue
        blamed, other, bound = (lower, upper, "at most") if lower in sources else (upper, lower, "at least")
        raise ConfigError(
            f"{blamed}={values[blamed]!r} (from {sources[blamed]}) is not allowed; "
            f"allowed is {bound} {other}, which is {values[other]!r} (from {sources.get(other, 'default')})"
        )
    for name, source in sources.items():
        for needed, why in _NEEDS.get(name, ()):
            if not values[needed] and values[name] != _SETTINGS[name].default:
                raise ConfigError(f"{name} (from {source}) {why}")


def _usual() -> Config:
    """Return what `Config.resolve` finds without keywords, and as long as nothing has changed that it depends on, at once."""
    global _found
    environment = from_environment()
    table = from_file(environment.get(FILE_VARIABLE), fresh=False)[1]
    known_environment, known_table, config = _found
    if config is None or environment is not known_environment or table is not known_table:
        config = Config._load({}, fresh=False)
        _found = environment, table, config
    return config


_found: tuple[Mapping[str, str] | None, Mapping[str, Any], Config | None] = (None, {}, None)
"""The environment and the file's table that `_usual` has looked at last, and what came of them."""


def _collect(overrides: Mapping[str, Any], *, fresh: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the checked values that are set anywhere, and where each was."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    environment = from_environment()
    path, table = from_file(environment.get(FILE_VARIABLE), fresh=fresh)
    for name, value in table.items():
        setting = _setting(name, value, path)
        none_word = setting.optional and value == "none"
        values[name] = setting.check(None if none_word else value, path, '"none"')
        sources[name] = path
    for variable, text in environment.items():
        if variable == FILE_VARIABLE:
            continue
        where = f"environment variable {variable}"
        name = variable.removeprefix(PREFIX)
        hint = f"unset {variable} or call it otherwise if it is not meant for tcpconn; "
        setting = _setting(name.lower() if name.isupper() else name, text, where, hint)
        values[setting.name] = setting.check(setting.parse(text), where, "none", text)
        sources[setting.name] = where
    for name, value in overrides.items():
        values[name] = _setting(name, value, _KEYWORD).check(value, _KEYWORD)
        sources[name] = _KEYWORD
    return values, sources


_loaded: dict[tuple[tuple[str, Any], ...], Config] = {}
"""The same object for the same values: `connect` is called often."""

_LOADED_MAX = 64

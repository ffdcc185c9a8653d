"""Where settings come from beside keywords: the environment and the TOML file, as they stand there, not yet checked."""

from __future__ import annotations

import os
import re
import time
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from tcpconn.errors import ConfigError

__all__ = ["FILE_VARIABLE", "PREFIX", "from_environment", "from_file"]

PREFIX = "TCPCONN_"
"""What the names of all variables begin with."""

FILE_VARIABLE = "TCPCONN_CONFIG"
"""The variable that names the file."""

_DEFAULT_FILE = "tcpconn.toml"

_BELIEVED = 0.1
"""Seconds. To look costs 1 µs, and 8 where another thread gets its turn meanwhile: a third of opening a connection."""

_SERVICE_LINK = re.compile(
    r"""TCPCONN_(\w+_)?(
        SERVICE_HOST=.* | SERVICE_PORT(_\w+)?=\d+
        | PORT=(tcp|udp|sctp)://.*
        | PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?=.*
    )""",
    re.VERBOSE | re.DOTALL,
)
"""What Kubernetes and Docker set by themselves beside a service that is called tcpconn, or tcpconn-something."""


def from_environment() -> Mapping[str, str]:
    """Return the variables that are meant for tcpconn, by their whole names."""
    global _environment
    # What CPython keeps beneath: to compare it takes 1 µs, to go through the mapping 10, at each `connect`.
    beneath = getattr(os.environ, "_data", None)
    known, found = _environment
    if beneath is None or beneath != known:
        found = dict(_look_through_environment())
        _environment = (dict(beneath or {}), found)
    return found


def _look_through_environment() -> Iterator[tuple[str, str]]:
    for variable in list(os.environ):
        if variable.startswith(PREFIX):
            text = os.environ.get(variable)
            if text and not _SERVICE_LINK.fullmatch(f"{variable}={text}"):
                yield variable, text


_environment: tuple[dict[Any, Any] | None, Mapping[str, str]] = (None, {})
"""The environment when it was last looked through, and what was found."""


_NO_TABLE: Mapping[str, Any] = {}
"""The table of a file that is not there, always the same object, as the table of a file is while that does not change."""


def from_file(named: str | None, *, fresh: bool) -> tuple[str, Mapping[str, Any]]:
    """Return the path of the file, `named` or the usual one, and its table; an empty one if there is no file.

    Unless `fresh`, that there was no file `_BELIEVED` seconds ago is enough.

    Raises:
        ConfigError: a file that was named cannot be read, or what is in it is no table of settings.
    """
    global _missing_until
    path = named or _DEFAULT_FILE
    if not named:
        if not fresh and time.monotonic() < _missing_until:
            return path, _NO_TABLE
        # To raise and catch an error takes longer.
        if not os.access(path, os.F_OK):
            _missing_until = time.monotonic() + _BELIEVED
            return path, _NO_TABLE
    try:
        status = os.stat(path)
    except OSError as error:
        if named:
            raise ConfigError(f"{FILE_VARIABLE}={named!r}: the file cannot be read: {error.strerror}") from error
        return path, _NO_TABLE
    return path, _read_file(os.path.abspath(path), (status.st_ino, status.st_size, status.st_mtime_ns))


_missing_until = 0.0
"""The `time.monotonic()` until which it is believed that there is no `_DEFAULT_FILE`."""

_files: dict[str, tuple[tuple[int, int, int], Mapping[str, Any]]] = {}


def _read_file(path: str, version: tuple[int, int, int]) -> Mapping[str, Any]:
    known = _files.get(path)
    if known is not None and known[0] == version:
        return known[1]
    try:
        with open(path, "rb") as file:
            document = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"the configuration file {path} cannot be read: {error}") from error
    if document and "tcpconn" not in document:
        raise ConfigError(f"the configuration file {path} has no table [tcpconn]; write its settings below that line")
    table = document.get("tcpconn", {})
    if not isinstance(table, dict):
        raise ConfigError(f"the configuration file {path}: tcpconn={table!r} is not a table; write [tcpconn]")
    _files[path] = (version, table)
    return table

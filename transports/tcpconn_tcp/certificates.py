"""TLS contexts: made of the files that the settings name, and made anew when a file has changed, without a restart."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Iterator
from typing import NoReturn

from tcpconn.errors import ConfigError
from tcpconn.securing import TlsOptions

__all__ = ["context_for"]

log = logging.getLogger("tcpconn")

Version = tuple[tuple[int, int, int] | None, ...]
"""Of each file its number, size and time of change; None where it is missing."""

_MOST = 64
"""Contexts that are kept; a process that has more kinds of settings makes some again and again."""

_lock = threading.Lock()
_contexts: dict[tuple[TlsOptions, bool], tuple[Version, ssl.SSLContext]] = {}


def context_for(tls: TlsOptions, *, server: bool) -> ssl.SSLContext:
    """Return the context for a new link, with the certificates that are in the files now.

    Files that cannot be used any more are reported once, and the ones before go on being used.

    Raises:
        ConfigError: they cannot be used, and never could.
    """
    version = tuple(_versions(tls))
    with _lock:
        known = _contexts.get((tls, server))
        if known is not None and known[0] == version:
            return known[1]
    try:
        context = _make(tls, server=server)
    except ConfigError as error:
        if known is None:
            raise
        log.error("the certificates of before are used still: %s", error)
        context = known[1]
    with _lock:
        if len(_contexts) >= _MOST:
            _contexts.clear()
        _contexts[tls, server] = version, context
    return context


def _versions(tls: TlsOptions) -> Iterator[tuple[int, int, int] | None]:
    for path in (tls.cert, tls.key, tls.ca):
        if path is not None:
            try:
                status = os.stat(path)
            except OSError:
                yield None
            else:
                yield status.st_ino, status.st_size, status.st_mtime_ns


def _make(tls: TlsOptions, *, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    if server:
        # Sessions of TLS itself are never resumed here, and a ticket that nobody reads turns a close into a reset.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
        if tls.require_client_cert:
            context.verify_mode = ssl.CERT_REQUIRED
    elif not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.ca is not None:
        try:
            context.load_verify_locations(tls.ca)
        except (OSError, ValueError) as error:
            raise ConfigError(f"tls_ca={tls.ca!r} cannot be used: {error}; it is to be a PEM file of certificates") from error
    elif not server and tls.verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if tls.cert is not None:
        try:
            context.load_cert_chain(tls.cert, tls.key, password=_no_password)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"tls_cert={tls.cert!r} with tls_key={tls.key or tls.cert!r} cannot be used: {error}; "
                "they are to be PEM files, of a certificate with those that lead to its authority, and of its key"
            ) from error
    return context


def _no_password() -> NoReturn:
    # OpenSSL would ask for one at the terminal otherwise.
    raise ValueError("the key is encrypted by a password; give one that is not, readable by its owner alone")

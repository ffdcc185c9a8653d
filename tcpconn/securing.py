"""What a backend needs to know to encrypt its links, and whether what was set can be done by the backend that was chosen.

A backend says how it encrypts by an attribute `encryption` of its transport: "tls", "curve", or nothing. Whoever sets something
for security and chooses a backend that cannot do it gets an error: no such setting is ever ignored.
"""

from __future__ import annotations

from dataclasses import dataclass

from tcpconn.errors import ConfigError
from tcpconn.secret import Secret

__all__ = ["CurveOptions", "TlsOptions", "check_encryption"]


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """Settings of TLS, as `Config` has them under the same names with `tls_` before."""

    cert: str | None = None
    key: str | None = None
    ca: str | None = None
    hostname: str | None = None
    verify: bool = True
    require_client_cert: bool = False


@dataclass(frozen=True, slots=True)
class CurveOptions:
    """Settings of CURVE, as `Config` has them under the same names with `curve_` before; keys are Z85 text."""

    secret_key: Secret | None = None
    server_key: str | None = None


def check_encryption(backend: str, transport: object, tls: TlsOptions, curve: CurveOptions, *, listens: bool) -> None:
    """Check that a backend can encrypt as the settings say; only if it is to encrypt at all.

    Raises:
        ConfigError: it cannot, or lacks a setting for it; the text says what to set.
    """
    way = getattr(transport, "encryption", None)
    if way == "tls":
        if listens and tls.cert is None:
            raise ConfigError(f"backend={backend!r} encrypts by TLS, and a listener needs a certificate: set tls_cert")
    elif way == "curve":
        if listens and curve.secret_key is None:
            raise ConfigError(f"backend={backend!r} encrypts by CURVE, and a listener needs a key: set curve_secret_key")
        if not listens and curve.server_key is None:
            raise ConfigError(
                f"backend={backend!r} encrypts by CURVE, and a client needs the listener's public key: set curve_server_key"
            )
        if listens and tls.require_client_cert:
            raise ConfigError(
                f"tls_require_client_cert says that clients prove who they are, but backend={backend!r} encrypts by CURVE, "
                "which lets in every client here: set auth_key for the purpose, and tls_require_client_cert to false"
            )
    else:
        raise ConfigError(
            f"backend={backend!r} does not encrypt: leave encrypt off, or choose a backend that does, "
            "tcp (with tls_cert and others) or zmq (with curve_secret_key and others)"
        )

"""Certificates for tests, made anew for each run: an authority, its listener's and its client's, and those of another one."""

from __future__ import annotations

import atexit
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import trustme

__all__ = ["Certificates", "Issued", "certificates", "issue"]


@dataclass(frozen=True)
class Issued:
    """The files of one certificate and of its key."""

    cert: str
    key: str


@dataclass(frozen=True)
class Certificates:
    """Where the files are."""

    ca: str
    server: Issued
    client: Issued
    other_ca: str
    other: Issued


def issue(authority: trustme.CA, folder: Path, name: str, *hosts: str) -> Issued:
    """Write a certificate and its key."""
    folder.mkdir(parents=True, exist_ok=True)
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    made = authority.issue_cert(*hosts)
    cert.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    made.private_key_pem.write_to_path(str(key))
    return Issued(str(cert), str(key))


@cache
def certificates() -> Certificates:
    """Return the same ones for the whole run."""
    folder = Path(mkdtemp(prefix="tcpconn-certificates-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority, other = trustme.CA(), trustme.CA()
    for name, one in (("ca", authority), ("other_ca", other)):
        one.cert_pem.write_to_path(str(folder / f"{name}.pem"))
    return Certificates(
        str(folder / "ca.pem"),
        issue(authority, folder, "server", "localhost", "127.0.0.1", "::1"),
        issue(authority, folder, "client", "client.example"),
        str(folder / "other_ca.pem"),
        issue(other, folder, "other", "localhost", "127.0.0.1", "::1"),
    )

"""What the two ends of a link prove to each other: that they know a shared key, and that a session is theirs to resume.

Sans-I/O. A proof is an HMAC over both HELLOs of the link, byte by byte as they went over the wire, and over who proves: so it
is good for these two nonces, this version, this session, these limits and this end alone. It says nothing of what follows.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import replace

from tcpconn.frames import Hello

__all__ = ["METHOD", "NONCE_SIZE", "PROOF_SIZE", "Transcript", "needs_proof", "opening_words", "with_nonce"]

METHOD = b"hmac-sha256"
"""What the HELLO of an end that has a key names."""

NONCE_SIZE = 32
"""Bytes, new and random in each HELLO."""

PROOF_SIZE = hashlib.sha256().digest_size

_LABEL = b"tcpconn 1 "


def opening_words(nonce: bytes, *, key: bytes | None) -> dict[str, bytes]:
    """Return what a HELLO says under `authentication`: a new nonce, and the method if this end has a key."""
    return {"nonce": nonce} if key is None else {"nonce": nonce, "method": METHOD}


def with_nonce(hello: Hello, nonce: bytes) -> Hello:
    """Return the same HELLO for another link."""
    return replace(hello, authentication={**hello.authentication, "nonce": nonce})


def needs_proof(hello: Hello) -> bool:
    """Whether its sender proves something right behind this HELLO, once it has the other end's."""
    return hello.resume or "method" in hello.authentication


class Transcript:
    """The HELLOs of one link, and what can be derived of them.

    Args:
        client, server: the bodies of their HELLO frames.
    """

    __slots__ = ("_digest",)

    def __init__(self, client: bytes, server: bytes) -> None:
        # Each is hashed by itself, so that no byte can move from one to the other.
        self._digest = hashlib.sha256(client).digest() + hashlib.sha256(server).digest()

    def session_secret(self, key: bytes | None) -> bytes:
        """Return the secret of the session that begins with these HELLOs; both ends derive the same, and never send it."""
        return self._mac(key or b"", b"session")

    def proof(self, secret: bytes, *, client: bool) -> bytes:
        """Return what the client, or the server, says to prove that it knows a secret."""
        return self._mac(secret, b"client" if client else b"server")

    def proves(self, proof: bytes, secret: bytes, *, client: bool) -> bool:
        """Whether a proof of the client's, or of the server's, is right; takes the same time whatever is wrong with it."""
        return hmac.compare_digest(proof, self.proof(secret, client=client))

    def _mac(self, secret: bytes, label: bytes) -> bytes:
        return hmac.digest(secret, _LABEL + label + b"\0" + self._digest, "sha256")

    def __repr__(self) -> str:
        return "<Transcript>"

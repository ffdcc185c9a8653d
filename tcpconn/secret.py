"""A secret setting: a value that does not show in what is printed, logged or dumped, but where it is asked for by name."""

from __future__ import annotations

import hmac

__all__ = ["Secret"]


class Secret:
    """Some bytes that nobody sees by mistake: not in `repr` and `str`, so not in a config's, nor in a log or an error.

    It compares and hashes by its value, and travels in a pickle, as a config does.

    Args:
        value: the secret; text counts as UTF-8.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str | bytes | Secret) -> None:
        self._value = (
            value.reveal() if isinstance(value, Secret) else value.encode() if isinstance(value, str) else bytes(value)
        )

    def reveal(self) -> bytes:
        """Return the secret itself."""
        return self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> tuple[type[Secret], tuple[bytes]]:
        return Secret, (self._value,)

    def __repr__(self) -> str:
        return "<Secret>"

"""What is allowed for one setting: values are checked, read from text, and described to whoever got one wrong."""

from __future__ import annotations

import dataclasses
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tcpconn.errors import ConfigError
from tcpconn.secret import Secret
from tcpconn.transport import available_backends, is_registered

__all__ = ["Hidden", "Number", "Rule", "Setting", "Text", "setting_of", "shorten"]

_BOOL_WORDS = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


class Rule(ABC):
    """Which values are allowed, None apart."""

    @abstractmethod
    def good(self, value: Any) -> bool:
        """Whether a value is allowed."""

    @abstractmethod
    def allowed(self) -> str:
        """Return what is, in words."""

    def convert(self, value: Any) -> Any:
        """Return an allowed value in the setting's type."""
        return value

    def parse(self, word: str) -> Any:
        """Turn text into a value of about the right type, or return it as it is."""
        return word

    def show(self, value: Any) -> str:
        """Return a value for an error."""
        return repr(value)


@dataclass(frozen=True, slots=True)
class Number(Rule):
    """A number from `low` (not itself, if `over`) to `high`; a whole one if `kind` is int."""

    kind: Callable[[Any], Any]
    low: float
    high: float
    over: bool

    def good(self, value: Any) -> bool:
        """Whether it lies between the limits."""
        if isinstance(value, bool) or not isinstance(value, int if self.kind is int else (int, float)):
            return False
        # The comparison is false for a NaN.
        return self.low <= value <= self.high and not (self.over and value == self.low)

    def allowed(self) -> str:
        """Name the limits."""
        noun = "a whole number" if self.kind is int else "a number"
        least = f"greater than {_figure(self.low)}" if self.over else f"{_figure(self.low)} or more"
        return f"{noun}, {least}, at most {_figure(self.high)}"

    def convert(self, value: Any) -> Any:
        """Return it as int or float."""
        return self.kind(value)

    def parse(self, word: str) -> Any:
        """Read digits."""
        try:
            return self.kind(word)
        except ValueError:
            return word


class _Flag(Rule):
    def good(self, value: Any) -> bool:
        return isinstance(value, bool)

    def allowed(self) -> str:
        return "true or false"

    def parse(self, word: str) -> Any:
        return _BOOL_WORDS.get(word.lower(), word)


class _Backend(Rule):
    def good(self, value: Any) -> bool:
        return isinstance(value, str) and is_registered(value)

    def allowed(self) -> str:
        return f"the name of an installed backend: {', '.join(available_backends()) or 'there is none'}"


@dataclass(frozen=True, slots=True)
class Text(Rule):
    """Text, not empty; `what` it stands for, and of how many characters it is, if that is fixed."""

    what: str
    size: int | None = None

    def good(self, value: Any) -> bool:
        """Whether it is such a text."""
        return isinstance(value, str) and bool(value) and "\0" not in value and self.size in (None, len(value))

    def allowed(self) -> str:
        """Say what it stands for."""
        return self.what


@dataclass(frozen=True, slots=True)
class Hidden(Rule):
    """A `Secret` of `least` to `most` bytes, which no error shows; `what` it is."""

    what: str
    least: int
    most: int

    def good(self, value: Any) -> bool:
        """Whether it is text, bytes or a secret of such a length."""
        if not isinstance(value, str | bytes | Secret):
            return False
        try:
            return self.least <= len(Secret(value).reveal()) <= self.most
        except UnicodeEncodeError:
            return False

    def allowed(self) -> str:
        """Say what it is."""
        return self.what

    def convert(self, value: Any) -> Secret:
        """Hide it."""
        return Secret(value)

    def show(self, value: Any) -> str:
        """Return the type alone, and of text how long it is."""
        return f"<{type(value).__name__} of {len(value)}>" if isinstance(value, str | bytes) else f"<{type(value).__name__}>"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, default and rule, and whether it may be None."""

    name: str
    default: Any
    optional: bool
    rule: Rule

    def check(self, value: Any, source: str, none: str = "None", shown: object = ...) -> Any:
        """Return the value in the setting's type.

        Args:
            value: what was set.
            source: where, for the error.
            none: how that source spells None, for the error.
            shown: what the user wrote, if that is not the value itself, for the error.

        Raises:
            ConfigError: it is not allowed.
        """
        if value is None and self.optional:
            return None
        if not self.rule.good(value):
            text = shorten(self.rule.show(value if shown is ... else shown))
            allowed = self.rule.allowed() + (f", or {none}" if self.optional else "")
            raise ConfigError(f"{self.name}={text} (from {source}) is not allowed; allowed is {allowed}")
        return self.rule.convert(value)

    def parse(self, text: str) -> Any:
        """Turn text into a value of about the right type; `check` does the rest."""
        word = text.strip()
        if self.optional and word.lower() == "none":
            return None
        return self.rule.parse(word)


def setting_of(field: dataclasses.Field[Any], hint: Any) -> Setting:
    """Return the setting that a field of the config is, from its type and, for all but flags and the backend, its `rule`."""
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    rule = field.metadata.get("rule")
    if rule is None:
        rule = _Flag() if bool in members else _Backend()
    return Setting(field.name, field.default, type(None) in members, rule)


def _figure(number: float) -> str:
    return f"{int(number) if number == int(number) else number:,}"


def shorten(text: str) -> str:
    """Return a text that fits into an error."""
    return text if len(text) <= 80 else f"{text[:77]}..."

"""The fixtures of the tests of behaviour."""

from connected import api, connect, descriptors, echo, line, listen, pair, pool, stack

__all__ = ["api", "connect", "descriptors", "echo", "line", "listen", "pair", "pool", "stack"]

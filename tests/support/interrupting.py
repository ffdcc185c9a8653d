"""An exception in the middle of a step, at each place in turn, as a signal's handler may raise it there."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

__all__ = ["Interrupted", "interrupted_at"]


class Interrupted(BaseException):
    """What the handler raises."""


def interrupted_at(place: int, step: Callable[[], object], *, after_c: bool = True) -> bool:
    """Take a step and raise `Interrupted` in it: where a call begins, or one of C ends.

    Args:
        place: which of these places, counted from 0.
        step: what to interrupt.
        after_c: whether the ends of C's count; what such a call returned is lost, be it a descriptor.

    Returns:
        Whether the step has that many.
    """
    left = place

    def profile(_: object, event: str, __: object) -> None:
        nonlocal left
        if event == "call" or (after_c and event == "c_return"):
            left -= 1
            if left < 0:
                sys.setprofile(None)
                raise Interrupted

    gc.disable()  # what is raised in a finalizer is dropped
    sys.setprofile(profile)
    try:
        step()
    except Interrupted:
        return True
    finally:
        sys.setprofile(None)
        gc.enable()
    return False

"""A debug log of the frames that pass over a link, one line each.

Switched on by giving the logger `tcpconn.frames` the level DEBUG before the link is made. Nobody else pays for it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from tcpconn.frames import HEADER, HEADER_SIZE, Frame
from tcpconn.logs import logger
from tcpconn.transport import Buffer

__all__ = ["FrameLog", "frame_log"]

log = logger("tcpconn.frames")


class FrameLog:
    """Logs one direction of one link; called by one thread at a time, in the order of the bytes."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._data = bytearray()

    def passed(self, buffers: Sequence[Buffer], count: int) -> None:
        """Take note that the first `count` bytes of `buffers` have passed, and log the frames that are complete by now."""
        data = self._data
        for buffer in buffers:
            data += buffer[:count]
            count -= min(len(buffer), count)
        position = 0
        while len(data) - position >= HEADER_SIZE:
            kind, flags, _, stream, length = HEADER.unpack_from(data, position)
            end = position + HEADER_SIZE + length
            if end > len(data):
                break
            log.debug("%s %s", self._label, Frame(kind, flags, stream, bytes(data[position + HEADER_SIZE : end])))
            position = end
        del data[:position]


def frame_log(label: str) -> FrameLog | None:
    """Return a log for one direction of a link, or None if nobody wants to read it."""
    return FrameLog(label) if log.isEnabledFor(logging.DEBUG) else None

"""The library's logger: what its handlers raise stays with them."""

from __future__ import annotations

import logging

import pytest

from tcpconn.logs import logger


class Full(logging.Handler):
    """A handler whose disk is full."""

    def emit(self, record: logging.LogRecord) -> None:
        with open("/dev/full", "w", encoding="utf-8") as full:
            full.write(self.format(record))


@pytest.fixture
def full() -> Full:
    found = logging.getLogger("tcpconn.test_logs")
    handler = Full()
    found.addHandler(handler)
    return handler


def test_a_handler_that_cannot_write_fails_nobody_and_stderr_says_why(full: Full, capsys: pytest.CaptureFixture[str]) -> None:
    log = logger("tcpconn.test_logs")

    log.warning("%d of %d", 1, 2)

    assert "No space left on device" in capsys.readouterr().err


def test_it_is_silent_where_logging_is_told_to_be(
    full: Full, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)

    logger("tcpconn.test_logs").error("lost")

    assert capsys.readouterr().err == ""


def test_a_record_names_the_line_that_logged_it(caplog: pytest.LogCaptureFixture) -> None:
    log = logger("tcpconn.test_logs_lines")
    try:
        raise LookupError("inner")
    except LookupError:
        log.exception("with its reason")
    log.warning("plain")

    assert [record.filename for record in caplog.records] == ["test_logs.py"] * 2
    assert "LookupError" in caplog.text

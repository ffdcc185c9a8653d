"""The tree of errors: what catches what, and what survives on the way to another process."""

from __future__ import annotations

import copy
import pickle

import pytest

import tcpconn
from tcpconn import errors
from tcpconn.errors import (
    AuthenticationError,
    BackendUnavailable,
    ConfigError,
    ConnectError,
    ConnectionClosed,
    ConnectionLost,
    HandshakeError,
    MessageTooLarge,
    ProtocolError,
    TcpconnError,
    TimedOut,
)

ALL = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", ALL)
def test_one_except_clause_catches_every_error(kind: type[TcpconnError]) -> None:
    assert issubclass(kind, TcpconnError)
    assert getattr(tcpconn, kind.__name__) is kind
    assert kind.__doc__


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (ConfigError, ValueError),
        (BackendUnavailable, ImportError),
        (ConnectError, ConnectionError),
        (HandshakeError, ConnectError),
        (AuthenticationError, HandshakeError),
        (ProtocolError, ConnectionError),
        (MessageTooLarge, ValueError),
        (ConnectionLost, ConnectionError),
        (TimedOut, TimeoutError),
    ],
)
def test_ordinary_except_clauses_catch_the_errors_that_they_name(kind: type[TcpconnError], base: type[Exception]) -> None:
    with pytest.raises(base, match="what happened"):
        raise kind("what happened")


def test_a_close_in_good_order_is_no_fault_of_a_connection() -> None:
    assert not issubclass(ConnectionClosed, OSError)


@pytest.mark.parametrize("kind", ALL)
def test_every_error_is_made_from_its_text_alone(kind: type[TcpconnError]) -> None:
    assert str(kind("what happened, and what to do")) == "what happened, and what to do"


@pytest.mark.parametrize(
    ("error", "attribute", "value"),
    [
        (HandshakeError("refused", 6), "code", 6),
        (HandshakeError("odd"), "code", None),
        (AuthenticationError("no proof", 8), "code", 8),
        (ProtocolError("odd frame"), "code", 1),
        (ProtocolError("odd frame", 4), "code", 4),
        (ConnectionLost("gone", 12), "undelivered", 12),
        (ConnectionLost("gone"), "undelivered", 0),
    ],
)
def test_the_figures_of_an_error_survive_pickling_and_stay_out_of_its_text(
    error: TcpconnError, attribute: str, value: object
) -> None:
    for same in (error, copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(same) is type(error)
        assert getattr(same, attribute) == value
        assert str(same) == str(error) == error.args[0]
        # An OSError made from two arguments takes them for its number and text; these figures are neither.
        assert getattr(same, "errno", None) is None

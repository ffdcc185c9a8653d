"""What is still to be told about a session, to whom, and in which order."""

from __future__ import annotations

from tcpconn.lifecycle import State
from tcpconn.notices import Notices


def test_each_change_is_told_once_to_everybody_in_order_and_the_end_last() -> None:
    told: list[object] = []
    notices = Notices(lambda: told.append("end"))
    notices.callbacks += [lambda state: told.append(("a", state)), lambda state: told.append(("b", state))]
    notices.changed(State.CONNECTED)
    notices.changed(State.CLOSED)
    for call in notices.due(ended=True) + notices.due(ended=True):
        call()
    assert told == [
        ("a", State.CONNECTED),
        ("b", State.CONNECTED),
        ("a", State.CLOSED),
        ("b", State.CLOSED),
        "end",
    ]


def test_whoever_asks_later_is_not_told_of_what_was_before() -> None:
    told: list[State] = []
    notices = Notices(None)
    notices.changed(State.CONNECTED)
    notices.callbacks.append(told.append)
    notices.changed(State.DRAINING)
    for call in notices.due(ended=True):
        call()
    assert told == [State.DRAINING]


def test_the_end_is_not_told_before_it_has_come() -> None:
    notices = Notices(lambda: None)
    assert notices.due(ended=False) == []
    assert len(notices.due(ended=True)) == 1

"""Peers that mean harm, at the edges of what a listener allows: they are shown out, and a good client is served on."""

from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Echo, Listen
from eventually import eventually
from stranger import Stranger, hello
from tcpconn import demands, frames
from tcpconn.frames import FIRST, Code, Frame, FrameType, Hello


@pytest.fixture
def good(echo: Echo, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> tuple[tcpconn.Listener, tcpconn.Connection]:
    # Low enough that no machine is too slow to exceed it.
    for name in ("IDLE_PER_SECOND", "IDLE_AT_ONCE", "OPENS_PER_SECOND"):
        monkeypatch.setattr(demands, name, 500)
    listener = echo(max_streams=50)
    client = connect(listener.address)
    return listener, client


def still_served(client: tcpconn.Connection) -> None:
    client.send(b"still here")
    assert client.receive(DEADLINE) == b"still here"
    assert client.stats().reconnects == 0


def opening_and_resetting(count: int) -> bytes:
    return b"".join(
        frames.open_stream(number, "a", None).encode() + frames.reset(number, Code.CANCELLED, "").encode()
        for number in range(1, 2 * count, 2)
    )


FLOODS = {
    "pings": (frames.ping(7).encode() * (20_000), Code.TOO_FAST),
    "credit of nothing": (frames.credit(0, 0).encode() * (20_000), Code.TOO_FAST),
    "streams opened and reset": (opening_and_resetting(10_000), Code.TOO_FAST),
    "streams opened and left": (
        b"".join(frames.open_stream(number, f"{number}", None).encode() for number in range(1, 2 * 2000, 2)),
        Code.PROTOCOL_ERROR,
    ),
    "empty chunks": (
        frames.open_stream(1, "a", None).encode()
        + Frame(FrameType.DATA, FIRST, 1, b"\xff" * 8).encode()
        + Frame(FrameType.DATA, 0, 1).encode() * (20_000),
        Code.TOO_FAST,
    ),
    "empty messages": (
        frames.open_stream(1, "a", None).encode() + Frame(FrameType.DATA, 3, 1).encode() * 500_000,
        Code.PROTOCOL_ERROR,
    ),
    "a message that is too long": (
        frames.open_stream(1, "a", None).encode() + Frame(FrameType.DATA, FIRST, 1, (1 << 62).to_bytes(8, "big")).encode(),
        Code.PROTOCOL_ERROR,
    ),
}


@pytest.mark.parametrize("flood", FLOODS)
def test_a_peer_that_floods_is_shown_out_with_the_reason_and_the_others_are_served(
    good: tuple[tcpconn.Listener, tcpconn.Connection], backend: str, flood: str
) -> None:
    listener, client = good
    words, code = FLOODS[flood]
    with Stranger(backend, listener.address) as stranger:
        # The link may be closed before all is said.
        with suppress(OSError):
            stranger.say(hello().encode().encode() + words)
        answer = stranger.hear_out()
    reasons = [frames.decode_reason(frame.body)[0] for frame in answer if frame.type == FrameType.GOAWAY]
    assert reasons in ([code], []), "a reset may have destroyed the words"
    assert eventually(lambda: listener.sessions == 1)
    still_served(client)


def arrived(backend: str, address: str) -> Stranger:
    """Return a stranger that has a link; places become free some time after their holders have left."""
    found: list[Stranger] = []

    def arrive() -> bool:
        with suppress(OSError):
            found.append(Stranger(backend, address))
        return bool(found)

    assert eventually(arrive)
    return found[0]


def test_links_that_are_dropped_make_room_for_others(listen: Listen, connect: Connect, backend: str) -> None:
    listener = listen(max_links=5, handshake_timeout=0.3, resume_timeout=0.3)
    for _ in range(4):
        with ExitStack() as stack:
            strangers = [stack.enter_context(arrived(backend, listener.address)) for _ in range(5)]
            for number, stranger in enumerate(strangers):
                stranger.say(Hello(session=bytes([number]) * 16).encode().encode() if number % 2 else b"GET / HTTP/1.1")
    client = connect(listener.address, connect_timeout=DEADLINE)
    client.send(b"there is room")
    assert listener.accept(DEADLINE).receive(DEADLINE) == b"there is room"


def test_sessions_that_wait_for_their_peers_are_bounded_and_the_longest_without_one_goes_first(
    listen: Listen, connect: Connect, backend: str
) -> None:
    listener = listen(max_links=4, resume_timeout=DEADLINE, handshake_timeout=DEADLINE)
    for number in range(30):
        with Stranger(backend, listener.address) as stranger:
            stranger.say(Hello(session=bytes([number]) * 16).encode().encode())
            assert eventually(lambda: stranger.heard(FrameType.HELLO))
        assert listener.sessions <= 9
    client = connect(listener.address, connect_timeout=DEADLINE)
    client.send(b"there is room")
    assert listener.accept(DEADLINE).receive(DEADLINE) == b"there is room"
    with Stranger(backend, listener.address) as last:
        last.say(Hello(session=bytes([29]) * 16, resume=True).encode().encode())
        assert eventually(lambda: last.heard(FrameType.HELLO)), "the last session is still known"

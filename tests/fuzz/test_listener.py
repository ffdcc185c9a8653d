"""A whole listener is fed anything, link after link: it stays up, serves a good client, and keeps nothing of what was fed."""

from __future__ import annotations

from contextlib import suppress
from threading import Thread

import hypothesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fuzzing
import tcpconn
from behaving import DEADLINE, echo_handler
from engine import hello
from eventually import eventually
from stranger import Stranger
from tcpconn.frames import Hello

_number = iter(range(1, 1 << 62))

talks = st.lists(
    st.one_of(st.sampled_from([seed[1:] for seed in fuzzing.SEEDS.values()]), st.binary(max_size=60)), max_size=6
).map(b"".join)


def test_a_listener_is_fed_anything_and_goes_on(backend: str) -> None:
    with (
        tcpconn.listen(
            "127.0.0.1:0", backend=backend, handshake_timeout=0.2, resume_timeout=0.2, linger=0.2, max_streams=10, credit=9000
        ) as listener,
        tcpconn.Pool() as pool,
        tcpconn.connect(listener.address, pool=pool, backend=backend, linger=0.2) as good,
    ):
        Thread(target=tcpconn.serve, args=(echo_handler, listener), daemon=True).start()

        @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=[hypothesis.Phase.generate])
        @given(st.booleans(), talks, st.integers(0, 1 << 16), st.integers(0, 255))
        def feed(greets: bool, words: bytes, where: int, value: int) -> None:
            session = next(_number).to_bytes(16, "big")
            changed = bytearray((Hello(session=session).encode().encode() if greets else b"") + words)
            if changed:
                changed[where % len(changed)] = value
            with suppress(OSError), Stranger(backend, listener.address) as stranger:
                stranger.say(bytes(changed))
            good.send(b"still here")
            assert good.receive(DEADLINE) == b"still here"

        feed()
        assert good.stats().reconnects == 0
        assert eventually(lambda: listener.sessions == 1)


def test_what_is_fed_begins_as_a_session_would() -> None:
    assert Hello(session=bytes(16)).encode().encode()[:17] == hello().encode().encode()[:17]

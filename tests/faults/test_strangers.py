"""What strangers cost who connect to a listener that asks for proof, and never give any: memory, and for how long."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import psutil
import pytest

import tcpconn
from certificates import certificates
from eventually import eventually
from fault_programs import running
from tcpconn.authentication import NONCE_SIZE, with_nonce
from tcpconn.frames import FrameType, Hello

COUNT = 300
KEY = "k" * 32
HELLO = with_nonce(Hello(session=bytes(16)), bytes(NONCE_SIZE)).encode().encode()
LONGEST = bytes([FrameType.HELLO]) + bytes(7) + (65_536).to_bytes(4, "big") + b"TCPN\x01" + bytes(65_530)
GARBAGE = b"\xde\xad\xbe\xef" * 25
KIB = 1024
MADE_ONCE = 5
"""Descriptors that the server makes when the first stranger is shown out, and keeps."""

CASES = {
    "nothing": ("key", b"", 32 * KIB),
    "half a HELLO": ("key", HELLO[: len(HELLO) // 2], 32 * KIB),
    "the longest HELLO but for a byte": ("key", LONGEST, 96 * KIB),
    "a HELLO and no proof": ("key", HELLO, 32 * KIB),
    "garbage": ("key", GARBAGE, 32 * KIB),
    "nothing, where TLS is asked for": ("TLS", b"", 64 * KIB),
    "half a ClientHello": ("TLS", b"\x16\x03\x01\x40\x00" + bytes(8000), 64 * KIB),
    "garbage, where TLS is asked for": ("TLS", GARBAGE, 64 * KIB),
}
"""What they say, and how many bytes of the server's memory each may cost."""


@pytest.mark.parametrize("case", CASES)
def test_a_stranger_costs_a_bounded_amount_of_memory_and_is_gone_after_the_handshake_timeout(case: str, backend: str) -> None:
    secured, words, allowed = CASES[case]
    if backend == "memory":
        pytest.skip("both ends are one process")
    if secured == "TLS" and backend != "tcp":
        pytest.skip("TLS is tcp's")
    made = certificates()
    files = (made.server.cert, made.server.key) if secured == "TLS" else ()
    settings: dict[str, Any] = {"encrypt": True, "tls_ca": made.ca} if files else {}
    with running("guarded", backend, KEY, *files) as (program, address), ExitStack() as strangers:
        server = psutil.Process(program.pid)
        with tcpconn.Pool() as pool, tcpconn.connect(address, pool=pool, backend=backend, auth_key=KEY, **settings) as good:
            good.send(b"hello")
            assert good.receive(20.0) == b"hello"
            before, descriptors = server.memory_info().rss, server.num_fds()
            host, _, port = address.rpartition(":")
            for _ in range(COUNT):
                stranger = strangers.enter_context(socket.create_connection((host, int(port))))
                stranger.sendall(words)
            # zmq shows out at once whoever does not speak its own protocol.
            if case.startswith("nothing") or (backend == "tcp" and "garbage" not in case):
                assert eventually(lambda: server.num_fds() >= descriptors + COUNT), "they were not all there at a time"
            peak = server.memory_info().rss

            def gone() -> bool:
                nonlocal peak
                peak = max(peak, server.memory_info().rss)
                return server.num_fds() <= descriptors + MADE_ONCE

            assert eventually(gone), "they are still there"
            good.send(b"still here")
            assert good.receive(20.0) == b"still here"
            each = (peak - before) / COUNT
            print(f"MEASURED {backend}: {case}: {each:.0f} bytes each")
            assert each <= allowed

"""Feed the decoder very many inputs, made by rule from one seed, for a given time: `python tests/fuzz/many_inputs.py --help`.

`fuzz_decoder.py` is slower and guided by coverage. Here inputs are frames, valid and at the edges, in any order, most of them
then damaged. An input that fails is printed with its seed and written to a file. Prints what it has done in the end.
"""

from __future__ import annotations

import argparse
import random
import resource
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import fuzzing
from tcpconn import frames
from tcpconn.frames import FIRST, HEADER, LAST, Code, Frame, FrameType

BATCH = 1000
HANG = 20
"""Seconds for a batch, after which it is said to hang."""

MEMORY_BOUND = 256 << 20
"""Bytes that the process may take at the most, the interpreter and the coverage of all inputs included."""

EDGES = [0, 1, 2, 3, 7, 8, 11, 12, 255, 256, 4084, 4095, 4096, 4097, 9000, 18_000, 20_000, 65_535, 65_536, 65_537]
EDGES += [(1 << bits) + more for bits in (31, 32) for more in (-1,)] + [1 << 31]


def blocks() -> list[bytes]:
    """Return the frames that inputs are made of."""
    found = [
        Frame(FrameType.DATA, flags, stream, bytes(size)).encode()
        for flags in range(5)
        for stream in (0, 1, 3, 5, 2)
        for size in (0, 1, 7, 8, 30, 300)
    ]
    found += [
        Frame(FrameType.DATA, FIRST, stream, total.to_bytes(8, "big") + b"abc").encode()
        for stream in (1, 3)
        for total in (0, 3, 5, 20_000, 20_001, (1 << 64) - 1, (1 << 64) - 2)
    ]
    found += [
        frames.open_stream(number, name, None).encode() for number in (1, 4, 5, 7, 9, 11, 13, 99) for name in ("a", "z", b"b")
    ]
    found += [frames.open_stream(15, "m", {"list": [1, 2.5, None, {"deep": [b"x"] * 5}]}).encode()]
    for number in (0, 1, 3, 5, 7, 8):
        found += [frames.close(number).encode(), frames.reset(number, Code.CANCELLED, "why").encode()]
        found += [frames.credit(number, count).encode() for count in (0, 1, 9000, 1 << 31)]
    for number in (0, 1, 2, 5, 1 << 40, (1 << 64) - 1):
        found += [frames.ack(number).encode(), frames.ping(number).encode(), frames.pong(number).encode()]
    found += [frames.goaway(code, "text \x1b[31m").encode() for code in (0, 9, 12, 77)]
    found += [HEADER.pack(kind, 0, 0, 1, length) for kind in (2, 3, 4, 9, 10, 255) for length in EDGES]
    found += [
        Frame(FrameType.DATA, FIRST | LAST, 1, bytes(20)).encode() * 40,
        Frame(FrameType.DATA, FIRST | LAST, 3, b"").encode() * 200,
    ]
    return found


class Maker:
    """Makes inputs, always the same from one seed."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._blocks = blocks()
        self._seeds = list(fuzzing.SEEDS.values())
        self._hellos = [fuzzing.SEEDS["hello"], fuzzing.SEEDS["refusal"]]

    def session(self) -> bytes:
        """Return what a session is fed."""
        draw = self._draw.random
        choose = self._blocks
        count = int(draw() * draw() * 12) + 1
        choices = int(draw() * 16) | (0xE0 if draw() < 0.8 else int(draw() * 8) << 5)
        data = bytearray((choices,))
        if draw() < 0.02:
            data += self._seeds[int(draw() * len(self._seeds))][1:3000]
        for _ in range(count):
            data += choose[int(draw() * len(choose))]
        return self._damaged(data)

    def greeting(self) -> bytes:
        """Return what the handshake is fed."""
        draw = self._draw.random
        words = self._damaged(bytearray(self._hellos[draw() < 0.2]))
        # Mostly in one piece, for it takes 30 times as long byte by byte.
        return words if draw() < 0.05 else b"\xff" + words[1:]

    def _damaged(self, data: bytearray) -> bytes:
        draw = self._draw.random
        while len(data) > 1 and draw() < 0.55:
            kind = draw()
            at = 1 + int(draw() * (len(data) - 1))
            if kind < 0.5:
                data[at] = int(draw() * 256)
            elif kind < 0.65:
                data[at : at + 4] = EDGES[int(draw() * len(EDGES))].to_bytes(4, "big")
            elif kind < 0.8:
                del data[at : at + 1 + int(draw() * 20)]
            elif kind < 0.9:
                data[at:at] = self._draw.randbytes(1 + int(draw() * 12))
            else:
                del data[at:]
        return bytes(data)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="how many at the most")
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long at the most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    maker = Maker(arguments.seed)
    begun = time.monotonic()
    done = 0
    data = b""
    target = fuzzing.feed
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        while done < arguments.inputs and time.monotonic() - begun < arguments.seconds:
            signal.alarm(HANG)
            for number in range(BATCH):
                data = maker.session() if number % 8 else maker.greeting()
                target = fuzzing.feed if number % 8 else fuzzing.greet
                target(data)
            done += BATCH
    except BaseException as error:
        name = f"crash-{target.__name__}-{arguments.seed}-{done}"
        Path(name).write_bytes(data)
        print(f"seed {arguments.seed}, after {done} inputs: {error!r} from {data!r}, which is in {name}", flush=True)
        raise
    finally:
        signal.alarm(0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"seed={arguments.seed} inputs={done} seconds={time.monotonic() - begun:.0f} peak_memory={peak >> 20}MiB", flush=True)
    return 0 if peak < MEMORY_BOUND else 1


if __name__ == "__main__":
    sys.exit(main())

"""Fuzz the decoder by coverage, with atheris: `python tests/fuzz/fuzz_decoder.py [options of libFuzzer] [corpus]`.

For example `-runs=1000000 -max_len=4096 found tests/fuzz/corpus`, where `found` is a folder for what is new. A failure leaves
its input in a file `crash-...`; put that into `tests/fuzz/corpus`, where the tests repeat it. Needs the extra `fuzz`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

with atheris.instrument_imports(include=["tcpconn"]):
    import fuzzing


def one_input(data: bytes) -> None:
    fuzzing.feed(data)
    fuzzing.greet(data)


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

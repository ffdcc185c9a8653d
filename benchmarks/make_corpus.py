"""Make the corpus that `tcpconn compare` uses by default, from one release of botocore.

Run `python benchmarks/make_corpus.py` to download that release with pip and write the corpus, with `--check` to compare
the files in the checkout with what would be written, with `--wheel FILE` to read a wheel that is already there. The
release is pinned by version and SHA-256, and the output depends on nothing else, so it is the same bytes everywhere.
What the messages are and under which licence they stand is told in `tcpconn_bench/corpus/README.md`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSION = "1.44.5"
WHEEL_SHA256 = "8f16a56d1dff125dd65322ae021efa7ba5195a6db5102b96862566055b748921"
CORPUS = Path(__file__).parent / "tcpconn_bench" / "corpus"
NAME = "aws-api-examples.jsonl"
RULE_SETS = ("s3", "kinesis", "s3control", "dynamodb")
"""Services whose endpoint rules join the messages: the large ones among many small ones, as in real traffic."""


def download(folder: Path) -> Path:
    """Fetch the pinned wheel with pip into `folder` and return its path."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*command, "--dest", str(folder), f"botocore=={VERSION}"], check=True, timeout=600)
    return next(folder.glob("botocore-*.whl"))


def compact(value: Any) -> bytes:
    """Return `value` as JSON on one line, keys in their original order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def newest_versions(names: list[str], file: str) -> dict[str, str]:
    """Map each service to the path of `file` in the newest of its API versions; services without it are left out."""
    found: dict[str, str] = {}
    for name in sorted(names):
        parts = name.split("/")
        if parts[:2] == ["botocore", "data"] and len(parts) == 5 and parts[4] == file:
            found[parts[2]] = name
    return found


def messages(wheel: zipfile.ZipFile) -> Iterator[bytes]:
    """Yield each example's request and response, and the endpoint rules of a few services."""
    for service, path in newest_versions(wheel.namelist(), "examples-1.json").items():
        for operation, examples in json.loads(wheel.read(path))["examples"].items():
            for example in examples:
                for kind in ("input", "output"):
                    if kind in example:
                        yield compact({"service": service, "operation": operation, kind: example[kind]})
    rules = newest_versions(wheel.namelist(), "endpoint-rule-set-1.json.gz")
    for service in RULE_SETS:
        yield compact({"service": service, "rules": json.loads(gzip.decompress(wheel.read(rules[service])))})


def make(wheel: Path) -> dict[str, bytes]:
    """Return the corpus' files, by name.

    Raises:
        SystemExit: the wheel is not the pinned one.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        raise SystemExit(f"{wheel.name} has SHA-256 {digest}, expected {WHEEL_SHA256} (botocore {VERSION})")
    with zipfile.ZipFile(wheel) as archive:
        # Ordered by their own hash: services and sizes are mixed, as they would be on a link, and the order is fixed.
        found = sorted(set(messages(archive)), key=lambda message: hashlib.sha256(message).digest())
        licence = archive.read(f"botocore-{VERSION}.dist-info/LICENSE.txt")
        notice = archive.read(f"botocore-{VERSION}.dist-info/NOTICE")
    corpus = b"".join(message + b"\n" for message in found)
    sums = f"{hashlib.sha256(corpus).hexdigest()}  {NAME}\n".encode()
    return {NAME: corpus, "SHA256SUMS": sums, "LICENSE.txt": licence, "NOTICE": notice}


def main() -> int:
    """Write or check the corpus; returns the exit code."""
    parser = argparse.ArgumentParser(description="Make the corpus of `tcpconn compare`.")
    parser.add_argument("--wheel", type=Path, help=f"the wheel of botocore {VERSION}, in place of downloading it")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the files differ")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = make(arguments.wheel or download(Path(folder)))
    present = {path.name: path.read_bytes() for path in CORPUS.iterdir() if path.is_file()}
    different = [name for name, data in files.items() if present.get(name) != data]
    if arguments.check:
        print(f"different: {', '.join(different)}" if different else "the corpus is what this script makes")
        return 1 if different else 0
    for name, data in files.items():
        (CORPUS / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes, SHA-256 {hashlib.sha256(data).hexdigest()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

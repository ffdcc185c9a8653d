"""Ask PyPI whether faults are known of the packages that tcpconn depends on, in the versions that are installed here.

Where PyPI's service cannot be asked that is said, and nothing fails: a network without it is no fault of the code.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import version
from pathlib import Path

PATIENCE = 20
"""Seconds to wait for the service."""


def main() -> int:
    """Print what is known, or why nothing is; returns 1 if a fault is known of a package."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[^\w.-]", dependency, maxsplit=1)[0] for dependency in project["dependencies"]]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as wanted:
        wanted.write("".join(f"{name}=={version(name)}\n" for name in names))
        wanted.flush()
        command = [sys.executable, "-m", "pip_audit", "--format=json", "--progress-spinner=off", f"--timeout={PATIENCE}"]
        done = subprocess.run(
            [*command, "--no-deps", "--disable-pip", f"--requirement={wanted.name}"],
            capture_output=True,
            text=True,
            check=False,
        )
    try:
        audited = json.loads(done.stdout)["dependencies"]
    except ValueError:
        reason = done.stderr.strip().splitlines()[-1:] or ["no answer"]
        print(f"not audited, since the service cannot be asked: {reason[0]}")
        return 0
    faults = 0
    for package in audited:
        for fault in package.get("vulns", ()):
            faults += 1
            mended = ", ".join(fault["fix_versions"]) or "no version yet"
            print(f"{package['name']} {package['version']}: {fault['id']}, mended in {mended}")
        if "skip_reason" in package:
            print(f"{package['name']}: not audited: {package['skip_reason']}")
        elif not package["vulns"]:
            print(f"{package['name']} {package['version']}: nothing known")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())

"""Check with pyright that a user's type checker knows all of the public API: each parameter, each returned value, and each
attribute of the classes that `tcpconn` and `tcpconn.aio` export.

`pyright --verifytypes` itself also asks for annotations of every attribute of every internal class, since no module's name
begins with an underscore; those can be inferred, and are nobody's API.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import tcpconn
import tcpconn.aio

INFERRED = ("Type is missing type annotation and could be inferred differently", "Ambiguous base class override")
ELSEWHERE = ("No docstring found", "partially unknown")
"""What `mypy` and `ruff` see to, and what follows from something that is reported where it begins."""


def main() -> int:
    """Run pyright and print what a user's type checker would not know; returns the exit code."""
    command = [sys.executable, "-m", "pyright", "--ignoreexternal", "--verifytypes", "tcpconn", "--outputjson"]
    # Pyright looks for packages where the first `python` on the path does.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    exported = [getattr(module, name) for module in (tcpconn, tcpconn.aio) for name in module.__all__]
    public = {f"{one.__module__}.{one.__qualname__}" for one in exported if hasattr(one, "__qualname__")}
    unknown: list[str] = []
    for symbol in symbols:
        owner = symbol["name"].rpartition(".")[0]
        for diagnostic in symbol["diagnostics"]:
            message = diagnostic["message"].splitlines()[0]
            if any(text in message for text in ELSEWHERE) or (message.startswith(INFERRED) and owner not in public):
                continue
            unknown.append(f"{symbol['name']}: {message}")
    seen = public & {symbol["name"] for symbol in symbols}
    if seen != public:
        unknown.append(f"pyright says nothing of {', '.join(sorted(public - seen))}")
    print("\n".join(unknown) or f"public API: {len(seen)} classes and functions, all types known")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())

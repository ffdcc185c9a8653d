"""Check the result file of `tcpconn compare --json`: both backends and their floors are in it, every message verified."""

import json
import sys
from pathlib import Path

EXPECTED = {"tcp": "plain-socket", "zmq": "plain-pyzmq"}


def main() -> int:
    """Check the file that is named on the command line; returns the exit code."""
    result = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    subjects = result["subjects"]
    wrong = [f"{name} was skipped: {reason}" for name, reason in result["skipped"].items()]
    for name in [name for pair in EXPECTED.items() for name in pair]:
        one = subjects.get(name)
        if one is None:
            wrong.append(f"{name} is missing")
        elif one["error"] or one["failures"] or not one["messages"] or one["messages"] != one["verified"]:
            wrong.append(f"{name}: {one['verified']} of {one['messages']} messages verified, error: {one['error']}")
        elif not (one["round_trip"]["p50"] > 0 and one["stream"]["messages_per_second"] > 0):
            wrong.append(f"{name} has no figures")
    config = result["environment"]["config"]
    wrong += [f"the settings of {name} are missing" for name in EXPECTED if config.get(name, {}).get("backend") != name]
    if not result["messages"]["source"].startswith("corpus:"):
        wrong.append(f"the messages are not the corpus but {result['messages']['source']}")
    print("\n".join(wrong) or f"comparison: {sum(one['verified'] for one in subjects.values())} messages verified")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

"""Check what `tcpconn compare` wrote.

In the result file are both backends and their floors, every message verified; the page is whole, names all of them and needs
nothing outside itself.
"""

import json
import re
import sys
from pathlib import Path

EXPECTED = {"tcp": "plain-socket", "zmq": "plain-pyzmq"}


def main() -> int:
    """Check the result and the page that are named on the command line; returns the exit code."""
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
    page = Path(sys.argv[2]).read_text(encoding="utf-8")
    wrong += [f"{name} is not in the page" for name in subjects if name not in page]
    wrong += [f"the page refers to {found}" for found in re.findall(r"https?://[^\s\"'<]+", page)]
    if not page.rstrip().endswith("</html>") or page.count('class="chart"') < 5:
        wrong.append("the page is not whole")
    print("\n".join(wrong) or f"comparison: {sum(one['verified'] for one in subjects.values())} messages verified")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

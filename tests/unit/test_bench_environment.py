"""What the result of `tcpconn compare` says of the machine and the software."""

from __future__ import annotations

import json

from tcpconn_bench.environment import describe


def test_the_environment_tells_machine_and_software_apart() -> None:
    told = describe("tcpconn compare --quick")
    assert told["command_line"] == "tcpconn compare --quick"
    assert told["cpu"]["model"]
    assert told["cpu"]["logical_cores"] >= 1
    assert told["python"]["version"].count(".") == 2
    assert told["versions"]["msgpack"]
    assert json.loads(json.dumps(told)) == told

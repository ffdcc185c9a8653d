"""The zmq backend where pyzmq is missing."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import sys
sys.modules["zmq"] = None  # what Python itself does to block an import
import tcpconn
import tcpconn_zmq
assert "zmq" in tcpconn.available_backends()
for call in (lambda: tcpconn.connect("127.0.0.1:1", backend="zmq"), lambda: tcpconn.listen("127.0.0.1:0", backend="zmq")):
    try:
        call()
    except tcpconn.BackendUnavailable as error:
        assert isinstance(error, ImportError)
        print(error)
with tcpconn.listen("127.0.0.1:0", backend="tcp"):
    print("tcp goes on")
"""


def test_a_missing_pyzmq_is_reported_with_the_command_that_installs_it() -> None:
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all("zmq" in line and "pip install pyzmq" in line for line in lines[:2])
    assert lines[2] == "tcp goes on"

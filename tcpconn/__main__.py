"""`python -m tcpconn`: the same as the command `tcpconn`."""

from __future__ import annotations

import sys

from tcpconn.cli import main

if __name__ == "__main__":
    sys.exit(main())

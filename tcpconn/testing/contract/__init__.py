"""The test-suite of the contract in `tcpconn.transport`, for authors of backends. It needs pytest and hypothesis.

Subclass `TransportContract` in a test module of your own, under a name that pytest collects, and give it two fixtures:

    class TestMyBackend(TransportContract):
        @pytest.fixture
        def transport(self) -> Transport:
            return MyTransport()

        @pytest.fixture
        def address(self) -> Address:
            return Address("127.0.0.1", 0)

Class attributes say what the backend is not able to do: see `ContractCase`. The tests use real links, in real time.
"""

from __future__ import annotations

import pytest

for _module in ("case", "carrying", "ending", "ends", "listening", "waiting"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from tcpconn.testing.contract.carrying import CarryingContract  # noqa: E402
from tcpconn.testing.contract.case import ContractCase  # noqa: E402
from tcpconn.testing.contract.ending import EndingContract  # noqa: E402
from tcpconn.testing.contract.ends import End, Ends, RecordingSink  # noqa: E402
from tcpconn.testing.contract.listening import ListeningContract  # noqa: E402
from tcpconn.testing.contract.waiting import WaitingContract  # noqa: E402

__all__ = ["ContractCase", "End", "Ends", "RecordingSink", "TransportContract"]


class TransportContract(CarryingContract, WaitingContract, EndingContract, ListeningContract):
    """All of the contract."""

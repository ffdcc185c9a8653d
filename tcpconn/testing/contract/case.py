"""What all parts of the contract share: the fixtures, and what a backend says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import pytest

from tcpconn.address import Address
from tcpconn.testing.contract.ends import Ends
from tcpconn.transport import LinkOptions, Transport

__all__ = ["ContractCase"]


class ContractCase:
    """Base of the parts.

    Attributes:
        reaches_other_processes: links may join two processes; the transport's class is then created anew in the other one.
        uses_stream_sockets: bytes pass over TCP or Unix sockets at the address, so that a relay may stand in between.
        adopts_sockets: `adopt` is implemented.
    """

    reaches_other_processes: ClassVar[bool] = True
    uses_stream_sockets: ClassVar[bool] = True
    adopts_sockets: ClassVar[bool] = False

    @pytest.fixture
    def transport(self) -> Transport:
        """Return the transport that is to be tested."""
        raise NotImplementedError("define a fixture `transport` in the subclass")

    @pytest.fixture
    def address(self) -> Address:
        """Return an address to listen at, with port 0 if it has a port."""
        raise NotImplementedError("define a fixture `address` in the subclass")

    @pytest.fixture
    def options(self) -> LinkOptions:
        """Return the options of all links."""
        return LinkOptions()

    @pytest.fixture
    def ends(self, transport: Transport, address: Address, options: LinkOptions) -> Iterator[Ends]:
        """A listener at the address, and whatever is joined to it; all closed at the end."""
        ends = Ends(transport, address, options)
        yield ends
        ends.settle()

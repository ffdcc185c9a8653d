"""The part of the contract about listeners and about connecting to them."""
# ruff: noqa: D102

from __future__ import annotations

import errno
import select
import socket
import time
from dataclasses import replace

import pytest

from tcpconn.address import Address
from tcpconn.testing.contract.case import ContractCase
from tcpconn.testing.contract.ends import LIMIT, End, Ends, descriptors, eventually, in_thread
from tcpconn.transport import LinkOptions, Transport

__all__ = ["ListeningContract"]


class ListeningContract(ContractCase):
    """Links are made, counted and refused as they should be."""

    def test_the_listener_s_address_is_the_real_one(self, ends: Ends, address: Address) -> None:
        bound = ends.listener.address
        assert bound.path == address.path
        assert (bound.port == 0) == (address.path is not None)

    def test_both_ends_name_their_peer(self, ends: Ends) -> None:
        near, far = ends.join()
        assert str(ends.listener.address) in near.link.peer
        assert far.link.peer

    def test_accept_returns_none_when_nobody_has_come(self, ends: Ends) -> None:
        assert ends.listener.accept() is None
        ends.join()
        assert ends.listener.accept() is None

    def test_the_listener_s_descriptor_is_readable_while_a_link_waits(self, ends: Ends) -> None:
        ends.dial()
        ends.drive(lambda: bool(select.select([ends.listener.fileno()], [], [], 0)[0]))
        ends.accept()
        assert not select.select([ends.listener.fileno()], [], [], 0)[0] or ends.listener.accept() is None

    def test_links_wait_to_be_accepted(self, ends: Ends) -> None:
        near = [ends.dial() for _ in range(20)]
        for index, end in enumerate(near):
            ends.send(end, [b"%02d" % index])
        far = [ends.accept() for _ in near]
        ends.drive(lambda: all(len(end.sink.data) == 2 for end in far))
        assert {bytes(end.sink.data) for end in far} == {b"%02d" % index for index in range(20)}

    def test_a_link_that_is_closed_before_it_is_accepted_does_no_harm(self, ends: Ends) -> None:
        early = ends.dial()
        early.link.close()
        ends.ends.clear()
        near = ends.dial()
        ends.send(near, [b"x"])
        far = ends.accept()
        if not far.sink.data:
            ends.drive(lambda: bool(far.sink.data) or far.lost)
        if far.lost:
            far = ends.accept()
            ends.drive(lambda: bool(far.sink.data))
        assert far.sink.data == b"x"

    def test_connecting_fails_in_time_where_nobody_listens(self, transport: Transport, address: Address) -> None:
        listener = transport.listen(address, LinkOptions())
        gone = listener.address
        listener.close()

        def connect() -> None:
            # Closing may take a backend a moment in the background; a link that it still accepts is lost at once.
            deadline = time.monotonic() + LIMIT
            while time.monotonic() < deadline:
                end = End(transport.connect(gone, LinkOptions(), 5.0))
                while not end.lost:
                    end.link.channel.read(0.2)
                end.link.close()

        with pytest.raises(OSError, match=r"."):
            in_thread(connect).result(LIMIT)

    def test_an_address_is_bound_once(self, ends: Ends, transport: Transport) -> None:
        with pytest.raises(OSError, match=r"."):
            transport.listen(ends.listener.address, LinkOptions())
        ends.join()

    def test_an_address_is_soon_free_again_once_everything_is_closed(self, transport: Transport, address: Address) -> None:
        def listen(where: Address) -> Ends:
            deadline = time.monotonic() + LIMIT
            while True:
                try:
                    return Ends(transport, where, LinkOptions())
                except OSError as error:
                    if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                        raise

        where = address
        for _ in range(3):
            ends = listen(where)
            near, far = ends.join()
            near.link.close()
            ends.drive(lambda far=far: far.lost)  # type: ignore[misc]
            ends.settle()
            where = ends.listener.address

    def test_links_live_on_after_their_listener_is_closed(self, ends: Ends) -> None:
        near, far = ends.join()
        ends.listener.close()
        ends.listener.close()
        ends.send(near, [b"x" * 100_000])
        ends.send(far, [b"y" * 100_000])
        ends.drive(lambda: len(far.sink.data) == len(near.sink.data) == 100_000)
        near.link.close()
        ends.drive(lambda: far.lost)
        assert far.sink.losses == [None]

    def test_links_that_nobody_has_accepted_are_lost_when_the_listener_closes(self, ends: Ends) -> None:
        near = ends.dial()
        ends.drive(lambda: bool(select.select([ends.listener.fileno()], [], [], 0)[0]))
        ends.listener.close()
        ends.drive(lambda: near.lost)
        assert len(near.sink.losses) == 1

    def test_a_listener_serves_no_more_links_than_it_may(self, transport: Transport, address: Address) -> None:
        ends = Ends(transport, address, replace(LinkOptions(), max_links=2))
        try:
            pairs = [ends.join(), ends.join()]
            self._expect_refusal(ends)
            for near, far in pairs:
                ends.send(near, [b"on"])
                ends.drive(lambda far=far: far.sink.data == b"on")  # type: ignore[misc]
            leaving_near, leaving_far = pairs.pop()
            leaving_near.link.close()
            ends.drive(lambda: leaving_far.lost)
            leaving_far.link.close()
            ends.ends[:] = [end for pair in pairs for end in pair]
            ends.turn(0.05)
            self._expect_acceptance(ends)
            self._expect_refusal(ends)
        finally:
            ends.settle()

    @staticmethod
    def _expect_refusal(ends: Ends) -> None:
        try:
            refused = ends.dial()
        except OSError:
            return

        def is_refused() -> bool:
            assert ends.listener.accept() is None
            return refused.lost

        ends.drive(is_refused, listening=True)
        refused.link.close()
        ends.ends.remove(refused)

    @staticmethod
    def _expect_acceptance(ends: Ends) -> None:
        """Room may take a moment to be noticed, in which a dialled link is lost."""
        found: list[End] = []

        def try_once() -> bool:
            try:
                near = ends.dial()
            except OSError:
                return False
            while not near.lost and not found:
                link = ends.listener.accept()
                if link is not None:
                    found.append(End(link))
                    ends.ends.append(found[0])
                else:
                    ends.turn(0.05, listening=True)
            return bool(found)

        ends.drive(try_once)

    def test_a_listener_gives_its_descriptors_back(self, transport: Transport, address: Address) -> None:
        def once() -> None:
            ends = Ends(transport, address, LinkOptions())
            ends.join()
            ends.settle()

        once()
        before = descriptors()
        if before is None:
            pytest.skip("the system does not tell how many descriptors are open")
        for _ in range(5):
            once()
        eventually(lambda: (descriptors() or 0) <= before)

    def test_a_socket_accepted_elsewhere_becomes_a_link_or_is_refused(self, transport: Transport) -> None:
        one, other = socket.socketpair()
        with one, other:
            if not self.adopts_sockets:
                with pytest.raises(NotImplementedError, match=r"."):
                    transport.adopt(one, LinkOptions())
                return
            end = End(transport.adopt(one, LinkOptions()))
            other.sendall(b"hello")
            while len(end.sink.data) < 5:
                end.link.channel.read(LIMIT)
            assert end.link.write([b"bye"]) == 3
            end.link.close()
            other.settimeout(LIMIT)
            assert other.recv(10) == b"bye"
            assert other.recv(10) == b""

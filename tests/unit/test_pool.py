"""The pool's counting, by a machine that leases, releases and retires at random, over links of real sessions in memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

import tcpconn
from eventually import eventually
from tcpconn.address import Address
from tcpconn.carrier import Carrier
from tcpconn.delivering import finish
from tcpconn.leading import carry_out
from tcpconn.lifecycle import State


class PoolMachine(RuleBasedStateMachine):
    """The model: how many leases each carrier has, and which carrier an address leads to."""

    leases: Bundle[Any] = Bundle("leases")

    @initialize()
    def set_up(self) -> None:
        self.listeners = [tcpconn.listen("here:0", backend="memory", linger=0) for _ in range(2)]
        self.config = tcpconn.Config(backend="memory", linger=0, idle_timeout=None)
        self.pool = tcpconn.Pool()
        self.users: Counter[Carrier] = Counter()
        self.current: dict[int, Carrier] = {}

    @rule(target=leases, where=st.integers(0, 1))
    def lease(self, where: int) -> Carrier:
        carrier = self.pool.lease(Address.parse(self.listeners[where].address), self.config)
        assert carrier is self.current.get(where, carrier)
        self.current[where] = carrier
        self.users[carrier] += 1
        return carrier

    @rule(carrier=consumes(leases))
    def release(self, carrier: Carrier) -> None:
        self.pool.release(carrier)
        self.users[carrier] -= 1

    @rule(where=st.integers(0, 1))
    def find_idle(self, where: int) -> None:
        carrier = self.current.get(where)
        if carrier is None:
            return
        assert eventually(lambda: carrier.lifecycle.state is not State.CONNECTING)
        self.pool.retire(carrier, "idle in a test")
        if self.users[carrier] == 0:
            del self.current[where]
            assert carrier.lifecycle.state is State.CLOSED

    @invariant()
    def nobodys_link_is_closed(self) -> None:
        for carrier, count in self.users.items():
            if count:
                assert carrier.lifecycle.state in (State.CONNECTING, State.CONNECTED)
        assert self.pool.links == len(self.current)

    def teardown(self) -> None:
        self.pool.close()
        for listener in self.listeners:
            listener.close()


PoolMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestPool = PoolMachine.TestCase


def test_a_lease_given_back_twice_counts_once() -> None:
    with tcpconn.listen("here:0", backend="memory") as listener, tcpconn.Pool() as pool:
        config = tcpconn.Config(backend="memory", linger=0)
        first = pool.lease(Address.parse(listener.address), config)
        assert pool.lease(Address.parse(listener.address), config) is first
        pool.forget(first)
        pool.release(first)
        pool.release(first)
        assert pool.links == 0
        carry_out(finish(first, 0, "over"))


def test_a_pool_shows_how_many_links_it_has() -> None:
    with tcpconn.Pool() as pool:
        assert repr(pool) == "<Pool links=0>"


def test_an_unknown_backend_is_refused_before_anything_is_leased() -> None:
    with tcpconn.Pool() as pool:
        with pytest.raises(tcpconn.ConfigError, match="carrier-pigeon"):
            tcpconn.connect("here:1", pool=pool, backend="carrier-pigeon")
        assert pool.links == 0

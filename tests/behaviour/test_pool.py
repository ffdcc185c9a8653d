"""The pool: one link for all connections to an address, counted, kept while idle, safe from any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Echo, Lines, Listen
from eventually import eventually
from flavours import Api


def test_connections_to_one_address_share_a_link(listen: Listen, connect: Connect, pool: tcpconn.Pool) -> None:
    listener = listen()
    connections = [connect(listener.address, f"{number}") for number in range(5)]
    assert pool.links == 1
    assert {listener.accept(DEADLINE).id for _ in connections} == {f"{number}" for number in range(5)}
    assert listener.sessions == 1


def test_other_settings_or_another_address_take_another_link(listen: Listen, connect: Connect, pool: tcpconn.Pool) -> None:
    first, second = listen(), listen()
    connect(first.address)
    connect(first.address, credit=100_000)
    connect(second.address)
    assert pool.links == 3


def test_the_last_close_releases_the_link_after_the_idle_timeout(listen: Listen, connect: Connect, pool: tcpconn.Pool) -> None:
    listener = listen()
    settings = {"idle_timeout": 0.2}
    first, second = connect(listener.address, **settings), connect(listener.address, **settings)
    first.close()
    with pytest.raises(tcpconn.TimedOut):
        second.receive(0.4)
    assert pool.links == 1
    second.close()
    assert eventually(lambda: pool.links == 0)
    assert eventually(lambda: listener.sessions == 0)


def test_a_connect_within_the_idle_timeout_uses_the_link_again(line: Lines, listen: Listen, connect: Connect) -> None:
    listener = listen()
    between = line(listener)
    for number in range(20):
        with connect(between.address, f"{number}") as connection:
            connection.send(b"hello")
        assert listener.accept(DEADLINE).receive(DEADLINE) == b"hello"
    assert listener.sessions == 1


def test_an_idle_link_that_has_something_left_to_deliver_is_kept_until_it_has(
    line: Lines, listen: Listen, connect: Connect, pool: tcpconn.Pool
) -> None:
    listener = listen()
    between = line(listener)
    client = connect(between.address, idle_timeout=0.05, linger=0.0)
    server = listener.accept(DEADLINE)
    between.stall()
    client.send(b"in the end")
    with pytest.raises(tcpconn.TimedOut):
        client.close()
    with pytest.raises(tcpconn.TimedOut):
        server.receive(0.3)
    assert pool.links == 1
    between.resume()
    assert server.receive(DEADLINE) == b"in the end"
    assert eventually(lambda: pool.links == 0)


def test_an_id_is_open_once_in_a_session_and_free_again_after_the_close(listen: Listen, connect: Connect) -> None:
    listener = listen()
    client = connect(listener.address, "orders")
    with pytest.raises(tcpconn.ConnectError, match="id 'orders' is open already"):
        connect(listener.address, "orders")
    server = listener.accept(DEADLINE)
    client.close()
    server.close()
    again = connect(listener.address, "orders")
    again.send(b"second life")
    assert listener.accept(DEADLINE).receive(DEADLINE) == b"second life"


def test_a_closed_pool_makes_no_connections_and_its_own_are_closed(api: Api, listen: Listen, backend: str) -> None:
    listener = listen()
    pool = api.Pool(tcpconn.Config(backend=backend))
    connection = api.connect(listener.address, pool=pool)
    connection.send(b"delivered")
    pool.close()
    assert listener.accept(DEADLINE).receive(DEADLINE) == b"delivered"
    with pytest.raises(tcpconn.ConnectionClosed, match="pool was closed"):
        connection.receive(DEADLINE)
    with pytest.raises(tcpconn.ConnectError, match="pool is closed"):
        api.connect(listener.address, pool=pool)
    assert pool.links == 0 or eventually(lambda: pool.links == 0)


def test_many_threads_connect_talk_and_close_at_once_over_one_link(echo: Echo, connect: Connect, pool: tcpconn.Pool) -> None:
    listener = echo()
    threads, rounds = 16, 10
    start = Barrier(threads)

    def talk(name: int) -> None:
        start.wait(DEADLINE)
        for number in range(rounds):
            with connect(listener.address, f"{name}-{number}") as connection:
                for size in (0, 10, 70_000):
                    message = b"%d" % name * size
                    connection.send(message)
                    assert connection.receive(DEADLINE) == message

    with ThreadPoolExecutor(threads) as executor:
        for done in [executor.submit(talk, name) for name in range(threads)]:
            done.result(2 * DEADLINE)
    assert pool.links == 1
    assert listener.sessions == 1


def test_threads_race_the_idle_timeout_and_none_gets_a_link_that_is_being_closed(echo: Echo, connect: Connect) -> None:
    listener = echo()

    def talk(name: int) -> None:
        for number in range(25):
            with connect(listener.address, f"{name}-{number}", idle_timeout=0.001) as connection:
                connection.send(b"hello")
                assert connection.receive(DEADLINE) == b"hello"

    with ThreadPoolExecutor(3) as executor:
        for done in [executor.submit(talk, name) for name in range(3)]:
            done.result(2 * DEADLINE)


def test_without_a_pool_connections_use_that_of_the_process(api: Api, listen: Listen, backend: str) -> None:
    listener = listen()
    with api.connect(listener.address, backend=backend), api.connect(listener.address, backend=backend):
        assert {listener.accept(DEADLINE).metadata == {} for _ in range(2)} == {True}
        assert listener.sessions == 1


def test_a_session_whose_stream_numbers_are_used_up_is_replaced_and_its_connections_go_on(
    echo: Echo, connect: Connect, pool: tcpconn.Pool
) -> None:
    listener = echo()
    first = connect(listener.address)
    first._session.mux._next_number = 2**32 - 1
    connections = [first, connect(listener.address), connect(listener.address), connect(listener.address)]
    assert listener.sessions == 2
    for connection in connections:
        connection.send(b"hello")
    assert [connection.receive(DEADLINE) for connection in connections] == [b"hello"] * 4


def test_a_wait_of_years_is_a_long_wait(echo: Echo, connect: Connect) -> None:
    client = connect(echo().address)
    client.send(b"hello")
    assert client.receive(1e9) == b"hello"
    client.flush(1e9)

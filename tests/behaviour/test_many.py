"""Numbers: up to ten thousand logical connections over one link, and many threads on few connections."""

from __future__ import annotations

import random
from collections import Counter
from concurrent import futures
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

import tcpconn
from behaving import DEADLINE, Connect, Echo, Listen, close_quietly
from flavours import Api, Blocking

MANY = 10_000


@pytest.mark.slow
def test_thousands_of_logical_connections_over_one_link(api: Api, backend: str, listen: Listen, pool: tcpconn.Pool) -> None:
    # Each call crosses to the event loop's thread in the other flavour, which takes 20 times as long.
    many = MANY if isinstance(api, Blocking) else MANY // 10
    listener = listen()
    clients = [api.connect(listener.address, f"{number}", backend=backend, pool=pool) for number in range(many)]
    assert pool.links == 1
    for client in clients:
        client.send(b"to " + str(client.id).encode())
    servers = {server.id: server for server in (listener.accept(DEADLINE) for _ in range(many))}
    assert len(servers) == many
    assert listener.sessions == 1
    for name, server in servers.items():
        assert server.receive(DEADLINE) == b"to " + str(name).encode()
        server.send(b"back " + str(name).encode())
    for client in clients:
        assert client.receive(DEADLINE) == b"back " + str(client.id).encode()
    for client in random.Random(3).sample(clients, 100):
        client.close()
        with pytest.raises(tcpconn.ConnectionClosed):
            servers[client.id].receive(DEADLINE)


def test_many_threads_receive_on_connections_of_their_own_over_one_link(echo: Echo, connect: Connect) -> None:
    listener = echo()
    threads, count = 12, 60

    def talk(name: int) -> Counter[bytes]:
        connection = connect(listener.address, f"{name}")
        sent = [b"%d:%d" % (name, number) + bytes(number * name) for number in range(count)]
        connection.send_many(sent)
        received = [connection.receive(DEADLINE) for _ in sent]
        assert received == sent
        return Counter(received)

    with ThreadPoolExecutor(threads) as executor:
        found = sum((done.result(DEADLINE) for done in [executor.submit(talk, name) for name in range(threads)]), Counter())
    assert set(found.values()) == {1}
    assert len(found) == threads * count


def test_connections_closed_by_some_threads_while_others_use_them_end_without_a_hang(echo: Echo, connect: Connect) -> None:
    listener = echo()
    stop = Event()

    def use(connection: tcpconn.Connection) -> int:
        count = 0
        try:
            while not stop.is_set():
                connection.send(b"x" * (count % 3000))
                connection.receive(DEADLINE)
                count += 1
        except (tcpconn.ConnectionClosed, tcpconn.ConnectionLost):
            pass
        return count

    with ThreadPoolExecutor(9) as executor:
        for number in range(10):
            connection = connect(listener.address, f"{number}")
            using = [executor.submit(use, connection) for _ in range(3)]
            connection.send(b"y")
            closing = [executor.submit(close_quietly, connection) for _ in range(2)]
            assert not futures.wait(using, DEADLINE).not_done
            assert not futures.wait(closing, DEADLINE).not_done
            assert [one.exception() for one in using] == [None] * 3
            assert [one.exception() for one in closing] == [None] * 2
        stop.set()

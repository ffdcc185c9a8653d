"""How a session ends while its threads are at work."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Thread

import pytest

import tcpconn
from eventually import eventually
from tcpconn import frames
from tcpconn.caretaker import Caretaker
from tcpconn.delivering import finish, flush
from tcpconn.leading import carry_out
from tcpconn.transport import Buffer
from tcpconn.writing import wake_next

DEADLINE = 20.0


def test_the_goodbye_is_written_before_finish_returns_also_while_another_thread_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the process may be gone, and the peer wait for it to come back."""
    with tcpconn.Pool() as pool, tcpconn.listen("127.0.0.1:0", backend="memory") as listener:
        carrier = tcpconn.connect(listener.address, backend="memory", pool=pool)._carrier
        link, session, begun = carrier.link, carrier.session, Event()
        assert link is not None
        assert session is not None
        write = link.write

        def somebody_waits() -> bool:
            with carrier.lock:
                return bool(carrier.waiters)

        def slow(buffers: Sequence[Buffer]) -> int:
            begun.set()
            eventually(somebody_waits)
            return write(buffers)

        def ping() -> None:
            with carrier.lock:
                session.ping()
                carrier.pump()

        assert eventually(lambda: session.settled)
        monkeypatch.setattr(link, "write", slow)
        writing = Thread(target=ping)
        writing.start()
        assert begun.wait(DEADLINE)
        carry_out(finish(carrier, DEADLINE, "the test is over"))
        assert session.ended == "the test is over"
        writing.join(DEADLINE)


class Sleeper:
    """Counts how often it is woken."""

    def __init__(self, turn: Callable[[], bool] | None = None) -> None:
        self.woken = 0
        self.turn = turn

    def wake(self) -> None:
        self.woken += 1


def test_an_acknowledgement_wakes_those_alone_who_have_waited_for_it() -> None:
    """Or thousands that are closed at once would all look again at each of thousands of acknowledgements."""
    with tcpconn.Pool() as pool, tcpconn.listen("127.0.0.1:0", backend="memory") as listener:
        connections = [tcpconn.connect(listener.address, backend="memory", pool=pool) for _ in range(5)]
        for connection in connections:
            connection.flush(DEADLINE)
        carrier = connections[0]._carrier
        session = carrier.session
        assert session is not None
        sleepers: list[Sleeper] = []
        with carrier.lock:
            written = session.kept.framed
            flushes = []
            for connection in connections:
                session.mux.outbox.send(connection._stream, b"message")
                flushes.append(flush(carrier, connection._stream, None))
                sleepers.append(Sleeper())
                next(flushes[-1]).waiters.append(sleepers[-1])
            # Not written, or the peer might acknowledge all of it before this thread has the lock again.
            session.take()

            session.data_received(frames.ack(written + 2).encode())
            carrier.after_read()
            assert [sleeper.woken for sleeper in sleepers] == [1, 1, 0, 0, 0]
            session.data_received(frames.ack(written + 3).encode())
            carrier.after_read()
            assert [sleeper.woken for sleeper in sleepers] == [1, 1, 1, 0, 0]
            carrier.wake_all()
            assert [sleeper.woken for sleeper in sleepers] == [1, 1, 1, 1, 1]
            session.data_received(frames.ack(written + 5).encode())
            with pytest.raises(StopIteration) as done:
                flushes[2].send(True)
            assert done.value.value is True


def test_of_those_who_wait_to_send_a_grant_wakes_the_first_that_it_is_enough_for() -> None:
    """Or eight threads that send on one connection would all run for what one of them takes."""
    with tcpconn.Pool() as pool, tcpconn.listen("127.0.0.1:0", backend="memory", credit=8192) as listener:
        connection = tcpconn.connect(listener.address, backend="memory", pool=pool)
        stream, carrier = connection._stream, connection._carrier
        with carrier.lock:
            assert carrier.session is not None
            outbox = carrier.session.mux.outbox
            while outbox.send(stream, bytes(1000)):
                pass
            needs = [3000, 1000, 1000]
            sleepers = [Sleeper(partial(outbox.may_send, stream, length)) for length in needs]
            receiver = Sleeper()
            stream.waiting_list().extend([*sleepers, receiver])
            outbox.granted(stream, 500)
            carrier.after_read()
            assert ([sleeper.woken for sleeper in sleepers], receiver.woken) == ([0, 0, 0], 1)
            outbox.granted(stream, 1000)
            carrier.after_read()
            assert [sleeper.woken for sleeper in sleepers] == [0, 1, 0]
            outbox.granted(stream, 2000)
            carrier.after_read()
            assert [sleeper.woken for sleeper in sleepers] == [1, 1, 0]
            stream.send_failure = lambda: tcpconn.ConnectionLost("over")
            wake_next(stream.waiters)
            assert [sleeper.woken for sleeper in sleepers] == [2, 1, 0]
            carrier.wake_all()
            assert [sleeper.woken for sleeper in sleepers] == [3, 2, 1]
            stream.waiting_list().clear()


@pytest.mark.parametrize("gives_up", [False, True])
def test_who_was_woken_for_credit_wakes_the_next_when_it_has_sent_or_given_up(gives_up: bool) -> None:
    with tcpconn.Pool() as pool, tcpconn.listen("127.0.0.1:0", backend="memory", credit=8192) as listener:
        connection = tcpconn.connect(listener.address, backend="memory", pool=pool)
        stream, carrier = connection._stream, connection._carrier
        with carrier.lock:
            assert carrier.session is not None
            outbox = carrier.session.mux.outbox
            while outbox.send(stream, bytes(1000)):
                pass
            sends = [connection._sending(bytes(1000), None) for _ in range(2)]
            sleepers = []
            for send in sends:
                wait = next(send)
                assert wait.in_turn
                sleepers.append(Sleeper(wait.ready))
                wait.waiters.append(sleepers[-1])
            outbox.granted(stream, 4000)
            carrier.after_read()
            assert [sleeper.woken for sleeper in sleepers] == [1, 0]
            stream.waiting_list().remove(sleepers[0])
            with pytest.raises(tcpconn.TimedOut if gives_up else StopIteration):
                sends[0].send(not gives_up)
            assert [sleeper.woken for sleeper in sleepers] == [1, 1]
            stream.waiting_list().clear()


def test_who_closes_the_last_connection_of_a_link_leaves_it_to_the_caretaker_at_once() -> None:
    """Or the peer, which closes the link, waits two ticks for an answer: 10 ms of each connection that is used only once."""
    with tcpconn.Pool() as pool, tcpconn.listen("127.0.0.1:0") as listener:
        client = tcpconn.connect(listener.address, pool=pool)
        server = listener.accept(DEADLINE)
        carrier = server._carrier
        caretaker, seat = carrier.keeper, carrier.seat
        assert isinstance(caretaker, Caretaker)
        assert seat is not None

        def is_attended() -> bool:
            with caretaker._lock:
                watch = caretaker._watches.get(seat.descriptor)
                return watch is not None and watch.on_read is not None

        def exchange() -> bool:
            """Have the server's thread be quicker than the caretaker, which then lets it read alone."""
            client.send(b"message")
            server.receive(DEADLINE)
            return not is_attended()

        thread = Thread(target=client.receive, daemon=True)
        thread.start()
        eventually(exchange, DEADLINE)
        server.send(b"the last")
        thread.join(DEADLINE)
        client.close()
        server.close()
        assert is_attended()

"""A process that ends says goodbye, also while another thread owns the socket at that moment."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tcpconn

garbage = pytest.importorskip("zmq.utils.garbage")

PROGRAM = """
import sys, threading, time
import tcpconn
from tcpconn.carrier import Carrier

goodbye = Carrier.goodbye
leaving, owned = threading.Event(), threading.Event()

def own():
    # As a thread that reads: it holds the lock, and looks into the queue when it has released it.
    leaving.wait()
    with link._lock:
        owned.set()
        time.sleep(0.3)
    link._after_release()

def goodbye_while_another_thread_owns_the_socket(carrier, code, text):
    global link
    link = carrier.link
    leaving.set()
    owned.wait()
    goodbye(carrier, code, text)

# Now: from Python 3.12 on no thread begins while the interpreter exits.
threading.Thread(target=own, daemon=True).start()
Carrier.goodbye = goodbye_while_another_thread_owns_the_socket
pool = tcpconn.Pool()
connection = tcpconn.connect(sys.argv[1], pool=pool, backend="zmq")
connection.send(b"the last word")
if sys.argv[2] == "closes":
    connection.close()
    pool.close()
"""


@pytest.mark.parametrize("way", ["closes", "just ends"])
def test_a_process_that_ends_while_another_thread_owns_its_socket_says_goodbye(way: str) -> None:
    with tcpconn.listen("127.0.0.1:0", backend="zmq") as listener:
        program = subprocess.Popen([sys.executable, "-c", PROGRAM, str(listener.address), way])
        try:
            connection = listener.accept(timeout=20)
            assert connection.receive(timeout=20) == b"the last word"
            assert program.wait(20) == 0
            with pytest.raises(tcpconn.ConnectionClosed):
                connection.receive(timeout=10)
            # Not left waiting for the return of somebody who did not say that he was going.
            connection.close()
        finally:
            program.kill()
            program.wait()


LARGE_PROGRAM = """
import sys
import tcpconn, zmq
from zmq.utils import garbage

stop, term = garbage.gc.stop, zmq.Context.term

def told_stop():
    print("references", flush=True)
    stop()

def told_term(context):
    term(context)
    # That of pyzmq's own thread for references is another.
    print("context" if context is not garbage.gc.context else "its own", flush=True)

garbage.gc.stop, zmq.Context.term = told_stop, told_term
connection = tcpconn.connect(sys.argv[1], backend="zmq")
connection.send(bytes(10_000_000))
"""


def test_pyzmqs_thread_for_references_ends_when_nothing_is_sent_by_reference_any_more() -> None:
    """It closes a socket by which ZeroMQ's I/O thread gives references back, and which must not be in use then."""
    with tcpconn.listen("127.0.0.1:0", backend="zmq") as listener:
        program = subprocess.Popen([sys.executable, "-c", LARGE_PROGRAM, listener.address], stdout=subprocess.PIPE, text=True)
        try:
            assert listener.accept(timeout=20).receive(timeout=20) == bytes(10_000_000)
            output, _ = program.communicate(timeout=20)
            assert program.returncode == 0
            assert output.split()[:2] == ["context", "references"]
        finally:
            program.kill()
            program.wait()


@pytest.mark.parametrize("error", [RuntimeError, AttributeError])
def test_a_large_part_is_sent_though_pyzmqs_thread_for_references_has_gone(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at the interpreter's exit: it cannot be started any more, or is taken away while it is."""

    def store(*_: object) -> None:
        raise error("the thread has gone")

    with tcpconn.listen("127.0.0.1:0", backend="zmq") as listener, tcpconn.Pool() as pool:
        connection = tcpconn.connect(listener.address, pool=pool, backend="zmq")
        with monkeypatch.context() as patched:
            patched.setattr(garbage.gc, "store", store)
            connection.send(bytes(1_000_000))
            connection.flush(timeout=20)
        assert listener.accept(timeout=20).receive(timeout=20) == bytes(1_000_000)

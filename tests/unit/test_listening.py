"""A listener's dealings with single links, where they cannot be brought about from outside."""

from __future__ import annotations

from contextlib import closing

from tcpconn.config import Config
from tcpconn.frames import Hello
from tcpconn.listening import Listener
from tcpconn.transport import Sink
from tcpconn_memory.link import MemoryLink


class EagerLink(MemoryLink):
    """A link on which the HELLO has come before anybody listens: it is delivered while the sink is being set."""

    @property
    def sink(self) -> Sink:
        return self._sink

    @sink.setter
    def sink(self, sink: Sink) -> None:
        first = not hasattr(self, "_sink")
        self._sink = sink
        if first:
            sink.data_received(Hello(session=bytes(range(16))).encode().encode())


def test_a_hello_that_was_there_before_the_listener_looked_begins_a_session() -> None:
    far, eager = MemoryLink("near"), EagerLink("far")
    far.join(eager)
    eager.join(far)
    with closing(far), Listener(Config(backend="memory", linger=0), None) as listener:
        listener.greet(eager)

        assert listener.sessions == 1
    assert eager.closed

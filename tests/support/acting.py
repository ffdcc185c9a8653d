"""What the tests let actors be: their processes import it from here."""

from __future__ import annotations

import os
from typing import cast

from tcpconn_bench.subjects import Endpoint, Subject, find


class Counting:
    def __init__(self, start: int) -> None:
        self.count = start + int(os.environ.get("TCPCONN_BENCH_TEST_STEP", 0))

    def more(self, by: int) -> int:
        if by < 0:
            raise ValueError("less is not more")
        self.count += by
        return self.count

    def pid(self) -> int:
        return os.getpid()


class Serving:
    """The listening end of a subject."""

    def __init__(self, subject: str) -> None:
        self.listener = cast("Subject", find(subject)).listen()
        self.endpoint: Endpoint

    def address(self) -> str:
        return self.listener.address

    def accept(self) -> None:
        self.endpoint = self.listener.accept()

    def receive_singly(self, count: int) -> list[bytes]:
        return [bytes(self.endpoint.receive_many(1)[0]) for _ in range(count)]

    def count_batches(self, *batches: int) -> list[int]:
        return [len(self.endpoint.receive_many(count)) for count in batches]

    def send(self, messages: list[bytes]) -> None:
        for message in messages:
            self.endpoint.send(message)

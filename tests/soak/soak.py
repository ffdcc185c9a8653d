"""Talk for a long time over links that are cut again and again, and check that nothing is lost, repeated or left: `--help`.

Over tcp and over zmq at once, in one process, for each: a listener that answers, a relay that cuts, ends in mid-frame or resets
all links every few seconds, and clients of both flavours of the API. Each message is numbered and its answer compared. Memory,
threads, descriptors and sessions are looked at all the time; the exit code says whether they stayed as they were.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import psutil

import tcpconn
from tcpconn import aio
from tcpconn.testing import Relay

PATIENCE = 60.0
SIZES = (0, 10, 100, 100, 1000, 1000, 5000, 40_000, 300_000)
WARM_UP = 1 / 3
"""The part of the time after which memory is expected to be flat. Until malloc's arenas have all seen the largest messages, of
which each of many threads has one, takes some ten minutes; with fewer arenas (MALLOC_ARENA_MAX) it takes fewer."""

GROWTH = 1.05


class Load:
    """What all workers share: when to stop, what they have done, and what has failed."""

    def __init__(self, pause: float) -> None:
        self.over = threading.Event()
        self.pause = pause
        self.done: Counter[str] = Counter()
        self.failures: list[str] = []

    def fail(self, who: str, error: BaseException) -> None:
        self.failures.append(f"{who}: {error!r}")
        self.over.set()


def message(number: int, draw: random.Random) -> bytes:
    return b"%d:" % number + bytes([number % 251]) * draw.choice(SIZES)


def talk(load: Load, address: str, backend: str, number: int) -> None:
    """Open connections one after the other and exchange messages on each, several at a time."""
    who = f"{backend}-blocking-{number}"
    draw = random.Random(number)
    try:
        with tcpconn.Pool() as pool:
            while not load.over.is_set():
                opened = tcpconn.connect(address, pool=pool, backend=backend, linger=PATIENCE, connect_timeout=PATIENCE)
                with opened as connection:
                    for first in range(0, 400, 20):
                        sent = [message(first + more, draw) for more in range(draw.randrange(1, 20))]
                        connection.send_many(sent, timeout=PATIENCE)
                        for expected in sent:
                            if connection.receive(PATIENCE) != expected:
                                raise AssertionError(f"message {expected[:20]!r} came back as another")
                        load.done[backend] += len(sent)
                        if load.over.wait(load.pause):
                            break
    except BaseException as error:
        load.fail(who, error)


async def talk_on_a_loop(load: Load, address: str, backend: str, number: int) -> None:
    """The same by the asyncio API."""
    who = f"{backend}-asyncio-{number}"
    draw = random.Random(number)
    try:
        async with aio.Pool() as pool:
            while not load.over.is_set():
                connecting = aio.connect(address, pool=pool, backend=backend, linger=PATIENCE, connect_timeout=PATIENCE)
                async with await connecting as connection:
                    for first in range(0, 400, 20):
                        sent = [message(first + more, draw) for more in range(draw.randrange(1, 20))]
                        await connection.send_many(sent, timeout=PATIENCE)
                        for expected in sent:
                            if await connection.receive(PATIENCE) != expected:
                                raise AssertionError(f"message {expected[:20]!r} came back as another")
                        load.done[f"{backend} asyncio"] += len(sent)
                        if load.over.is_set():
                            break
                        await asyncio.sleep(load.pause)
    except BaseException as error:
        load.fail(who, error)


def cut(load: Load, relay: Relay, every: float) -> None:
    """Have links end in one way or another, again and again."""
    draw = random.Random(5)
    try:
        while not load.over.wait(draw.uniform(0.5, 1.5) * every):
            if draw.random() < 0.5:
                load.done["cuts"] += relay.cut(reset=draw.random() < 0.5)
            else:
                relay.cut_after(draw.randrange(1, 100_000), to_client=draw.random() < 0.5, reset=draw.random() < 0.5)
                load.done["cuts in mid-frame"] += relay.links
    except BaseException as error:
        load.fail("relay", error)


def answer(connection: tcpconn.Connection) -> None:
    for received in connection:
        connection.send(received)


def resident(process: psutil.Process) -> int:
    gc.collect()
    return int(process.memory_info().rss)


def descriptors(process: psutil.Process) -> int:
    return int(process.num_fds())


def settled(look: Callable[[], int], goal: int) -> bool:
    """Wait until a count is back to where it was."""
    deadline = time.monotonic() + 30
    while look() > goal:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def run(minutes: float, every: float, workers: int, pause: float, backends: list[str]) -> int:
    process = psutil.Process()
    # What a process makes once is there before it is counted.
    for backend in backends:
        with (
            tcpconn.listen("127.0.0.1:0", backend=backend) as listener,
            tcpconn.Pool() as pool,
            tcpconn.connect(listener.address, pool=pool, backend=backend) as connection,
        ):
            connection.send(bytes(1_000_000))
            listener.accept(PATIENCE).receive(PATIENCE)
    settled(lambda: sum("lingering" in thread.name for thread in threading.enumerate()), 0)
    before = {"threads": threading.active_count(), "descriptors": descriptors(process)}
    load = Load(pause)
    working: list[threading.Thread] = []
    serving: list[threading.Thread] = []
    listeners: list[tcpconn.Listener] = []
    seconds = minutes * 60
    begun = time.monotonic()
    flat = 0
    peak = 0
    with ExitStack() as stack:
        for backend in backends:
            listener = tcpconn.listen("127.0.0.1:0", backend=backend, linger=5.0)
            listeners.append(listener)
            relay = stack.enter_context(Relay(listener.address))
            serving.append(threading.Thread(target=tcpconn.serve, args=(answer, listener), daemon=True))
            serving[-1].start()
            jobs = [threading.Thread(target=talk, args=(load, relay.address, backend, number)) for number in range(workers)]
            jobs.append(threading.Thread(target=cut, args=(load, relay, every)))

            def on_a_loop(relay: Relay = relay, backend: str = backend) -> None:
                async def together() -> None:
                    await asyncio.gather(*(talk_on_a_loop(load, relay.address, backend, 100 + n) for n in range(workers)))

                asyncio.run(together())

            jobs.append(threading.Thread(target=on_a_loop))
            for job in jobs:
                job.start()
            working += jobs
        told = begun
        while not load.over.wait(1.0):
            now = time.monotonic()
            size = resident(process)
            if now - begun < seconds * WARM_UP:
                flat = max(flat, size)
            else:
                peak = max(peak, size)
            if now - told >= 30:
                told = now
                print(
                    f"{now - begun:6.0f} s  {size / 1e6:6.1f} MB  {threading.active_count()} threads  "
                    f"{descriptors(process)} descriptors  {sum(one.sessions for one in listeners)} sessions  {dict(load.done)}",
                    flush=True,
                )
            if now - begun >= seconds:
                load.over.set()
        for job in working:
            job.join(PATIENCE)
        for listener in listeners:
            listener.close()
        for job in serving:
            job.join(PATIENCE)
    threads = working + serving
    sessions = sum(one.sessions for one in listeners)
    problems = list(load.failures)
    problems += [f"{job} does not end" for job in threads if job.is_alive()]
    if sessions:
        problems.append(f"{sessions} sessions are left")
    if peak > flat * GROWTH:
        problems.append(f"memory grew from {flat / 1e6:.1f} to {peak / 1e6:.1f} MB after the warm-up")
    for name, look in (("threads", threading.active_count), ("descriptors", lambda: descriptors(process))):
        if not settled(look, before[name]):
            problems.append(f"{look()} {name} where {before[name]} were")
    print(
        f"{time.monotonic() - begun:.0f} s over {' and '.join(backends)}: {dict(load.done)}, "
        f"{flat / 1e6:.1f} MB at the most in the warm-up, {peak / 1e6:.1f} MB after it"
    )
    print("\n".join(problems) or "nothing lost, nothing repeated, nothing left")
    return 1 if problems else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=3.0, help="seconds between two cuts, on average")
    parser.add_argument("--workers", type=int, default=3, help="of each flavour and backend")
    parser.add_argument("--pause", type=float, default=0.002, help="seconds that a worker rests after each exchange")
    parser.add_argument("--backends", default="tcp,zmq")
    chosen = parser.parse_args()
    return run(chosen.minutes, chosen.every, chosen.workers, chosen.pause, chosen.backends.split(","))


if __name__ == "__main__":
    sys.exit(main())

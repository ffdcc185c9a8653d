"""A ZeroMQ socket that belongs to one thread at a time: whoever reads owns it, others leave their messages in a queue.

It knows pyzmq, threads and descriptors, and nothing of peers: `dealer` and `router` say what a message means.

    reader   holds the owner lock for the whole of a read, also while it sleeps; delivers to sinks without it
    writer   tries the lock: has it, so sends at once, behind what is in the queue; has it not, so the owner will send what
             the writer appends. An owner that sleeps is woken; one that does not looks into the queue before it sleeps
             and after it has released the lock. So nothing stays in the queue, and its order is that of the writes.
             Only at the interpreter's exit it waits: the owner may be a thread that ends with it.

ZeroMQ's descriptor tells of changes only, and any call may use them up, sends included. So whenever the lock is released
`_armed` is true (all that had come was received, and the descriptor tells of more), or `_signal` is set instead.

Both ends bound what the other may make them keep: RCVHWM messages wait to be read before ZeroMQ stops reading from the
peer, and MAXMSGSIZE bounds each part. SNDHWM is 0, nothing being sent that the peer's credit does not allow.
An empty message means goodbye: the sender has closed its link in good order, and nothing will follow.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import zmq
from zmq.backend import Socket as BackendSocket

from tcpconn.transport import LinkOptions
from tcpconn_zmq.context import LINGER, SharedContext
from tcpconn_zmq.curve import secure
from tcpconn_zmq.endpoints import is_v6
from tcpconn_zmq.parts import BY_REFERENCE, MAX_PART
from tcpconn_zmq.resources import Resources

__all__ = [
    "BATCH_BYTES",
    "BATCH_MESSAGES",
    "HUGE_INTERVAL",
    "LARGE_RECEIVED",
    "LONGEST_SLEEP",
    "MORE",
    "Lost",
    "OwnedSocket",
    "Receiver",
]

BATCH_BYTES = 256 * 1024
BATCH_MESSAGES = 64
"""How much one read receives before it delivers."""

LARGE_RECEIVED = 16 * 1024
"""From this size on a message is delivered in ZeroMQ's own memory, not copied."""

HUGE_INTERVAL = 1 << 29
"""Milliseconds, six days, until ZeroMQ would connect again. -1, its value for never, discards what was received and is
not yet read when a connection ends (libzmq 4.3.5 terminates the pipe with the endpoint); the link is closed long before."""

_MAX_RECEIVED = 4 * MAX_PART
_RECEIVE_HIGH_WATER = 1000
LONGEST_SLEEP = 1e6

_SETTLING = LINGER + 1.0
"""Seconds for the owner to do what it was asked; closing the last socket of an exiting process takes up to `LINGER`."""

_LOOK_AGAIN = 0.01
"""Seconds until an owner that went back to sleep before it could be seen to be awake is woken again."""

MORE = zmq.NOBLOCK | zmq.SNDMORE
"""Made once: combining two flags takes 1 µs."""

_EVENTS = zmq.EVENTS  # not an int, from which pyzmq makes an enum's member at each call: 1 µs
_POLLIN = int(zmq.POLLIN)


class Lost(NamedTuple):
    """Stands, among received data, for the end of them."""

    reason: Exception | None


class Receiver(Protocol):
    """Whoever received data are for."""

    def feed(self, data: bytes | memoryview | Lost | None) -> int:
        """Pass data on to the sink and return how many bytes it got."""
        ...


class OwnedSocket(ABC):
    """The socket, its monitor and its queue: the `Channel` of the contract. `_lock` guards all but queue, inbox and flags.

    Attributes:
        _queue: what other threads want to have done by the owner; any thread appends, the owner takes.
        _inbox: what was received and not yet delivered; the reader's, who fills it as owner and empties it as not.
        _undelivered: an interrupt came while something was delivered, so that what was received after it is dropped.
    """

    def __init__(self, context: SharedContext, kind: int, endpoint: str, options: LinkOptions, events: int) -> None:
        self._context = context
        self._pid = os.getpid()
        # One that knows its owner, so that after an interrupt nobody releases what another thread has acquired.
        self._lock = threading.RLock()
        self._queue: deque[Any] = deque()
        self._inbox: deque[tuple[Receiver, bytes | memoryview | Lost | None]] = deque()
        self._sleeping = False
        self._woken = False
        self._armed = False
        self._finished = False
        self._spoilt = False
        self._undelivered = False
        self._monitor_ready = True
        self._resources = Resources(self, context)
        self._signal = self._resources.signal
        try:
            self._socket = self._resources.open(kind)
            self._configure(endpoint, options)
            if options.curve is not None:
                secure(self._socket, options.curve, listens=kind == zmq.ROUTER)
            # pyzmq's methods in Python add 0.25 µs to these, for options that are not used here.
            self._send: Callable[..., object] = partial(BackendSocket.send, self._socket)
            self._receive: Callable[..., Any] = self._socket.recv
            self._get: Callable[[int], Any] = partial(BackendSocket.get, self._socket)
            self._monitor, self._waiter = self._resources.watch(events)
            self._socket_fd = int(self._get(zmq.FD))
            self._monitor_fd = self._monitor.fileno()
        except BaseException:
            self._resources.give_back(0)
            raise
        context.register(self)

    # the Channel of the contract

    def fileno(self) -> int:
        """Return a descriptor that is readable whenever `read` may have something to deliver; -1 after the close."""
        return self._waiter.fileno()

    def wake(self) -> None:
        """Make the `read` or `wait` that is waiting now, or else the next one, return soon."""
        self._woken = True
        self._signal.set()

    def read(self, timeout: float | None) -> int:
        """Wait up to `timeout` seconds, deliver what has come, and return how many bytes that was."""
        if not self._inbox:
            with self._lock:
                try:
                    if self._queue:
                        self._run_queue()
                    quiet = self._armed and not self._monitor_ready
                    if quiet or self._finished or not self._pull():
                        deadline = None if timeout is None else _deadline(timeout)
                        while self._sleep(deadline) and not self._pull():
                            pass
                except BaseException:
                    self._spoil()
                    raise
                finally:
                    if not self._armed or self._monitor_ready:
                        self._leave()
            if self._queue:
                self._after_release()
        return self._deliver()

    def wait_readable(self, timeout: float | None) -> bool:
        """Wait until `read` may deliver something; False after `timeout` seconds and after `wake`."""
        with self._lock:
            self._run_queue()
            try:
                deadline = _deadline(timeout)
                found = self._has_news()
                while not found and self._sleep(deadline):
                    found = self._has_news()
            finally:
                self._leave()
        self._after_release()
        return found and not self._finished

    # for those who write

    def post(self, command: object) -> None:
        """Have `command` executed by the owner, after all that were posted before; does not block before the exit."""
        queue = self._queue
        if self._context.exiting:
            queue.append(command)
            self.settle()
            return
        done = False
        try:
            if self._lock.acquire(blocking=False):
                if queue:
                    queue.append(command)
                    self._run_queue()
                else:
                    self._execute(command)
                    if not self._finished:
                        self._check()
                if not self._armed or self._monitor_ready:
                    self._leave()
                done = True
        except BaseException:
            self._spoil()
            raise
        finally:
            try:  # noqa: SIM105, a third of the time that `suppress` takes
                self._lock.release()
            except RuntimeError:
                pass  # another thread has it, or an interrupt came before it was acquired
        if not done:
            queue.append(command)
            if self._sleeping:
                self._signal.set()
        if queue:
            self._after_release()

    def settle(self) -> None:
        """Wait until all that was posted is done, by this thread or by the owner, for `_SETTLING` seconds at most."""
        deadline = time.monotonic() + _SETTLING
        while time.monotonic() < deadline:
            self.wake()
            if self._lock.acquire(timeout=_LOOK_AGAIN):
                try:
                    self._run_queue()
                    self._leave()
                finally:
                    self._lock.release()
                if not self._queue:
                    return

    # what a DEALER and a ROUTER do differently; called by the owner

    @abstractmethod
    def _execute(self, command: Any) -> None:
        """Do what `post` was given."""

    @abstractmethod
    def _pull(self) -> bool:
        """Receive what is there into the inbox, without waiting, and say whether there is anything to deliver.

        Once `_spoilt`, nothing more is received by the links that there are; they are lost, for their sessions to go on anew.
        """

    # for the owner

    def _run_queue(self) -> None:
        queue = self._queue
        if not queue:
            return
        try:
            while queue:
                self._execute(queue.popleft())
            if not self._finished:
                self._check()
        except BaseException:
            self._spoil()
            raise

    def _spoil(self) -> None:
        """Note that an interrupt came while something was sent or received, which may be lost or half done: see `_pull`."""
        self._spoilt = True
        self._armed = False
        self._signal.set()

    def _check(self) -> None:
        """Find out whether something has come that the descriptor may not tell of any more."""
        self._armed = not self._get(_EVENTS) & _POLLIN

    def _has_news(self) -> bool:
        if not self._finished:
            self._check()
        return bool(self._inbox) or self._monitor_ready or not self._armed

    def _send_parts(self, message: Sequence[bytes | memoryview]) -> None:
        """Send the parts of a message, or its rest, large ones by reference.

        Raises:
            zmq.ZMQError: the peer is gone, or the context.
        """
        last = len(message) - 1
        if not last and len(message[0]) < BY_REFERENCE:
            self._send(message[0], zmq.NOBLOCK)
            return
        for index, part in enumerate(message):
            flags = MORE if index < last else zmq.NOBLOCK
            copy = len(part) < BY_REFERENCE
            try:
                self._send(part, flags, copy)
            except (RuntimeError, AttributeError):
                if copy:
                    raise
                # The interpreter is exiting, and pyzmq's thread that gives references back has gone before us, or is going.
                self._send(part, flags, True)

    def _leave(self) -> None:
        """Keep the promise of `fileno` before the lock is released."""
        if not self._finished and (not self._armed or self._monitor_ready):
            self._signal.set()

    def _after_release(self) -> None:
        while self._queue and self._lock.acquire(blocking=False):
            try:
                self._run_queue()
                self._leave()
            finally:
                self._lock.release()

    def _sleep(self, deadline: float | None) -> bool:
        """Sleep until it may be worth while to `_pull`; False when the time has passed, after `wake`, and at the end."""
        while not self._finished:
            woken = self._woken
            if woken:
                self._woken = False
            self._sleeping = True
            if woken or self._queue or self._woken or self._inbox or deadline == 0.0:
                timeout: float | None = 0.0
            else:
                timeout = None if deadline is None else min(max(0.0, deadline - time.monotonic()), LONGEST_SLEEP)
            try:
                readable = self._waiter.wait(timeout)
            finally:
                self._sleeping = False
            found = False
            for fd, _ in readable:
                if fd == self._socket_fd:
                    self._armed = False
                    found = True
                elif fd == self._monitor_fd:
                    self._monitor_ready = True
                    found = True
                else:
                    self._signal.clear()
                    found = self._signalled() or found
            if self._queue:
                self._run_queue()
            if (found or self._inbox or self._monitor_ready or not self._armed) and not self._finished:
                return True
            if woken or (deadline is not None and (deadline == 0.0 or time.monotonic() >= deadline)):
                return False
        return False

    def _signalled(self) -> bool:
        """Say whether `_signal` stood for something that `_pull` will see to."""
        return False

    def _deliver(self) -> int:
        inbox = self._inbox
        count = 0
        try:
            while inbox:
                receiver, data = inbox.popleft()
                if not self._undelivered or data is None or isinstance(data, Lost):
                    count += receiver.feed(data)
        except Exception:
            raise
        except BaseException:
            self._undelivered = True
            self._spoil()
            raise
        finally:
            if inbox:  # a sink has raised
                self._signal.set()
        return count

    def _events(self) -> list[tuple[int, int]]:
        """Return all that the monitor has told since the last time: pairs of event and value."""
        self._monitor_ready = False
        return self._monitor.read()

    def _finish(self, linger: float = LINGER) -> None:
        """Close the socket; what was sent has `linger` seconds to reach the peer, in the background."""
        if not self._finished:
            self._finished = True
            self._resources.give_back(linger)

    def _configure(self, endpoint: str, options: LinkOptions) -> None:
        settings = {
            zmq.SNDHWM: 0,
            zmq.RCVHWM: _RECEIVE_HIGH_WATER,
            zmq.MAXMSGSIZE: _MAX_RECEIVED,
            zmq.LINGER: int(LINGER * 1000),
            zmq.RECONNECT_IVL: HUGE_INTERVAL,
            zmq.HANDSHAKE_IVL: _milliseconds(options.handshake_timeout),
            zmq.IPV6: int(is_v6(endpoint)),
        }
        if options.send_buffer is not None:
            settings[zmq.SNDBUF] = options.send_buffer
        if options.receive_buffer is not None:
            settings[zmq.RCVBUF] = options.receive_buffer
        for option, value in settings.items():
            self._socket.setsockopt(option, value)
        self._socket.copy_threshold = 0  # `parts` decides what is copied


def _deadline(timeout: float | None) -> float | None:
    if timeout is None:
        return None
    return time.monotonic() + timeout if timeout > 0 else 0.0


def _milliseconds(seconds: float | None) -> int:
    return 0 if seconds is None else max(1, int(min(seconds, LONGEST_SLEEP) * 1000))  # 0 is ZeroMQ's for ever

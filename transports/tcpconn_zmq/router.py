"""The accepting side: a ROUTER, the one channel of all links that it has accepted.

A peer announces itself by its first message, which may be empty (ZeroMQ's PROBE_ROUTER), and becomes a link. Which
connection a link stands on is told by the message's descriptor; see `peers`. A connection that is not a link within the
handshake's time is dropped, and so is one more than `max_links`, or one that takes the last descriptors of the process.

A link that is closed here says goodbye; its peer then closes too. One that does not is dropped after `LINGER` seconds, the
time that what was written before has to be sent. When the monitor tells of a disconnection, what ZeroMQ has received
from that peer is delivered before the link is reported lost.
"""

from __future__ import annotations

import errno
import time
from collections import deque
from contextlib import suppress
from functools import partial
from typing import Any

import zmq

from tcpconn.address import Address
from tcpconn.pacing import spare_pacing_of
from tcpconn.transport import LinkOptions
from tcpconn_zmq.accepted import RouterLink
from tcpconn_zmq.context import LINGER, SharedContext
from tcpconn_zmq.descriptors import RESERVE, available
from tcpconn_zmq.endpoints import bound_address, inode_of, remove_file, to_bind
from tcpconn_zmq.owned import BATCH_BYTES, BATCH_MESSAGES, LARGE_RECEIVED, MORE, Lost, OwnedSocket
from tcpconn_zmq.parts import Message
from tcpconn_zmq.peers import Alarm, Peer

__all__ = ["RouterChannel"]

# Not EVENT_ACCEPT_FAILED: without descriptors ZeroMQ tries again at once and for ever, and tells of each time.
_EVENTS = zmq.EVENT_ACCEPTED | zmq.EVENT_DISCONNECTED


class RouterChannel(OwnedSocket):
    """Receives for all links of one listener; lives until the listener and the last link are closed.

    The owner alone uses `_peers` (by descriptor), `_links` (by ZeroMQ's identity), `_open` (not closed by their user) and
    `_dying` (disconnected, with how many more messages may come before nothing of theirs can be left). `_turned_away` has the
    descriptors whose last connection was refused, as messages may still come from it.

    Attributes:
        accepted: new links, for `RouterListener.accept`, which takes them from any thread.
        acceptable: set when there is something for `accept`.
    """

    def __init__(self, context: SharedContext, address: Address, options: LinkOptions) -> None:
        endpoint = to_bind(address)
        super().__init__(context, zmq.ROUTER, endpoint, options, _EVENTS)
        self._options = options
        self._peers: dict[int, Peer[RouterLink]] = {}
        self._links: dict[bytes, RouterLink] = {}
        self._open: set[RouterLink] = set()
        self._dying: dict[RouterLink, int] = {}
        self._leaving = 0
        self._turned_away: set[int] = set()
        self._accepting = True
        self._alarm: Alarm[Peer[RouterLink]] = Alarm(self._ring)
        self._alarmed = False
        self.accepted: deque[RouterLink] = deque()
        self.accept_error = 0
        try:
            self.acceptable = self._resources.add_signal()
            self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            self._socket.bind(endpoint)
            self.address = bound_address(address, self._get(zmq.LAST_ENDPOINT).decode())
            self._resources.add(partial(_give_up, context, self.address, inode_of(self.address)))
            self._check()
            self._leave()
        except zmq.ZMQError as error:
            self._finish(0)
            raise OSError(error.errno or 0, f"cannot listen at {address}: {error}") from error
        except BaseException:
            self._finish(0)
            raise

    def attend(self, link: RouterLink) -> None:
        """Have what is held for `link` delivered by the next read, or the one that waits. Any thread."""
        self._inbox.append((link, None))
        self._signal.set()

    def stop_accepting(self) -> None:
        """Refuse further peers, and close those that nobody has accepted. Any thread."""
        self.post(None)

    def _execute(self, command: Any) -> None:
        if self._finished:
            return
        if command is None:
            self._accepting = False
            with suppress(IndexError):  # another thread may be taking them
                while True:
                    link = self.accepted.popleft()
                    if link.end():
                        self._close(link)
            self.acceptable.close()
            self._note_events()
            for peer in list(self._peers.values()):
                if peer.link is None:
                    self._drop(peer)
        else:
            link, message = command
            if message is not None:
                self._send_to(link, message)
            else:
                self._close(link)
        if not self._accepting and not self._open:
            self._finish()

    def _send_to(self, link: RouterLink, message: Message) -> None:
        if link.broken:
            return
        try:
            self._send(link.identity, MORE)
            self._send_parts(message)
        except zmq.ZMQError:  # EHOSTUNREACH: the connection is gone; its end will be, or was, told by the monitor
            link.broken = True

    def _close(self, link: RouterLink) -> None:
        self._open.discard(link)
        self._send_to(link, [b""])
        peer = link.standing_on
        if peer is not None and not peer.leaving:
            peer.leaving = True
            self._leaving += 1
            now = time.monotonic()
            peer.patience = now + LINGER
            self._alarm.add(peer.patience, now, peer)

    def _finish(self, linger: float = LINGER) -> None:
        if not self._finished:
            self._alarm.cancel()
            super()._finish(linger)

    def _pull(self) -> bool:
        if self._spoilt:
            self._begin_anew()
        if self._monitor_ready:
            self._note_events()
        if self._alarmed:
            self._drop_overdue()
        inbox = self._inbox
        receive = self._receive
        links = self._links
        size = count = 0
        try:
            while count < BATCH_MESSAGES and size < BATCH_BYTES:
                identity = receive(zmq.NOBLOCK)
                frame = receive(zmq.NOBLOCK, False)
                link = links.get(identity)
                if link is None:
                    link = self._newcomer(identity, frame)
                elif not len(frame) and not frame.more and not link.ended:
                    link.ended = link.broken = True
                    inbox.append((link, Lost(None)))
                while True:
                    length = len(frame)
                    size += length
                    if length and link is not None:
                        inbox.append((link, frame.buffer if length >= LARGE_RECEIVED else frame.bytes))
                    if not frame.more:
                        break
                    frame = receive(zmq.NOBLOCK, False)
                count += 1
                if count == 1:  # often the only one, and asking is cheaper than failing
                    self._check()
                    if self._armed:
                        break
            else:
                self._check()  # cheaper than the signal that makes the next read look in vain
        except zmq.Again:
            self._armed = True
        if self._dying:
            self._bury(count)
        return bool(inbox)

    def _begin_anew(self) -> None:
        """Give all links up, since it is not known of which something may be lost, and find the next message's beginning."""
        with suppress(zmq.ZMQError):
            self._send(b"", zmq.NOBLOCK)  # the end of a message that was begun, or one without a receiver, which is dropped
        with suppress(zmq.ZMQError):
            while self._get(zmq.RCVMORE):
                self._receive(zmq.NOBLOCK)
        self._note_events()
        for link in self._links.values():
            link.broken = True
            if not link.ended:
                link.ended = True
                text = "an interrupt came in the middle of sending or receiving"
                self._inbox.append((link, Lost(InterruptedError(errno.EINTR, text))))
        for peer in list(self._peers.values()):
            self._drop(peer)
        self._spoilt = self._undelivered = False

    def _newcomer(self, identity: bytes, frame: zmq.Frame) -> RouterLink | None:
        """Make a link of a peer that was not heard of before; None if it is not wanted."""
        self._note_events()  # whatever ZeroMQ had to tell of this connection it has told before it had a message from it
        fd = frame.get(zmq.SRCFD)
        peer = self._peers.get(fd) if isinstance(fd, int) else None
        # ZeroMQ's own identities are a zero and a number that grows. A name that the peer gave itself could be used by
        # two connections, one after the other, and their bytes be taken for one link's.
        if not self._accepting or identity[0] or len(identity) != 5:
            if peer is not None and peer.link is None:
                self._drop(peer)
            return None
        if (peer is not None and peer.leaving and peer.link is None) or (peer is None and fd in self._turned_away):
            return None  # refused when it was accepted
        link = RouterLink(self, identity, peer)
        if peer is not None:
            former = peer.link
            if former is None or _is_later(identity, former.identity):
                peer.link = link
                if former is not None:  # it came from an earlier connection of that number, one that is gone
                    former.standing_on = None
                    self._dying[former] = self._patience()
            else:
                link.standing_on = peer = None
        if peer is None:  # gone already, but what it has sent is delivered
            self._dying[link] = self._patience()
        self._links[identity] = link
        self._open.add(link)
        self.accepted.append(link)
        self.acceptable.set()
        return link

    def _note_events(self) -> None:
        refused: list[Peer[RouterLink]] = []
        while events := self._events():  # until it is silent: see `peers`
            for event, value in events:
                if event == zmq.EVENT_ACCEPTED:
                    peer: Peer[RouterLink] = Peer(value, str(self.address))
                    self._peers[value] = peer
                    self._turned_away.discard(value)
                    if self._options.unpaced_loopback:
                        spare_pacing_of(value)
                    scarce = available(RESERVE) + len(refused) < RESERVE
                    if scarce:
                        self.accept_error = errno.EMFILE
                        self.acceptable.set()
                    if scarce or not self._accepting or len(self._peers) - self._leaving > self._options.max_links:
                        peer.leaving = True
                        self._leaving += 1
                        refused.append(peer)
                    elif self._options.handshake_timeout is not None:
                        now = time.monotonic()
                        self._alarm.add(now + self._options.handshake_timeout, now, peer)
                elif event == zmq.EVENT_DISCONNECTED:
                    self._disconnected(self._peers.pop(value, None))
        for peer in refused:
            if self._peers.get(peer.fd) is peer:
                peer.shut_down()

    def _disconnected(self, peer: Peer[RouterLink] | None) -> None:
        if peer is None:
            return
        self._leaving -= peer.leaving
        if peer.leaving and peer.link is None:
            self._turned_away.add(peer.fd)
        if peer.link is not None:
            peer.link.standing_on = None
            self._dying[peer.link] = self._patience()
            self._armed = False

    def _drop(self, peer: Peer[RouterLink]) -> None:
        if not peer.leaving:
            peer.leaving = True
            self._leaving += 1
        peer.shut_down()

    def _ring(self) -> None:
        self._alarmed = True
        self._signal.set()

    def _signalled(self) -> bool:
        return self._alarmed

    def _drop_overdue(self) -> None:
        self._alarmed = False
        self._note_events()
        now = time.monotonic()
        for peer in self._alarm.due(now):
            # Who was told to go at the time by which it was to say HELLO is still to hear why.
            if self._peers.get(peer.fd) is peer and (peer.leaving or peer.link is None) and peer.patience <= now:
                self._drop(peer)

    def _patience(self) -> int:
        # ZeroMQ takes turns among the peers that have sent something: after two turns without a message from one that is
        # gone there is none. (An empty queue says so at once; but a busy ROUTER's is never empty.)
        return 2 * len(self._peers) + BATCH_MESSAGES

    def _bury(self, count: int) -> None:
        """Report disconnected links lost as soon as all that came from them was received."""
        heard = set() if self._armed else {receiver for receiver, _ in self._inbox}
        for link, left in list(self._dying.items()):
            if link in heard:
                self._dying[link] = self._patience()
            elif not self._armed and left > count:
                self._dying[link] = left - count
            else:
                del self._dying[link]
                self._links.pop(link.identity, None)
                link.broken = True
                if not link.ended:
                    link.ended = True
                    text = f"the connection from {link.peer} ended without a goodbye"
                    self._inbox.append((link, Lost(ConnectionResetError(errno.ECONNRESET, text))))


def _give_up(context: SharedContext, address: Address, inode: int) -> None:
    context.note_unbound(address)
    remove_file(address, inode)


def _is_later(one: bytes, other: bytes) -> bool:
    distance = int.from_bytes(one[1:], "big") - int.from_bytes(other[1:], "big")
    return 0 < distance % (1 << 32) < 1 << 31

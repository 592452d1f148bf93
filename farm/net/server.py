"""A DICOM server's event loop: a listener, the associations that come of it, and their deadlines.

The listener may be shared by several processes, each with a loop of its own. Connections are counted before anything
is read of them, TLS included. When there is no room, who has waited longest without an association makes room; where
all have one, it is an association of which nothing has been heard for a while, first of the address that has most of
them. So neither slow and silent sockets keep out an honest peer, nor associations without end: titles are the peer's
own choice, and what one address may hold is capped as well.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from farm.net.acceptor import Acceptor, Service
from farm.net.admission import share_of
from farm.net.slots import Share, Slots

if TYPE_CHECKING:
    import ssl

log = logging.getLogger(__name__)

BUFFER: Final = 256 << 10  # bytes read at a time
_ACCEPTED_AT_ONCE: Final = 16
_TICK: Final = 1.0  # seconds between looks at the deadlines
_WAIT: Final = 0.1  # seconds without descriptors before the next connection is accepted


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """How many there may be: transport connections in this process, associations of one peer in all processes.

    A peer is an application entity title at an address; all titles of one have `per_address` (of IPv6: per /64). 0 of
    either: no cap. `quiet`: seconds without a word after which an association may have to make room.
    """

    connections: int = 512
    per_peer: int = 64
    per_address: int = 256
    quiet: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Port:
    """A listening socket and what is shared with the other processes that listen on it; `row` is this one's."""

    listener: socket.socket
    slots: Slots | None = None
    row: int = 0
    caps: Caps = field(default_factory=Caps)
    tls: ssl.SSLContext | None = None
    handshake_seconds: float = 10.0


class Server:
    """The associations of one event loop."""

    def __init__(self, service: Service, port: Port) -> None:
        self.buffer = memoryview(bytearray(BUFFER))
        self._service, self._port = service, port
        self._slots = port.slots or Slots(-1, processes=1, each=port.caps.connections)
        self._acceptors: dict[Acceptor, None] = {}  # in the order of their coming
        self._coming: dict[Acceptor, asyncio.Task[None]] = {}  # likewise: accepted, and not opened yet
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    async def serve(self, stop: asyncio.Event, *, drain_seconds: float = 10.0) -> None:
        """Take associations until `stop` is set; then let those in the middle of a request finish it.

        The listener is closed as soon as nothing more is taken, so that whoever comes next may have the port.
        """
        listener = self._port.listener
        listener.settimeout(0)
        self._loop.add_reader(listener, self._accept)
        sweeper = self._loop.create_task(self._sweep())
        try:
            await stop.wait()
            self._close(listener)
            await self._drain(drain_seconds)
        finally:
            self._close(listener)
            sweeper.cancel()
            for task in list(self._coming.values()):
                task.cancel()
            for acceptor in list(self._acceptors):
                acceptor.abort()
                acceptor.hang_up()
            await asyncio.sleep(0)  # the transports close

    def _close(self, listener: socket.socket) -> None:
        """Take no more connections."""
        if listener.fileno() >= 0:
            self._loop.remove_reader(listener)
            listener.close()

    @property
    def connections(self) -> int:
        """Return how many transport connections there are."""
        return len(self._acceptors) + len(self._coming)

    # What the associations ask.

    def opened(self, acceptor: Acceptor) -> None:
        """Count a transport connection."""
        self._coming.pop(acceptor, None)
        self._acceptors[acceptor] = None

    def seat(self, acceptor: Acceptor, title: str) -> bool:
        """Give an association its place among those of its peer; False: there is none left."""
        caps = self._port.caps
        peer = Share(f"{title}@{acceptor.address}", caps.per_peer)
        address = Share(share_of(acceptor.address), caps.per_address)
        if self._slots.is_full(address):
            self._end_quiet(address.holder)
        acceptor.slot = self._slots.take(self._port.row, peer, address)
        return acceptor.slot is not None

    def closed(self, acceptor: Acceptor) -> None:
        """Forget a connection, and free its place."""
        self._forget(acceptor)
        self._changed.set()

    # Within.

    def _accept(self) -> None:
        """Take what waits at the listener; another process may have been faster."""
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                sock, _ = self._port.listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError:  # no descriptors left: what is there has to end first
                self._loop.remove_reader(self._port.listener)
                self._loop.call_later(_WAIT, self._listen_again)
                return
            sock.settimeout(0)
            if self.connections >= self._port.caps.connections and not self._make_room():
                sock.close()
                continue
            acceptor = Acceptor(self._service, self)
            self._coming[acceptor] = self._loop.create_task(self._connected(acceptor, sock))

    def _listen_again(self) -> None:
        if self._port.listener.fileno() >= 0:
            self._loop.add_reader(self._port.listener, self._accept)

    def _make_room(self) -> bool:
        """End the connection that has been longest without an association, or a TLS handshake, or is quiet."""
        for acceptor in self._acceptors:
            if not acceptor.is_seated:
                self._forget(acceptor)
                acceptor.hang_up()
                return True
        if self._coming and self._port.tls:
            self._coming.pop(next(iter(self._coming))).cancel()
            return True
        return self._end_quiet()

    def _end_quiet(self, address: str = "") -> bool:
        """End an association, of this address or any, that has been quiet; those in a message come last."""
        since = self._loop.time() - self._port.caps.quiet
        quiet = [one for one in self._acceptors if one.is_waiting and one.watch.heard <= since]
        if address:
            quiet = [one for one in quiet if share_of(one.address) == address]
        if not quiet:
            return False
        addresses = Counter(share_of(one.address) for one in self._acceptors)
        ended = min(quiet, key=lambda one: (one.is_busy, -addresses[share_of(one.address)], one.watch.heard))
        log.info("an association with %s is ended: others need its place", ended.address)
        self._forget(ended)
        ended.abort()
        ended.hang_up()
        return True

    def _forget(self, acceptor: Acceptor) -> None:
        """Take a connection off the list at once: it must not make room for the next one too."""
        self._acceptors.pop(acceptor, None)
        if acceptor.slot is not None:
            self._slots.give_back(acceptor.slot)
            acceptor.slot = None

    async def _connected(self, acceptor: Acceptor, sock: socket.socket) -> None:
        """Put a protocol on an accepted socket, behind TLS where that is asked for."""
        port = self._port
        try:
            await self._loop.connect_accepted_socket(
                lambda: acceptor,
                sock,
                ssl=port.tls,
                ssl_handshake_timeout=port.handshake_seconds if port.tls else None,
            )
        except (OSError, ConnectionError, TimeoutError):  # a handshake that failed is the peer's affair
            log.info("a connection ended before its association")
            sock.close()
        finally:
            self._coming.pop(acceptor, None)

    async def _sweep(self) -> None:
        """End what takes too long; one look at all for each tick costs less than a timer for each PDU."""
        while True:
            await asyncio.sleep(_TICK)
            now = self._loop.time()
            for acceptor in list(self._acceptors):
                if acceptor.watch.end <= now:
                    acceptor.expire()
                elif acceptor.watch.over <= now:
                    acceptor.retire()

    async def _drain(self, seconds: float) -> None:
        """Wait for those that are in the middle of a request."""
        until = self._loop.time() + seconds
        for acceptor in list(self._acceptors):
            acceptor.retire()
        while any(acceptor.is_busy for acceptor in self._acceptors):
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), min(_WAIT, max(until - self._loop.time(), 0.001)))
            if self._loop.time() >= until:
                return


def listen(host: str, port: int, *, backlog: int = 512) -> socket.socket:
    """Return a listening socket; raise `OSError` where the address cannot be had. Port 0: any free one.

    An empty `host` is every address of this machine: those of IPv4, and those of IPv6 where it speaks that.
    """
    is_every = not host and socket.has_dualstack_ipv6()
    sock = socket.socket(socket.AF_INET6 if is_every or ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_every:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock

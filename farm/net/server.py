"""A DICOM server's event loop: a listener, the associations that come of it, and their deadlines.

The listener may be shared by several processes, each with a loop of its own. Connections are counted before anything
is read of them, TLS included. When there is no room, who has waited longest without an association makes room: slow
and silent sockets cannot keep out an honest peer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from farm.net.acceptor import Acceptor, Service
from farm.net.slots import Slots

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

    A peer is an application entity title at an address; `per_peer` 0: no cap.
    """

    connections: int = 512
    per_peer: int = 64


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
        slot = self._slots.take(self._port.row, f"{title}@{acceptor.address}", self._port.caps.per_peer)
        acceptor.slot = slot
        return slot is not None

    def closed(self, acceptor: Acceptor) -> None:
        """Forget a connection, and free its place."""
        self._acceptors.pop(acceptor, None)
        if acceptor.slot is not None:
            self._slots.give_back(acceptor.slot)
            acceptor.slot = None
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
        """End the connection that has been longest without an association, or a TLS handshake."""
        for acceptor in self._acceptors:
            if not acceptor.is_seated:
                del self._acceptors[acceptor]  # at once: it must not make room for the next one too
                acceptor.hang_up()
                return True
        if not self._coming or not self._port.tls:
            return False
        self._coming.pop(next(iter(self._coming))).cancel()
        return True

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
            for acceptor in [one for one in self._acceptors if one.deadline <= now]:
                acceptor.expire()

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
    """Return a listening socket; raise `OSError` where the address cannot be had. Port 0: any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock

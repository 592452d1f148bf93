"""The asyncio transport under an association: bytes in and out, the ARTIM timer, and nothing of DICOM's meaning.

What comes is read into one buffer for each event loop: reading and understanding it is one step, so no two transports
need it at a time, and an idle association costs no buffer. What goes leaves in whole PDUs, several to a write.

DCMTK, and with it Orthanc, leaves Nagle's algorithm on and writes a PDU in two pieces; the second waits until the first
is acknowledged, which the kernel here delays by 40 ms. So TCP_QUICKACK is set again after each read (it does not last),
and TCP_NODELAY once. Measured: 210 times as many instances by C-GET.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Final, Protocol, cast
from weakref import WeakKeyDictionary

from farm.errors import Reason, Unavailable
from farm.net.association import Association, Event
from farm.net.dimse import Command
from farm.net.errors import Misuse

BATCH: Final = 262_144
"""Bytes of the receive buffer, and about as many to a write."""
_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)
_buffers: WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = WeakKeyDictionary()

Buffer = bytes | memoryview


def prompt(transport: asyncio.BaseTransport) -> socket.socket | None:
    """Turn Nagle's algorithm off; return the socket whose acknowledgements can be asked for, None if they cannot."""
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    with suppress(OSError):  # it may be gone already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return None if _QUICK_ACK is None else sock


def acknowledge(sock: socket.socket) -> None:
    """Have the kernel acknowledge what came, and what comes next, at once."""
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK or 0, 1)


class Handler(Protocol):
    """Whoever acts on what an association says; called while the bytes are in the buffer, so it never waits."""

    def happened(self, event: Event) -> None:
        """Take an event; a view in it is valid only during the call."""

    def lost(self) -> None:
        """Note that the transport is gone; no event follows."""


class Wire(asyncio.BufferedProtocol):
    """One transport and the association on it."""

    def __init__(self, association: Association, handler: Handler, *, artim: float) -> None:
        """Take the protocol's state, who acts on it, and the ARTIM timeout in seconds (PS3.8 section 9.1.5)."""
        self.association = association
        self._handler = handler
        self._artim = artim
        self._loop = asyncio.get_running_loop()
        self._buffer = _buffers.setdefault(self._loop, memoryview(bytearray(BATCH)))
        self._transport: asyncio.Transport | None = None
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._resumed: asyncio.Future[None] | None = None  # while the transport takes nothing more
        self._ended = self._loop.create_future()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: note the open transport, and set it up."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=BATCH)  # two batches at most wait for the kernel
        self._socket = prompt(transport)
        self._acknowledge()
        self.association.transport_open()
        self.flush()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the loop's buffer."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Understand what was read, and send what the protocol says to it."""
        self._acknowledge()
        for event in self.association.receive(self._buffer[:nbytes]):
            self._handler.happened(event)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """End: tell what it means for the association."""
        del exc
        self._transport = None
        for event in self.association.transport_closed():
            self._handler.happened(event)
        self._watch()
        self._resume()
        self._ended.set_result(None)
        self._handler.lost()

    def pause_writing(self) -> None:
        """Let senders wait."""
        self._resumed = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let them go on."""
        self._resume()

    # What the shell calls.

    @property
    def address(self) -> str:
        """Return the peer's IP address; empty once the transport is gone."""
        name = self._transport.get_extra_info("peername") if self._transport else None
        return str(name[0]) if name else ""

    def flush(self) -> None:
        """Send what is outgoing, close the transport if the association is at its end, and mind the timer."""
        out = self.association.outgoing()
        if self._transport is not None:
            if out:
                self._transport.write(out)
            if self.association.done:
                self._transport.close()
        self._watch()

    async def send(
        self,
        context_id: int,
        command: Command,
        data: Iterable[Buffer] = (),
        *,
        patience: float,
        sent: Callable[[int], None] | None = None,
    ) -> None:
        """Send a message; wait while the transport takes nothing, at most `patience` seconds at a time.

        `sent` is told after each write how many bytes it was. Raises `Unavailable` where the association ends first.
        """
        try:
            for batch in _batches(self.association.message(context_id, command, data)):
                if self._transport is None:
                    break
                self._transport.write(batch)
                if self._resumed is not None:
                    await self._drained(patience)
                if sent is not None:
                    sent(len(batch))
        except Misuse:
            raise Unavailable(Reason.PEER_ABORTED) from None
        if self._transport is None:
            raise Unavailable(Reason.PEER_ABORTED)

    def pause(self) -> None:
        """Read nothing for now."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None:
            self._transport.resume_reading()

    def cut(self) -> None:
        """Close the transport at once; what is not sent is lost."""
        if self._transport is not None:
            self._transport.abort()

    async def closed(self) -> None:
        """Wait until the transport is gone."""
        await asyncio.shield(self._ended)

    # Within.

    def _acknowledge(self) -> None:
        if self._socket is not None:
            acknowledge(self._socket)

    async def _drained(self, patience: float) -> None:
        try:
            async with asyncio.timeout(patience):
                while self._resumed is not None:
                    await asyncio.shield(self._resumed)
        except TimeoutError:
            self.cut()
            raise Unavailable(Reason.PEER_AWAY, "The peer takes nothing more.") from None

    def _resume(self) -> None:
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    def _watch(self) -> None:
        """Start or stop the ARTIM timer as the association says."""
        wanted = self.association.timer and self._transport is not None
        if wanted and self._timer is None:
            self._timer = self._loop.call_later(self._artim, self._expired)
        elif not wanted and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self._timer = None
        self.association.timer_expired()
        self.cut()


def _batches(pdus: Iterable[list[Buffer]]) -> Iterator[bytes]:
    """Yield whole PDUs joined up to `BATCH` bytes; one that is longer than that comes in pieces."""
    gathered: list[Buffer] = []
    size = 0
    for buffers in pdus:
        length = sum(map(len, buffers))
        if size and size + length > BATCH:
            yield b"".join(gathered)
            gathered, size = [], 0
        gathered += buffers
        size += length
        if size > BATCH:
            yield from _pieces(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def _pieces(buffers: list[Buffer]) -> Iterator[bytes]:
    for buffer in buffers:
        for at in range(0, len(buffer), BATCH):
            yield bytes(buffer[at : at + BATCH])

"""A DICOM server in the test's own event loop, a receiver that keeps instances in memory, and a peer that does as told.

The peer drives the protocol core over a socket. It can so be made to do what no program does: wait in the middle of a
data set, send before it was answered, or stop reading.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final, Self

from fix_farm import CT as SAMPLE
from pdus import p_data, value

from farm.dicom import part10
from farm.net import dimse, pdu
from farm.net.acceptor import Service
from farm.net.association import Aborted, Accepted, Association, Data, Event, Message, Rejected
from farm.net.dimse import Command, Field, Tag
from farm.net.negotiation import Offer
from farm.net.server import Port, Server, listen
from farm.net.services import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, VERIFICATION, is_storage
from farm.net.storing import SUCCESS, Arriving

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
OFFER: Final = Offer(supports=lambda uid: uid in {VERIFICATION, STORAGE_COMMITMENT} or is_storage(uid))
CONTEXTS: Final = tuple(
    pdu.ProposedContext(id=number, abstract_syntax=uid, transfer_syntaxes=(EXPLICIT,))
    for number, uid in ((1, CT), (3, VERIFICATION), (5, STORAGE_COMMITMENT))
)


async def nothing() -> None:
    """Wait for nothing."""


class MemorySink:
    """One instance on its way into memory."""

    def __init__(self, receiver: MemoryReceiver, arriving: Arriving) -> None:
        self._receiver, self.arriving = receiver, arriving
        self.data = bytearray()
        self.state = "open"

    def write(self, data: memoryview) -> None:
        """Take a fragment."""
        assert self.state == "open"
        self.data += data
        self._receiver.on_write(self)

    async def end(self) -> int:
        """Wait as the receiver wants, then keep the instance."""
        assert self.state == "open"
        self.state = "ended"
        await self._receiver.before_end()
        self._receiver.kept.append((self.arriving, bytes(self.data)))
        return self._receiver.status

    def abandon(self) -> None:
        """Note that the instance is not wanted; once, or that it was `end` that failed."""
        assert self.state in {"open", "ended"}
        self.state = "abandoned"
        self._receiver.abandoned.append(self.arriving.sop_instance)
        self._receiver.changed.set()


@dataclass(kw_only=True)
class MemoryReceiver:
    """Keeps what arrives; what it does besides can be told."""

    status: int = SUCCESS
    kept: list[tuple[Arriving, bytes]] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    on_begin: Callable[[Arriving], object] = lambda _: None
    on_write: Callable[[MemorySink], object] = lambda _: None
    before_end: Callable[[], object] = nothing  # type: ignore[assignment]

    def begin(self, arriving: Arriving) -> MemorySink:
        """Return the sink of one instance."""
        self.on_begin(arriving)
        return MemorySink(self, arriving)


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that runs, and how to stop it."""

    server: Server
    port: int
    stop: asyncio.Event
    task: asyncio.Task[None]

    async def emptied(self) -> None:
        """Wait until the server has no connections."""
        await reached(lambda: self.server.connections == 0)


@asynccontextmanager
async def serving(receiver: object, *, port: Port | None = None, **changes: object) -> AsyncIterator[Running]:
    """Run a server for this receiver on a free port; `changes` are fields of its `Service`."""
    port = port or Port(listener=listen("127.0.0.1", 0))
    service = replace(Service(receiver=receiver, offer=OFFER), **changes)  # type: ignore[arg-type]
    server, stop = Server(service, port), asyncio.Event()
    task = asyncio.get_running_loop().create_task(server.serve(stop))
    try:
        yield Running(server=server, port=port.listener.getsockname()[1], stop=stop, task=task)
    finally:
        stop.set()
        await task
        port.listener.close()


async def reached(condition: Callable[[], object]) -> None:
    """Wait until a condition of this event loop holds."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for is the server's, and tells nobody
            await asyncio.sleep(0.005)


class Peer:
    """One association, from the requestor's side."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.core = Association(is_requestor=True)
        self._waiting: list[Event] = []
        self._number = 0

    @classmethod
    async def connected(cls, port: int, *, tls: ssl.SSLContext | None = None, at: str = "127.0.0.1") -> Self:
        """Return a peer at an address of loopback that is connected and has said nothing."""
        name = "127.0.0.1" if tls else None
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name, local_addr=(at, 0)
        )
        peer = cls(reader, writer)
        peer.core.transport_open()
        return peer

    async def request(
        self, *, calling: str = "PEER", called: str = "FARM", contexts: tuple[pdu.ProposedContext, ...] = CONTEXTS
    ) -> Event:
        """Ask for an association; return what is answered."""
        user = pdu.User(maximum_length=16_384)
        self.core.request(pdu.AssociateRequest(called=called, calling=calling, contexts=contexts, user=user))
        await self.send(self.core.outgoing())
        return await self.event()

    @classmethod
    async def associated(
        cls, port: int, *, tls: ssl.SSLContext | None = None, calling: str = "PEER", at: str = "127.0.0.1"
    ) -> Self:
        """Return a peer with an association."""
        peer = await cls.connected(port, tls=tls, at=at)
        answered = await peer.request(calling=calling)
        if not isinstance(answered, Accepted):
            await peer.close()
        assert isinstance(answered, Accepted), answered
        return peer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()

    async def event(self) -> Event:
        """Return what comes next."""
        while not self._waiting:
            try:
                data = await self._reader.read(65_536)
            except (ConnectionResetError, ssl.SSLError):
                data = b""
            self._waiting += self.core.receive(data) if data else self.core.transport_closed()
            if not data and not self._waiting:
                return Aborted(by_peer=True, abort=None)
        return self._waiting.pop(0)

    async def response(self) -> Command:
        """Return the command set that comes next."""
        event = await self.event()
        assert isinstance(event, Message), event
        return event.command

    async def echo(self) -> int:
        """Send a C-ECHO; return its status."""
        await self.send(
            p_data(value(3, 3, dimse.encode(dimse.request(Field.C_ECHO_RQ, 1, VERIFICATION, has_data=False))))
        )
        return (await self.response()).status

    def command(self, uid: str, sop_class: str = CT) -> bytes:
        """Return the PDU of a C-STORE request for an instance of this UID."""
        self._number += 1
        values: dict[int, int | str] = {Tag.PRIORITY: 0, Tag.AFFECTED_SOP_INSTANCE: uid}
        return p_data(
            value(1, 3, dimse.encode(dimse.request(Field.C_STORE_RQ, self._number, sop_class, values, has_data=True)))
        )

    async def store(self, uid: str, data: bytes, size: int = 16_000) -> int:
        """Send an instance in PDUs of so many bytes of its data set; return the status."""
        await self.send(self.command(uid))
        for part in parts(data, size):
            await self.send(part)
        return (await self.response()).status

    async def commit(self, data: bytes, action: int = 1) -> Command:
        """Ask for storage commitment; return the response of the N-ACTION."""
        values: dict[int, int | str] = {
            Tag.REQUESTED_SOP_CLASS: STORAGE_COMMITMENT,
            Tag.REQUESTED_SOP_INSTANCE: STORAGE_COMMITMENT_INSTANCE,
            Tag.MESSAGE_ID: 7,
            Tag.ACTION_TYPE: action,
            Tag.DATA_SET_TYPE: 1,
        }
        command = dimse.encode(Command(field=Field.N_ACTION_RQ, values=values))
        await self.send(p_data(value(5, 3, command)) + b"".join(parts(data, 16_000, context=5)))
        return await self.response()

    async def report(self) -> tuple[Command, bytes]:
        """Return the N-EVENT-REPORT that comes next with its data set, and answer it."""
        command, held = await self.response(), bytearray()
        while True:
            event = await self.event()
            assert isinstance(event, Data), event
            held += event.data
            if event.last:
                break
        await self.send(p_data(value(5, 3, dimse.encode(command.response(SUCCESS)))))
        return command, bytes(held)

    async def release(self) -> None:
        """End the association in order."""
        self.core.release()
        await self.send(self.core.outgoing())
        await self.event()
        await self.close()

    async def close(self) -> None:
        """Close the transport."""
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    async def ended(self) -> Event:
        """Wait for the end of the association and close; return how it ended."""
        event = await self.event()
        while not isinstance(event, Aborted | Rejected):
            event = await self.event()
        await self.close()
        return event


def parts(data: bytes, size: int, context: int = 1) -> Iterator[bytes]:
    """Yield a data set as PDUs with so many bytes each."""
    for at in range(0, max(len(data), 1), size):
        yield p_data(value(context, 2 if at + size >= len(data) else 0, data[at : at + size]))


_TEMPLATE: Final = part10.parse(SAMPLE.read_bytes())
_UID: Final = b"1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"


def instance(number: int) -> tuple[str, bytes]:
    """Return the SOP Instance UID and the data set of the CT of this number."""
    uid = _UID[:-5] + b"%05d" % number
    return uid.decode(), bytes(_TEMPLATE.data[_TEMPLATE.start :]).replace(_UID, uid)


async def sent(port: int, numbers: Iterable[int]) -> list[int]:
    """Send CTs over one association; return their statuses."""
    async with await Peer.associated(port) as peer:
        statuses = [await peer.store(*instance(number)) for number in numbers]
        await peer.release()
    return statuses

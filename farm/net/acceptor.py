"""One association on the server's side: an asyncio protocol around the core, one request at a time.

All associations of an event loop share one receive buffer: what it holds is given to the core at once, and the core's
fragments go straight to the sink, so an association at rest costs no buffer and an instance of any size no memory.

What comes is acknowledged at once, for the reason that `transport` gives: by the response, or where there is none yet
by asking the kernel for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from farm.errors import Unavailable, place_of
from farm.net import commitment, committing, negotiation
from farm.net.admission import Rule, admitted, fingerprint, plain_of
from farm.net.association import (
    Aborted,
    Association,
    Data,
    Event,
    Limits,
    Message,
    Released,
    ReleaseRequested,
    Requested,
)
from farm.net.committing import Keeper, Owing, Reports
from farm.net.deadlines import Deadlines, Watch
from farm.net.dimse import Command, Field, Tag
from farm.net.errors import Misuse
from farm.net.header import HeaderReader
from farm.net.machine import State
from farm.net.negotiation import Context, Offer, Refusal
from farm.net.services import Status
from farm.net.storing import Arriving, Receiver, Sink
from farm.net.transport import acknowledge, prompt

if TYPE_CHECKING:
    from farm.net.pdu import AssociateAccept, AssociateRequest

log = logging.getLogger(__name__)

_ESTABLISHED: Final = State.ESTABLISHED


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderRule:
    """A look at the first elements of each instance before its pixel data has come.

    `decide` is given their values and returns None to let the instance in, the status that refuses it, or the receiver
    that it goes to instead of the service's own.
    """

    tags: frozenset[int]
    decide: Callable[[Arriving, Mapping[int, bytes]], int | Receiver | None]


@dataclass(frozen=True, kw_only=True)
class Service:
    """What the associations of a server have in common."""

    receiver: Receiver
    offer: Offer
    rules: tuple[Rule, ...] = ()
    limits: Limits = field(default_factory=Limits)
    deadlines: Deadlines = field(default_factory=Deadlines)
    header: HeaderRule | None = None
    keeper: Keeper | None = None
    reports: Reports | None = None


class Desk(Protocol):
    """What an association asks of the server that it belongs to."""

    buffer: memoryview

    def opened(self, acceptor: Acceptor) -> None:
        """Count a transport connection."""

    def seat(self, acceptor: Acceptor, title: str) -> bool:
        """Give an association its place among those of its peer; False: there is none left."""

    def closed(self, acceptor: Acceptor) -> None:
        """Forget it."""


class _Store:
    """A C-STORE in progress; without a sink the data set is passed over, and `status` is the answer."""

    __slots__ = ("arriving", "command", "context", "header", "sink", "status")

    def __init__(self, context: Context, command: Command, arriving: Arriving) -> None:
        self.context, self.command, self.arriving = context, command, arriving
        self.sink: Sink | None = None
        self.status: int = Status.SUCCESS
        self.header: HeaderReader | None = None

    def begin(self, receiver: Receiver) -> None:
        """Give it a sink, unless there is none to be had."""
        try:
            self.sink = receiver.begin(self.arriving)
        except Unavailable:
            self.status = Status.OUT_OF_RESOURCES

    def write(self, data: memoryview) -> None:
        """Hand a fragment on; where it cannot be kept, keep nothing more."""
        if self.sink is None:
            return
        try:
            self.sink.write(data)
        except Unavailable:
            self.status = Status.OUT_OF_RESOURCES
            self.sink.abandon()
            self.sink = None


class Acceptor(asyncio.BufferedProtocol):
    """One association, from its transport connection to its end."""

    def __init__(self, service: Service, desk: Desk) -> None:
        self._service, self._desk = service, desk
        self._core = Association(is_requestor=False, limits=service.limits)
        self._transport: asyncio.Transport | None = None
        self._quick: socket.socket | None = None
        self._request: AssociateRequest | None = None
        self._store: _Store | None = None
        self._asked: tuple[Context, Command, bytearray] | None = None
        self._task: asyncio.Task[None] | None = None
        self._owing = Owing(service.keeper, service.reports)
        self._retires = self._is_over = False
        self._loop = asyncio.get_running_loop()
        self.address = ""
        self.slot: int | None = None
        """The server's mark of its place."""
        self.watch = Watch(service.deadlines, self._loop.time())
        """When the server has to end it."""

    # What asyncio says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a listener makes no others
        self._transport = transport
        self._quick = prompt(transport)
        self.address = plain_of(str((transport.get_extra_info("peername") or ("",))[0]))
        self._core.transport_open()
        self._desk.opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the loop's one buffer: what is read into it is used up before anybody else reads."""
        del sizehint
        return self._desk.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        before = self._core.pdus
        try:
            for event in self._core.receive(self._desk.buffer[:nbytes]):
                self._happened(event)
        except Exception as error:  # noqa: BLE001 - the event loop would log its text, which may carry a value
            log.error("an association is ended by a fault: %s", place_of(error))  # noqa: TRY400 - likewise
            self.abort()
        if not self._flush() and self._quick is not None:  # what is written carries the acknowledgement
            acknowledge(self._quick)
        self._note(nbytes, begins=self._core.pdus != before)

    def pause_writing(self) -> None:
        """Hear nothing more of a peer that does not take what it is sent: its responses would fill the memory."""
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Hear it again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        """Close when the peer does."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End, however it came to that; an instance whose end has come is still brought to safety."""
        del exc
        for event in self._core.transport_closed():
            self._happened(event)
        self._drop()
        self._owing.over()
        self._transport = None
        self._desk.closed(self)

    # What the server says.

    def expire(self) -> None:
        """End it because its deadline is over: by an A-ABORT, and the next time by closing the transport."""
        if self._transport is None:
            return
        if self._core.timer or self._core.state in {State.TRANSPORT_OPEN, State.IDLE}:
            self.hang_up()
            return
        log.info("an association with %s is ended: it took too long", self.address)
        self.abort()

    def abort(self) -> None:
        """End the association by an A-ABORT, and act on nothing that came behind its cause."""
        self._is_over = True
        with suppress(Misuse):
            self._core.abort()
        self._drop()
        self._flush()
        self.watch.closing(self._loop.time())

    def retire(self) -> None:
        """End the association as soon as no request is being carried out."""
        self._retires = True
        self._flush()

    def hang_up(self) -> None:
        """Close the transport, whatever is on its way."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def is_seated(self) -> bool:
        """Tell whether there is an association."""
        return self._core.state is _ESTABLISHED

    @property
    def is_busy(self) -> bool:
        """Tell whether a request is being carried out."""
        return self._store is not None or self._asked is not None or self._task is not None

    @property
    def is_waiting(self) -> bool:
        """Tell whether there is an association, and we wait for its peer."""
        return self.is_seated and self._task is None

    # Within.

    def _note(self, size: int, *, begins: bool) -> None:
        """Have the watch know what came, unless it is the peer that waits."""
        core, now = self._core, self._loop.time()
        if core.state is not _ESTABLISHED or self._task is not None:
            return
        if core.is_resting:
            self.watch.rests(now)
        else:
            self.watch.came(now, size, in_pdu=not core.is_between, begins=begins)

    def _flush(self) -> bool:
        """Send what is to be sent; tell whether there was anything."""
        transport = self._transport
        if transport is None:
            return False
        out = self._core.outgoing()
        if out:
            transport.write(out)
        if self._retires and self.is_seated and not self.is_busy:
            self.abort()
        elif self._core.done:
            transport.close()
        elif self._core.timer and self._core.state is State.AWAITING_CLOSE and self._request is not None:
            self.watch.closing(self._loop.time())
        return bool(out)

    def _happened(self, event: Event) -> None:
        if self._is_over:
            return
        if isinstance(event, Data):
            self._data(event.data, last=event.last)
        elif isinstance(event, Message):
            self._message(event.context, event.command)
        elif isinstance(event, Requested):
            self._requested(event.request)
        elif isinstance(event, ReleaseRequested):
            self._core.release_response()
            self.watch.closing(self._loop.time())
        elif isinstance(event, Aborted | Released):
            self._drop()

    def _drop(self) -> None:
        """Leave nothing of an instance that did not come to its end."""
        if self._store is not None and self._task is None and self._store.sink is not None:
            self._store.sink.abandon()
        if self._task is None:
            self._store = None
        self._asked = None

    def _requested(self, request: AssociateRequest) -> None:
        """Answer a request for an association."""
        self._request = request
        answer = self._judged(request)
        if isinstance(answer, Refusal):
            log.info("an association with %s is refused: %s", self.address, answer.name)
            self._core.reject(answer)
            self.watch.closing(self._loop.time())
            return
        self._core.accept(answer)
        self.watch.accepted(self._loop.time())

    def _judged(self, request: AssociateRequest) -> AssociateAccept | Refusal:
        service = self._service
        tls = self._transport.get_extra_info("ssl_object") if self._transport is not None else None
        certificate = fingerprint(tls.getpeercert(binary_form=True)) if tls is not None else ""
        if not admitted(service.rules, request.calling, self.address, certificate):
            return Refusal.CALLING_TITLE
        answer = negotiation.answer(request, service.offer)
        if isinstance(answer, Refusal) or self._desk.seat(self, request.calling):
            return answer
        return Refusal.LOCAL_LIMIT

    # Requests.

    def _message(self, context: Context, command: Command) -> None:
        if command.is_response:  # to a report; it may come while the peer's own next request is carried out
            self._owing.answered(command)
        if command.is_response and not command.has_data:
            return
        if self.is_busy:  # asynchronous operations were answered by 1: who does not wait for a response errs
            self.abort()
        elif command.field == Field.C_STORE_RQ and command.has_data:
            self._store_requested(context, command)
        elif command.field == Field.C_ECHO_RQ:
            self._respond(context, command.response(Status.SUCCESS))
        elif command.field == Field.N_ACTION_RQ and command.has_data:
            self._asked = (context, command, bytearray())
        elif not command.is_response and command.field != Field.C_CANCEL_RQ:
            if command.has_data:
                self._store = _Store(context, command, self._arriving(context, command))
                self._store.status = Status.UNRECOGNIZED_OPERATION
            else:
                self._respond(context, command.response(Status.UNRECOGNIZED_OPERATION))

    def _arriving(self, context: Context, command: Command) -> Arriving:
        assert self._request is not None  # noqa: S101 - there is an association
        return Arriving(
            sop_class=command.sop_class,
            sop_instance=command.sop_instance,
            transfer_syntax=context.transfer_syntax,
            calling=self._request.calling,
            called=self._request.called,
            address=self.address,
            originator=command.text(Tag.MOVE_ORIGINATOR).strip(),
            originator_id=command.number(Tag.MOVE_ORIGINATOR_ID),
        )

    def _store_requested(self, context: Context, command: Command) -> None:
        store = self._store = _Store(context, command, self._arriving(context, command))
        if command.sop_class != context.abstract_syntax or not command.sop_instance:
            store.status = Status.SOP_CLASS_NOT_SUPPORTED
            return
        if self._service.header is None:
            store.begin(self._service.receiver)
        else:
            store.header = HeaderReader(self._service.header.tags, context.transfer_syntax)

    def _data(self, data: memoryview, *, last: bool) -> None:
        store = self._store
        if store is None:
            self._asked_data(data, last=last)
            return
        if store.header is not None:
            self._look(store, store.header, data, last=last)
        else:
            store.write(data)
        if last:
            if store.sink is None:
                self._answer(store, store.status)
            else:
                self._end(store, store.sink)

    def _look(self, store: _Store, header: HeaderReader, data: memoryview, *, last: bool) -> None:
        """Let the header rule decide as soon as it can; until then nobody has anything of the instance."""
        found = header.feed(data)
        if found is None and last:
            found = header.finish()
        if found is not None and self._service.header is not None:
            store.header = None
            decided = self._service.header.decide(store.arriving, found)
            if isinstance(decided, int):
                store.status = decided
            else:
                store.begin(decided or self._service.receiver)
                store.write(memoryview(header.came or data))

    def _end(self, store: _Store, sink: Sink) -> None:
        """Answer an instance that is whole: at once where its sink knows, else when it does."""
        try:
            ended = sink.end()
        except Exception as error:  # noqa: BLE001 - its text may carry a value; the peer has to get an answer
            self._answer(store, _failed(sink, error))
            return
        if isinstance(ended, int):
            self._answer(store, ended)
        else:
            self._work(self._ended(store, sink, ended))

    async def _ended(self, store: _Store, sink: Sink, ended: Awaitable[int]) -> None:
        """Answer an instance once it is safe."""
        try:
            status = await ended
        except Exception as error:  # noqa: BLE001 - as above
            status = _failed(sink, error)
        self._task = None
        self._answer(store, status)
        self._flush()

    def _work(self, answering: Coroutine[Any, Any, None]) -> None:
        """Carry out a request whose answer takes a while."""
        self._task = self._loop.create_task(answering)
        self.watch.answers(self._loop.time())

    def _answer(self, store: _Store, status: int) -> None:
        """End a C-STORE by its response."""
        self._store = None
        self._respond(store.context, store.command.response(status))
        self.watch.rests(self._loop.time())

    def _respond(self, context: Context, command: Command, data: bytes = b"") -> None:
        """Send a message, if there still is someone to send it to."""
        with suppress(Misuse):
            self._core.send(context.id, command, data)

    # Storage commitment.

    def _asked_data(self, data: memoryview, *, last: bool) -> None:
        if self._asked is None:
            return
        context, command, held = self._asked
        held += data
        if len(held) > commitment.MOST_BYTES:
            self.abort()
        elif last:
            self._work(self._commit(context, command, bytes(held)))

    async def _commit(self, context: Context, command: Command, data: bytes) -> None:
        """Answer a request for storage commitment, and report on the same association."""
        assert self._request is not None  # noqa: S101 - there is an association
        status, owed = await self._owing.judged(self._request, context, command, data)
        report = None if owed is None else await self._owing.report(owed, context)
        self._task, self._asked = None, None
        self.watch.rests(self._loop.time())
        self._respond(context, committing.acted(command, status))
        if report is not None:
            self._respond(context, *report)
        self._flush()


def _failed(sink: Sink, error: Exception) -> int:
    """Return the status for an instance whose sink did not give one."""
    if isinstance(error, Unavailable):
        return Status.OUT_OF_RESOURCES
    log.error("an instance could not be stored: %s", place_of(error))
    sink.abandon()
    return Status.PROCESSING_FAILURE

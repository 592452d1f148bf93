"""One association as its requestor sees it: requests out, responses in, and instances that come between (PS3.7).

What arrives is understood while it is in the transport's buffer, and waits here as few values: a response with its
identifier, or an instance whose data set has gone to its sink. A requestor has one operation at a time (asynchronous
operations are not negotiated), so whoever waits is the one for whom it comes.

However the association ends, every wait ends with the same `Unavailable`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Final, NamedTuple

from farm.errors import Reason, Unavailable, place_of
from farm.net import dimse
from farm.net.association import (
    Aborted,
    Accepted,
    Association,
    Data,
    Event,
    Message,
    Rejected,
    Released,
    ReleaseRequested,
)
from farm.net.dimse import Command, Field
from farm.net.errors import Misuse
from farm.net.machine import State
from farm.net.negotiation import Context
from farm.net.pdu import AssociateRequest, User
from farm.net.peers import Peer
from farm.net.services import Status
from farm.net.storing import Arriving, Receiver, Sink
from farm.net.transport import Buffer, Wire

log = logging.getLogger(__name__)

_LARGEST_IDENTIFIER: Final = 1 << 20  # bytes; a list of failed UIDs has 64 for each instance
_ENOUGH, _FEW = 256, 64  # responses that wait: above the first nothing more is read until there are as few as these


class Response(NamedTuple):
    """A response, and the data set that came with it."""

    context: Context
    command: Command
    data: bytes = b""


class Received(NamedTuple):
    """An instance whose data set has gone to its sink; the peer waits for the status."""

    context: Context
    command: Command
    sink: Sink


class Conversation:
    """The association with a peer, and what waits to be taken from it."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.receiver: Receiver | None = None
        """Who gets the instances that the peer sends; without one they are refused."""
        self.unfinished: Callable[[], Awaitable[None]] | None = None
        """What brings the operation in hand to its end."""
        self.answered = User()
        """What the peer said in accepting the association, beside the presentation contexts."""
        self._association = Association(is_requestor=True)
        self._loop = asyncio.get_running_loop()
        self._wire: Wire | None = None
        self._inbox: deque[Response | Received] = deque()
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._waits_since = 0.0
        self._watchdog: asyncio.TimerHandle | None = None
        self._end: Unavailable | None = None
        self._message: Message | None = None  # whose data set is on its way, and where that goes:
        self._sink: Sink | None = None
        self._identifier: bytearray | None = None
        self._message_id = 0

    @property
    def contexts(self) -> Mapping[int, Context]:
        """Return the accepted presentation contexts."""
        return self._association.contexts

    def context(self, sop_class: str) -> Context:
        """Return an accepted context of which the client is the user; raise `Unavailable` where there is none."""
        for context in self.contexts.values():
            if context.abstract_syntax == sop_class and context.scu:
                return context
        raise Unavailable(Reason.PEER_REFUSED, "The peer does not take part in this service.")

    # From the beginning to the end.

    async def open(self, request: AssociateRequest) -> None:
        """Connect, and ask for the association; raise `Unavailable` where there comes none of it."""
        waits = self.peer.timeouts
        try:
            async with asyncio.timeout(waits.connect):
                _, self._wire = await self._loop.create_connection(
                    lambda: Wire(self._association, self, artim=waits.release),
                    self.peer.host,
                    self.peer.port,
                    ssl=self.peer.tls,
                    ssl_shutdown_timeout=waits.release if self.peer.tls else None,
                )
        except (OSError, TimeoutError) as error:  # an error of TLS is an OSError too
            raise Unavailable(Reason.PEER_AWAY, errno=_number(error)) from None
        await self._ask(request)

    async def _ask(self, request: AssociateRequest) -> None:
        try:
            self._association.request(request)
            self.wire.flush()
            async with asyncio.timeout(self.peer.timeouts.association):
                while self._association.state is State.AWAITING_ACCEPT and self._end is None:
                    await self._woken()
        except Misuse:
            self._fail(Unavailable(Reason.PEER_ABORTED))  # gone before anything was said
        except TimeoutError:
            self.abort()
            self._end = Unavailable(Reason.PEER_AWAY, "The peer does not answer the request for an association.")
        except BaseException:
            self.cut()
            raise
        lack = self._lack(request) if self._end is None else ""
        if lack:
            self._end = Unavailable(Reason.PEER_REFUSED, lack)
            await self.release()
        if self._end is not None:
            await self._gone()
            raise self._end

    def _lack(self, request: AssociateRequest) -> str:
        """Tell what the peer's acceptance lacks, so that it is none: contexts, a response to the identity, flags."""
        if not self.contexts:
            return "The peer accepts no presentation context."
        identity, granted = request.user.identity, dict(self.answered.extended)
        if identity is not None and identity.response_requested and self.answered.identity_response is None:
            return "The peer does not say that it knows the user."
        taken = {context.abstract_syntax for context in self.contexts.values()}
        for sop_class, asked in request.user.extended:
            given = granted.get(sop_class, b"").ljust(len(asked), b"\0")
            if sop_class in taken and any(flag and not given[at] for at, flag in enumerate(asked)):
                return "The peer does not grant what is asked for beyond the baseline of the service."
        return ""

    @property
    def wire(self) -> Wire:
        """Return the transport, there being one."""
        if self._wire is None:
            raise Unavailable(Reason.PEER_AWAY)
        return self._wire

    @property
    def is_open(self) -> bool:
        """Tell whether messages can be sent."""
        return self._association.state is State.ESTABLISHED

    async def release(self) -> None:
        """End the association in order if the peer lets it, else by an abort."""
        if self.is_open:
            self._association.release()
            self.wire.flush()
        await self._gone()

    def abort(self) -> None:
        """End it at once."""
        if self._association.state not in {State.IDLE, State.AWAITING_CLOSE}:
            self._association.abort()
            self.wire.flush()
        self._fail(Unavailable(Reason.PEER_ABORTED))

    def cut(self) -> None:
        """End it at once without waiting for anything."""
        self.abort()
        self.wire.cut()

    async def _gone(self) -> None:
        """Wait until the transport is closed, and see to it that it is."""
        try:
            async with asyncio.timeout(self.peer.timeouts.release):
                await self.wire.closed()
        except TimeoutError:
            pass
        finally:
            self.wire.cut()
        await self.wire.closed()

    # Messages.

    async def finish(self) -> None:
        """Bring the operation in hand to its end, so that another can begin."""
        unfinished, self.unfinished = self.unfinished, None
        if unfinished is not None:
            await unfinished()

    async def ask(
        self,
        kind: Field,
        context: Context,
        values: Mapping[int, int | str] | None = None,
        data: Iterable[Buffer] | None = None,
        sent: Callable[[int], None] | None = None,
    ) -> int:
        """Send a request; return its Message ID."""
        if self._end is not None:
            raise self._end
        self._message_id = self._message_id % 0xFFFF + 1
        command = dimse.request(kind, self._message_id, context.abstract_syntax, values, has_data=data is not None)
        try:
            await self.wire.send(context.id, command, data or (), patience=self.peer.timeouts.response, sent=sent)
        except Unavailable as error:
            raise self._fail(error) from None
        except BaseException:
            self.abort()  # half a message has been sent, and nothing can follow it
            raise
        return self._message_id

    def cancel(self, context: Context, message_id: int) -> None:
        """Ask the peer to end an operation (PS3.7 section 9.3.2.3); its final response still follows."""
        self._tell(context, dimse.cancel(message_id))

    async def response(self, message_id: int) -> Response:
        """Return the next response to a request; instances that come first go to their sinks."""
        while True:
            item = await self._next()
            if isinstance(item, Received):
                await self._settle(item)
            elif item.command.message_id == message_id:
                return item

    async def _settle(self, item: Received) -> None:
        """Answer for an instance once its sink says what to answer."""
        try:
            ended = item.sink.end()
            status = ended if isinstance(ended, int) else await ended
        except Unavailable:
            status = Status.OUT_OF_RESOURCES
        self._tell(item.context, item.command.response(status))

    def _tell(self, context: Context, command: Command) -> None:
        if self.is_open:
            self._association.send(context.id, command)
            self.wire.flush()

    async def _next(self) -> Response | Received:
        while not self._inbox:
            if self._end is not None:
                raise self._end
            await self._patiently()
        item = self._inbox.popleft()
        if self._paused and len(self._inbox) <= _FEW:
            self._paused = False
            self.wire.resume()
        return item

    # Waiting.

    async def _patiently(self) -> None:
        """Wait until something happens; the watchdog sees to it that something does."""
        self._waits_since = self._loop.time()
        if self._watchdog is None:
            self._look_again(self._association.pdus, self._waits_since)
        await self._woken()

    async def _woken(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _look_again(self, begun: int, since: float) -> None:
        """Look when the peer's time is up, unless it begins another PDU; one timer serves any number of messages."""
        due = since + self.peer.timeouts.response
        self._watchdog = self._loop.call_at(due, self._look, begun)

    def _look(self, begun: int) -> None:
        self._watchdog = None
        now = self._loop.time()
        if self._waiter is None or self._end is not None:
            return
        if self._association.pdus != begun:
            self._look_again(self._association.pdus, now)
        elif now < self._waits_since + self.peer.timeouts.response:
            self._look_again(begun, self._waits_since)
        else:
            self._fail(Unavailable(Reason.PEER_AWAY, "The peer does not answer."))
            self.cut()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Unavailable) -> Unavailable:
        """Note how it ended, unless that is known; leave nothing of what was on its way."""
        if self._end is None:
            self._end = error
            if self._sink is not None:
                self._sink.abandon()
                self._sink = None
            for item in self._inbox:
                if isinstance(item, Received):
                    item.sink.abandon()
            self._inbox = deque(item for item in self._inbox if isinstance(item, Response))
        self._wake()
        return self._end

    # What the transport calls (`Handler`).

    def happened(self, event: Event) -> None:
        """Take an event."""
        try:
            self._take(event)
        except Exception as error:  # noqa: BLE001 - the event loop would log its text, which may carry a value
            log.error("an association is ended by a fault: %s", place_of(error))  # noqa: TRY400 - likewise
            self._fail(Unavailable(Reason.INTERNAL_ERROR))
            self.abort()

    def _take(self, event: Event) -> None:
        if isinstance(event, Data):
            self._data(event)
        elif isinstance(event, Message):
            self._begin(event)
        elif isinstance(event, Accepted):
            self.answered = event.accept.user
            self._wake()
        elif isinstance(event, Rejected):
            why = event.reject
            self._fail(Unavailable(Reason.PEER_REFUSED, result=why.result, source=why.source, reason_code=why.reason))
        elif isinstance(event, Aborted):
            self._fail(_aborted(event))
        elif isinstance(event, ReleaseRequested):
            if self._association.state is not State.COLLISION_ACCEPTOR:
                self._association.release_response()
            self._fail(Unavailable(Reason.PEER_ABORTED, "The peer released the association."))
        elif isinstance(event, Released):
            self._fail(Unavailable(Reason.PEER_ABORTED, "The association has ended."))

    def lost(self) -> None:
        """Note that the transport is gone."""
        self._fail(Unavailable(Reason.PEER_ABORTED))
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def _begin(self, message: Message) -> None:
        context, command = message
        self._message = message
        if command.is_response:
            if command.has_data:
                self._identifier = bytearray()
            else:
                self._put(Response(context, command))
        elif command.field == Field.C_STORE_RQ and command.has_data:
            self._sink = self._sink_of(context, command)
        elif command.field != Field.C_CANCEL_RQ:
            self._association.send(context.id, command.response(Status.UNRECOGNIZED_OPERATION))

    def _sink_of(self, context: Context, command: Command) -> Sink | None:
        """Return where an instance goes; None where it is refused, which is said once it is there."""
        if self.receiver is None or not context.scp or command.sop_class != context.abstract_syntax:
            return None
        arriving = Arriving(
            sop_class=command.sop_class,
            sop_instance=command.sop_instance,
            transfer_syntax=context.transfer_syntax,
            calling=self.peer.ae_title,
            called=self.peer.calling_ae_title,
            address=self.wire.address,
        )
        try:
            return self.receiver.begin(arriving)
        except Unavailable:
            return None

    def _data(self, event: Data) -> None:
        view, last = event
        if self._identifier is not None:
            self._identifier += view
            if len(self._identifier) > _LARGEST_IDENTIFIER:
                self._fail(Unavailable(Reason.PEER_PROTOCOL, "The peer's identifier is too long."))
                self.abort()
        elif self._sink is not None:
            try:
                self._sink.write(view)
            except Unavailable:
                self._sink.abandon()
                self._sink = None
        if last and self._message is not None:
            self._complete(*self._message)

    def _complete(self, context: Context, command: Command) -> None:
        identifier, self._identifier = self._identifier, None
        sink, self._sink = self._sink, None
        if identifier is not None:
            self._put(Response(context, command, bytes(identifier)))
        elif sink is not None:
            self._put(Received(context, command, sink))
        elif command.field == Field.C_STORE_RQ:
            refused = Status.SOP_CLASS_NOT_SUPPORTED if self.receiver is None else Status.OUT_OF_RESOURCES
            self._association.send(context.id, command.response(refused))

    def _put(self, item: Response | Received) -> None:
        self._inbox.append(item)
        if len(self._inbox) > _ENOUGH and not self._paused:
            self._paused = True
            self.wire.pause()
        self._wake()


def _aborted(event: Aborted) -> Unavailable:
    """Return what an abort means: the peer's, ours for what it sent, or a transport that is gone."""
    if event.abort is None:
        return Unavailable(Reason.PEER_ABORTED, "The connection to the peer is gone.")
    reason = Reason.PEER_ABORTED if event.by_peer else Reason.PEER_PROTOCOL
    return Unavailable(reason, source=event.abort.source, reason_code=event.abort.reason)


def _number(error: Exception) -> int:
    return (error.errno or 0) if isinstance(error, OSError) else 0

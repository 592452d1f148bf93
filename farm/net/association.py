"""One end of an association, without I/O: bytes in, events out; primitives in, bytes out (PS3.8, PS3.7).

A shell owns the transport. It hands on what it reads (`receive`), that the transport is open or closed, and that the
timer ran out; it sends what `outgoing` gives, lets the ARTIM timer run while `timer` is true, and closes the transport
once `done` is true. What may happen when is decided by `machine.TABLE` alone.

Data sets are never held: their fragments are events with views of the bytes that `receive` was given, valid until it
returns to its caller and the buffer is used again. Limits hold at the header of a PDU, before anything of it is kept.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from farm.net import dimse, machine, negotiation, pdu
from farm.net.dimse import Command
from farm.net.errors import AbortReason, Misuse, Violation
from farm.net.framing import Control, Fragment, Framer
from farm.net.machine import NEXT, TABLE, State
from farm.net.negotiation import Context, Refusal
from farm.net.pdu import Abort, AssociateAccept, AssociateReject, AssociateRequest, Pdu

_USER, _PROVIDER = 0, 2
_DATA_HEADER = struct.Struct(">BxLLBB")  # of a P-DATA-TF with one presentation data value
_OVERHEAD = 6  # a presentation data value's own header counts towards the maximum length (PS3.8 annex D.1)
_COMMAND_LAST = 3  # message control header of a command set's only fragment (PS3.8 annex E.2)
_UNLIMITED = 131_072  # bytes in a PDU to a peer that takes any


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is taken from a peer, in bytes: P-DATA-TF PDUs, other PDUs, command sets."""

    pdu: int = 131_072
    control: int = 262_144
    command: int = 16_384


class Requested(NamedTuple):
    """A peer asks for an association: answer by `accept` or `reject`."""

    request: AssociateRequest


class Accepted(NamedTuple):
    """The association that was asked for is there; `contexts` says for what."""

    accept: AssociateAccept


class Rejected(NamedTuple):
    """The association that was asked for is refused."""

    reject: AssociateReject


class Message(NamedTuple):
    """A command set has come; where it `has_data`, the data set's fragments follow."""

    context: Context
    command: Command


class Data(NamedTuple):
    """A piece of the data set of the last message; the view is valid for a short time only."""

    data: memoryview
    last: bool


class ReleaseRequested(NamedTuple):
    """The peer wants to release the association: answer by `release_response`.

    Only an acceptor that has asked for release too waits with that for `Released` (PS3.8 section 7.2.2.2).
    """


class Released(NamedTuple):
    """The association has ended in order."""


class Aborted(NamedTuple):
    """The association has ended otherwise: the peer's A-ABORT, our own because of a violation, or a lost transport."""

    by_peer: bool
    abort: Abort | None


Event = Requested | Accepted | Rejected | Message | Data | ReleaseRequested | Released | Aborted

_PDU_EVENTS: dict[int, machine.Event] = {
    Pdu.ASSOCIATE_RQ: machine.Event.ASSOCIATE_RQ_PDU,
    Pdu.ASSOCIATE_AC: machine.Event.ASSOCIATE_AC_PDU,
    Pdu.ASSOCIATE_RJ: machine.Event.ASSOCIATE_RJ_PDU,
    Pdu.P_DATA_TF: machine.Event.P_DATA_PDU,
    Pdu.RELEASE_RQ: machine.Event.RELEASE_RQ_PDU,
    Pdu.RELEASE_RP: machine.Event.RELEASE_RP_PDU,
    Pdu.ABORT: machine.Event.ABORT_PDU,
}
_PARSERS: dict[int, Callable[[bytes], AssociateRequest | AssociateAccept | AssociateReject | Abort]] = {
    Pdu.ASSOCIATE_RQ: pdu.parse_request,
    Pdu.ASSOCIATE_AC: pdu.parse_accept,
    Pdu.ASSOCIATE_RJ: pdu.parse_reject,
    Pdu.ABORT: pdu.parse_abort,
}
_FOUR_BYTES = frozenset({Pdu.ASSOCIATE_RJ, Pdu.RELEASE_RQ, Pdu.RELEASE_RP, Pdu.ABORT})
_ABORTING = frozenset({"AA-1", "AA-7", "AA-8"})
_DATA_STATES = frozenset({State.ESTABLISHED, State.AWAITING_RELEASE})


class _Unexpected(Violation):
    """A PDU that the state does not allow; `event` is what it is in the table."""

    def __init__(self, event: machine.Event) -> None:
        super().__init__(AbortReason.UNEXPECTED_PDU)
        self.event = event


class Association:
    """The protocol's state, and what is on its way through it."""

    def __init__(self, *, is_requestor: bool, limits: Limits | None = None) -> None:
        self.state = State.IDLE
        self.timer = False
        """Whether the ARTIM timer runs (PS3.8 section 9.1.5)."""
        self.contexts: dict[int, Context] = {}
        """The accepted presentation contexts, once there is an association."""
        self._is_requestor = is_requestor
        self._limits = limits or Limits()
        self._framer = Framer(self._opened)
        self._request: AssociateRequest | None = None
        self._most = 0  # bytes of the largest PDU that the peer takes
        self._out: list[bytes] = []
        self._events: list[Event] = []
        self._deaf = False
        self._command = bytearray()
        self._command_context = 0
        self._awaits_data = 0  # the context of a message whose data set is not at its end

    # What the transport says.

    def transport_open(self) -> None:
        """Note that the transport connection is there (Evt1 and Evt2, or Evt5)."""
        if self._is_requestor:
            self._act(machine.Event.ASSOCIATE_REQUEST)
        else:
            self._act(machine.Event.TRANSPORT_INDICATION)
            self.timer = True

    def transport_closed(self) -> list[Event]:
        """Note that the transport connection is gone, by whomever (Evt17)."""
        if self.state is not State.IDLE:
            told = self._act(machine.Event.TRANSPORT_CLOSED) == "AA-4"
            self.timer = False
            if told:
                self._events.append(Aborted(by_peer=False, abort=None))
        return self._taken()

    def timer_expired(self) -> None:
        """Note that the ARTIM timer ran out (Evt18): the transport has to be closed."""
        self._act(machine.Event.TIMER_EXPIRED)
        self.timer = False

    def receive(self, data: bytes | memoryview) -> list[Event]:
        """Take bytes from the transport; return what they say, in order. They say nothing where no transport is open.

        Raise `Misuse` where the association has not been asked for yet: a peer has nothing to say before.
        """
        if self._deaf or self.done:
            return []
        if self.state is State.AWAITING_TRANSPORT:
            raise Misuse("bytes cannot come in AWAITING_TRANSPORT")
        try:
            for found in self._framer.feed(memoryview(data)):
                if type(found) is Fragment:
                    if self.state in _DATA_STATES:
                        self._fragment(found)
                elif type(found) is Control:
                    self._control(*found)
                if self.done:  # what follows the end is nothing
                    self._deaf = True
                    break
        except Violation as violation:
            self._violated(violation)
        return self._taken()

    @property
    def done(self) -> bool:
        """Tell whether the transport has to be closed, once `outgoing` has been sent."""
        return self.state is State.IDLE

    def outgoing(self) -> bytes:
        """Take what has to be sent."""
        out = b"".join(self._out)
        self._out.clear()
        return out

    @property
    def pdus(self) -> int:
        """Return how many PDUs the peer has begun: one that only drips bytes begins none."""
        return self._framer.begun

    @property
    def is_between(self) -> bool:
        """Tell whether the last PDU has come to its end."""
        return self._framer.is_between

    @property
    def is_resting(self) -> bool:
        """Tell whether the peer has no message on its way."""
        return not self._command and not self._awaits_data and self._framer.is_between

    # What the local user wants.

    def request(self, request: AssociateRequest) -> None:
        """Ask for an association, the transport being open."""
        self._act(machine.Event.TRANSPORT_CONFIRM)
        self._request = request
        self._out.append(pdu.request(request))

    def accept(self, accept: AssociateAccept) -> None:
        """Grant the association that the peer asked for."""
        self._act(machine.Event.ASSOCIATE_ACCEPT)
        self._agree(accept)
        self._out.append(pdu.accept(accept))

    def reject(self, refusal: Refusal) -> None:
        """Refuse it."""
        self._act(machine.Event.ASSOCIATE_REJECT)
        self.timer = True
        self._out.append(pdu.reject(refusal.pdu))

    def release(self) -> None:
        """Ask for the release of the association."""
        self._act(machine.Event.RELEASE_REQUEST)
        self._out.append(pdu.release_request())

    def release_response(self) -> None:
        """Agree to the release that the peer asked for."""
        if self._act(machine.Event.RELEASE_RESPONSE) == "AR-4":
            self.timer = True
        self._out.append(pdu.release_response())

    def abort(self) -> None:
        """End the association at once."""
        if self._act(machine.Event.ABORT_REQUEST) == "AA-1":
            self._send_abort(_USER, AbortReason.NOT_SPECIFIED)

    def message(
        self, context_id: int, command: Command, data: Iterable[bytes | memoryview] = ()
    ) -> Iterator[list[bytes | memoryview]]:
        """Yield a message as PDUs, each as buffers to be sent in one write; none is copied.

        `data`: the data set in pieces of any size, drawn as the PDUs are; only where the command says that it has one.
        """
        if context_id not in self.contexts:
            raise Misuse("there is no such presentation context")
        yield from self._pdus(context_id, 1, [dimse.encode(command)])
        if command.has_data:
            yield from self._pdus(context_id, 0, data)

    def send(self, context_id: int, command: Command, data: bytes = b"") -> None:
        """Put a small message among what is outgoing."""
        encoded = dimse.encode(command)
        size = len(encoded) + _OVERHEAD
        if context_id in self.contexts and not command.has_data and size <= self._most:  # most responses
            self._act(machine.Event.P_DATA_REQUEST)
            self._out.append(_DATA_HEADER.pack(Pdu.P_DATA_TF, size, size - 4, context_id, _COMMAND_LAST) + encoded)
            return
        for buffers in self.message(context_id, command, [data]):
            self._out.extend(bytes(buffer) for buffer in buffers)

    # Within.

    def _act(self, event: machine.Event, which: int = 0) -> str:
        """Take the action of the table's cell and go where it leads; raise `Misuse` where the cell is blank."""
        action = TABLE.get((event, self.state))
        if action is None:
            raise Misuse(f"{event.name} cannot happen in {self.state.name}")
        after = NEXT[action]
        self.state = after[which if len(after) > 1 else 0]
        return action

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def _opened(self, kind: int, length: int) -> None:
        """Judge a PDU by its header: whether it is known, may come now, and may be so long."""
        event = _PDU_EVENTS.get(kind)
        if event is None:
            raise Violation(AbortReason.UNRECOGNIZED_PDU)
        most = self._limits.pdu if kind == Pdu.P_DATA_TF else self._limits.control
        if not length or length > most or (kind in _FOUR_BYTES and length != 4):
            raise Violation(AbortReason.INVALID_PARAMETER)
        if TABLE[event, self.state] in _ABORTING:
            raise _Unexpected(event)

    def _violated(self, violation: Violation) -> None:
        """Abort because of what the peer sent, and hear nothing more of it."""
        self._deaf = True
        event = violation.event if isinstance(violation, _Unexpected) else machine.Event.INVALID_PDU
        action = self._act(event)
        if action == "AA-8":
            abort = Abort(source=_PROVIDER, reason=violation.reason)
            self._events.append(Aborted(by_peer=False, abort=abort))
        if action == "AA-1":  # before there is an association the abort has the user's name, which gives no reason
            self._send_abort(_USER, AbortReason.NOT_SPECIFIED)
        else:
            self._send_abort(_PROVIDER, violation.reason)

    def _send_abort(self, source: int, reason: int) -> None:
        self.timer = True
        self._out.append(pdu.abort(Abort(source=source, reason=reason)))

    def _control(self, kind: int, body: bytes) -> None:
        """Take a PDU other than P-DATA-TF: parse it, then do what the table says."""
        event = _PDU_EVENTS[kind]
        parse = _PARSERS.get(kind)
        said = parse(body) if parse else None
        action = self._act(event, 0 if self._is_requestor else 1)
        if isinstance(said, AssociateRequest) and action == "AE-6":
            self.timer, self._request = False, said
            self._events.append(Requested(said))
        elif isinstance(said, AssociateAccept) and action == "AE-3":
            self._agree(said)
            self._events.append(Accepted(said))
        elif isinstance(said, AssociateReject) and action == "AE-4":
            self._events.append(Rejected(said))
        elif isinstance(said, Abort):
            self.timer = False
            if action == "AA-3":
                self._events.append(Aborted(by_peer=True, abort=said))
        elif action in {"AR-2", "AR-8"}:
            self._events.append(ReleaseRequested())
        elif action in {"AR-3", "AR-10"}:
            self._events.append(Released())

    def _agree(self, accept: AssociateAccept) -> None:
        if self._request is not None:
            other = accept if self._is_requestor else self._request
            self._most = other.user.maximum_length or _UNLIMITED
            self.contexts = negotiation.agreed(self._request, accept)

    def _fragment(self, piece: Fragment) -> None:
        """Take a piece of a message, and see that it belongs there (PS3.7 section 6.3, PS3.8 annex E)."""
        context_id, is_command, last, data = piece
        if not is_command:
            if not self._awaits_data or context_id != self._awaits_data:
                raise Violation(AbortReason.UNEXPECTED_PARAMETER)
            if last:
                self._awaits_data = 0
            self._events.append(Data(data, last))
            return
        context = self.contexts.get(context_id)
        if context is None or self._awaits_data or (self._command and context_id != self._command_context):
            raise Violation(AbortReason.UNEXPECTED_PARAMETER)
        self._command_context = context_id
        self._command += data
        if len(self._command) > self._limits.command:
            raise Violation(AbortReason.INVALID_PARAMETER)
        if last:
            command = dimse.decode(bytes(self._command))
            self._command.clear()
            self._awaits_data = context_id if command.has_data else 0
            self._events.append(Message(context, command))

    def _pdus(
        self, context_id: int, flags: int, pieces: Iterable[bytes | memoryview]
    ) -> Iterator[list[bytes | memoryview]]:
        """Yield P-DATA-TF PDUs of one fragment each, filled up to what the peer takes."""
        most = max(self._most - _OVERHEAD, 2) & ~1  # fragments have even lengths (PS3.8 annex E)
        gathered: list[bytes | memoryview] = []
        size = 0
        for piece in pieces:
            view = memoryview(piece)
            while view:
                if size == most:
                    yield self._data_pdu(context_id, flags, size, gathered)
                    gathered, size = [], 0
                part, view = view[: most - size], view[most - size :]
                gathered.append(part)
                size += len(part)
        yield self._data_pdu(context_id, flags | 2, size, gathered)

    def _data_pdu(
        self, context_id: int, flags: int, size: int, buffers: list[bytes | memoryview]
    ) -> list[bytes | memoryview]:
        self._act(machine.Event.P_DATA_REQUEST)
        return [_DATA_HEADER.pack(Pdu.P_DATA_TF, size + _OVERHEAD, size + 2, context_id, flags), *buffers]

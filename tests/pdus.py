"""Associations brought into each state by what really leads there, and PDUs, messages and traces drawn at random.

What is built here is built by hand, not by the code under test, wherever a test takes it as the truth.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from hypothesis import strategies as st

from farm.net import dimse, pdu
from farm.net.association import Association
from farm.net.dimse import Command, Field, Tag
from farm.net.machine import State
from farm.net.negotiation import Offer
from farm.net.pdu import (
    APPLICATION_CONTEXT,
    AnsweredContext,
    AssociateAccept,
    AssociateRequest,
    Identity,
    ProposedContext,
    Role,
    User,
)

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
ECHO = dimse.request(Field.C_ECHO_RQ, 1, VERIFICATION, has_data=False)
STORE = dimse.request(Field.C_STORE_RQ, 2, CT, {Tag.PRIORITY: 0, Tag.AFFECTED_SOP_INSTANCE: "1.2.3"}, has_data=True)
OFFER = Offer(supports=lambda _: True)
REQUEST = AssociateRequest(
    called="ACCEPTOR",
    calling="REQUESTOR",
    contexts=(
        ProposedContext(id=1, abstract_syntax=CT, transfer_syntaxes=(EXPLICIT,)),
        ProposedContext(id=3, abstract_syntax=VERIFICATION, transfer_syntaxes=(IMPLICIT,)),
    ),
    user=User(maximum_length=16_384),
)
ACCEPT = AssociateAccept(
    called="ACCEPTOR",
    calling="REQUESTOR",
    contexts=(
        AnsweredContext(id=1, result=0, transfer_syntax=EXPLICIT),
        AnsweredContext(id=3, result=0, transfer_syntax=IMPLICIT),
    ),
    user=User(maximum_length=16_384),
)
REQUEST_BYTES, ACCEPT_BYTES = pdu.request(REQUEST), pdu.accept(ACCEPT)
REJECT_BYTES = b"\3\0\0\0\0\4\0\1\1\1"
RELEASE_RQ = b"\5\0\0\0\0\4\0\0\0\0"
RELEASE_RP = b"\6\0\0\0\0\4\0\0\0\0"
ABORT = b"\7\0\0\0\0\4\0\0\0\0"


def header(kind: int, length: int) -> bytes:
    """Return the first six bytes of a PDU."""
    return struct.pack(">BxL", kind, length)


def value(context_id: int, flags: int, data: bytes) -> bytes:
    """Return a presentation data value; `flags` 1: of a command set, 2: the last."""
    return struct.pack(">LBB", len(data) + 2, context_id, flags) + data


def p_data(*values: bytes) -> bytes:
    """Return a P-DATA-TF of presentation data values."""
    body = b"".join(values)
    return header(4, len(body)) + body


ECHO_BYTES = p_data(value(3, 3, dimse.encode(ECHO)))
STORE_BYTES = p_data(value(1, 3, dimse.encode(STORE)), value(1, 2, b"data"))


def cut(stream: bytes) -> Iterator[bytes]:
    """Yield the PDUs of a stream that holds whole ones."""
    while stream:
        length = 6 + int.from_bytes(stream[2:6], "big")
        assert len(stream) >= length
        yield stream[:length]
        stream = stream[length:]


# States.

Step = Callable[[Association], object]
_OPEN: list[Step] = [Association.transport_open]
_AS_REQUESTOR: list[Step] = [*_OPEN, lambda it: it.request(REQUEST), lambda it: it.receive(ACCEPT_BYTES)]
_AS_ACCEPTOR: list[Step] = [*_OPEN, lambda it: it.receive(REQUEST_BYTES), lambda it: it.accept(ACCEPT)]


def _asked(it: Association) -> object:
    return it.receive(RELEASE_RQ)


def _agreed(it: Association) -> object:
    return it.receive(RELEASE_RP)


_LATER: dict[State, list[Step]] = {
    State.ESTABLISHED: [],
    State.AWAITING_RELEASE: [Association.release],
    State.AWAITING_LOCAL_RELEASE: [_asked],
    State.AWAITING_CLOSE: [Association.abort],
}
_COLLIDED: list[Step] = [Association.release, _asked]
WAYS: dict[tuple[State, bool], list[Step]] = {
    (State.IDLE, True): [],
    (State.AWAITING_TRANSPORT, True): _AS_REQUESTOR[:1],
    (State.AWAITING_ACCEPT, True): _AS_REQUESTOR[:2],
    **{(state, True): _AS_REQUESTOR + later for state, later in _LATER.items()},
    (State.COLLISION_REQUESTOR_LOCAL, True): _AS_REQUESTOR + _COLLIDED,
    (State.COLLISION_REQUESTOR, True): [*_AS_REQUESTOR, *_COLLIDED, Association.release_response],
    (State.IDLE, False): [],
    (State.TRANSPORT_OPEN, False): _AS_ACCEPTOR[:1],
    (State.AWAITING_LOCAL_RESPONSE, False): _AS_ACCEPTOR[:2],
    **{(state, False): _AS_ACCEPTOR + later for state, later in _LATER.items()},
    (State.COLLISION_ACCEPTOR, False): _AS_ACCEPTOR + _COLLIDED,
    (State.COLLISION_ACCEPTOR_LOCAL, False): [*_AS_ACCEPTOR, *_COLLIDED, _agreed],
}
"""How each state comes about, by state and whether for the requestor."""


def brought(state: State, *, is_requestor: bool) -> Association:
    """Return an association in a state, nothing outgoing; it has heard everything that came so far."""
    association = Association(is_requestor=is_requestor)
    for step in WAYS[state, is_requestor]:
        step(association)
    association.outgoing()
    assert association.state is state
    return association


# Values.

UIDS = st.integers(0, 10**15).map(lambda number: f"1.2.{number}")  # of odd and even length
_PRINTABLE = st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="\\")
TEXTS = st.text(_PRINTABLE, min_size=1, max_size=16)
_BYTES = st.binary(min_size=1, max_size=40)
ROLES = st.builds(Role, sop_class=UIDS, scu=st.booleans(), scp=st.booleans())
IDENTITIES = st.builds(
    Identity, kind=st.integers(1, 5), primary=_BYTES, secondary=st.just(b""), response_requested=st.booleans()
) | st.builds(Identity, kind=st.just(2), primary=_BYTES, secondary=_BYTES, response_requested=st.booleans())
_WINDOWS = st.none() | st.tuples(st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
_COMMON = {
    "maximum_length": st.integers(0, 0xFFFFFFFF),
    "implementation_class": UIDS,
    "implementation_version": TEXTS,
    "asynchronous_operations": _WINDOWS,
    "roles": st.lists(ROLES, max_size=3).map(tuple),
    "extended": st.lists(st.tuples(UIDS, _BYTES), max_size=3).map(tuple),
}
REQUEST_USERS = st.builds(
    User,
    **_COMMON,
    common_extended=st.lists(st.tuples(UIDS, UIDS, st.lists(UIDS, max_size=3).map(tuple)), max_size=2).map(tuple),
    identity=st.none() | IDENTITIES,
)
ACCEPT_USERS = st.builds(User, **_COMMON, identity_response=st.none() | _BYTES)


@st.composite
def requests(draw: st.DrawFn) -> AssociateRequest:
    """Draw an A-ASSOCIATE-RQ that holds to PS3.8."""
    ids = draw(st.lists(st.integers(0, 127).map(lambda n: 2 * n + 1), min_size=1, max_size=6, unique=True))
    syntaxes = st.lists(UIDS, min_size=1, max_size=4).map(tuple)
    return AssociateRequest(
        called=draw(TEXTS),
        calling=draw(TEXTS),
        contexts=tuple(
            ProposedContext(id=one, abstract_syntax=draw(UIDS), transfer_syntaxes=draw(syntaxes)) for one in ids
        ),
        user=draw(REQUEST_USERS),
        application_context=draw(st.just(APPLICATION_CONTEXT) | UIDS),
        protocol_version=1,
    )


@st.composite
def accepts(draw: st.DrawFn) -> AssociateAccept:
    """Draw an A-ASSOCIATE-AC that holds to PS3.8."""
    ids = draw(st.lists(st.integers(0, 127).map(lambda n: 2 * n + 1), min_size=1, max_size=6, unique=True))
    return AssociateAccept(
        called=draw(TEXTS),
        calling=draw(TEXTS),
        contexts=tuple(
            AnsweredContext(id=one, result=draw(st.integers(0, 4)), transfer_syntax=draw(UIDS)) for one in ids
        ),
        user=draw(ACCEPT_USERS),
        application_context=APPLICATION_CONTEXT,
        protocol_version=1,
    )


_UID_TAGS = [Tag.AFFECTED_SOP_CLASS, Tag.REQUESTED_SOP_CLASS, Tag.AFFECTED_SOP_INSTANCE, Tag.REQUESTED_SOP_INSTANCE]
_TEXT_TAGS = [Tag.MOVE_DESTINATION, Tag.ERROR_COMMENT, Tag.MOVE_ORIGINATOR]
_NUMBER_TAGS = [tag for tag in Tag if tag not in {*_UID_TAGS, *_TEXT_TAGS, Tag.COMMAND_FIELD}]


@st.composite
def commands(draw: st.DrawFn) -> Command:
    """Draw a command set with any of the elements that are known."""
    values: dict[int, int | str] = {}
    for tags, drawn in ((_UID_TAGS, UIDS), (_TEXT_TAGS, TEXTS), (_NUMBER_TAGS, st.integers(0, 0xFFFF))):
        values |= draw(st.dictionaries(st.sampled_from(tags), drawn))
    return Command(field=draw(st.sampled_from(list(Field))), values=values)


# Traces.


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What a peer sends on an established association: PDUs, and the messages that they say."""

    pdus: tuple[bytes, ...]
    messages: tuple[tuple[Command, bytes], ...]


def _pieces(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """Cut bytes at random places, which may coincide."""
    at = sorted(draw(st.lists(st.integers(0, len(data)), max_size=4)))
    return [data[start:stop] for start, stop in zip([0, *at], [*at, len(data)], strict=True)]


def _values(draw: st.DrawFn, command: Command, data: bytes) -> Iterator[bytes]:
    context_id = 1 if command.has_data else 3
    parts = [(1, dimse.encode(command)), (0, data)] if command.has_data else [(1, dimse.encode(command))]
    for flag, whole in parts:
        *before, last = _pieces(draw, whole)
        yield from (value(context_id, flag, piece) for piece in before)
        yield value(context_id, flag | 2, last)


@st.composite
def traces(draw: st.DrawFn) -> Trace:
    """Draw messages in fragments of any size, several to a PDU, across the messages' borders too; then an end."""
    message = st.just((ECHO, b"")) | st.tuples(st.just(STORE), st.binary(max_size=600))
    messages = draw(st.lists(message, max_size=4))
    values = [one for command, data in messages for one in _values(draw, command, data)]
    pdus = []
    while values:
        many = draw(st.integers(1, 6))
        pdus.append(p_data(*values[:many]))
        values = values[many:]
    end = draw(st.sampled_from([(), (RELEASE_RQ,), (ABORT,), (RELEASE_RQ, ABORT), (ABORT, ECHO_BYTES)]))
    return Trace(pdus=(*pdus, *end), messages=tuple(messages))

"""The protocol data units of the upper layer, parsed and built (PS3.8 section 9.3, PS3.7 annex D.3.3).

Every length inside a PDU is checked against what holds it. What a peer may add in later editions (items that are not
known here) is passed over, as PS3.8 section 9.3.1 asks. P-DATA-TF is not here but in `framing`: its content is never
held as a whole.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

from farm.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION
from farm.net.errors import AbortReason, Violation

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"
_HEADER = struct.Struct(">BxL")
_ITEM = struct.Struct(">BxH")
_FIXED = struct.Struct(">H2x16s16s32x")  # protocol version, called and calling AE title


class Pdu(IntEnum):
    """The types of PDU."""

    ASSOCIATE_RQ = 1
    ASSOCIATE_AC = 2
    ASSOCIATE_RJ = 3
    P_DATA_TF = 4
    RELEASE_RQ = 5
    RELEASE_RP = 6
    ABORT = 7


class _Item(IntEnum):
    APPLICATION_CONTEXT = 0x10
    CONTEXT_RQ = 0x20
    CONTEXT_AC = 0x21
    ABSTRACT_SYNTAX = 0x30
    TRANSFER_SYNTAX = 0x40
    USER_INFORMATION = 0x50
    MAXIMUM_LENGTH = 0x51
    IMPLEMENTATION_CLASS = 0x52
    ASYNCHRONOUS_OPERATIONS = 0x53
    ROLE_SELECTION = 0x54
    IMPLEMENTATION_VERSION = 0x55
    EXTENDED_NEGOTIATION = 0x56
    COMMON_EXTENDED_NEGOTIATION = 0x57
    USER_IDENTITY_RQ = 0x58
    USER_IDENTITY_AC = 0x59


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedContext:
    """A presentation context as proposed: an odd id, a SOP class, and the transfer syntaxes in order of preference."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


class ContextResult(IntEnum):
    """What became of a presentation context (PS3.8 table 9-18)."""

    ACCEPTED = 0
    USER_REJECTION = 1
    NO_REASON = 2
    ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
    TRANSFER_SYNTAXES_NOT_SUPPORTED = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class AnsweredContext:
    """A presentation context as answered; the transfer syntax says something where it was accepted."""

    id: int
    result: int
    transfer_syntax: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Role:
    """Role selection for a SOP class (PS3.7 D.3.3.4): whether the requestor is SCU, SCP or both."""

    sop_class: str
    scu: bool
    scp: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """User identity (PS3.7 D.3.3.7): type 1 name, 2 name and passcode, 3 Kerberos, 4 SAML, 5 JWT."""

    kind: int
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)
    response_requested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """User information. `maximum_length`: of P-DATA-TF PDUs that this side takes, 0 for any."""

    maximum_length: int = 0
    implementation_class: str = IMPLEMENTATION_CLASS_UID.decode()
    implementation_version: str = IMPLEMENTATION_VERSION.decode()
    asynchronous_operations: tuple[int, int] | None = None
    roles: tuple[Role, ...] = ()
    extended: tuple[tuple[str, bytes], ...] = ()
    common_extended: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    identity: Identity | None = None
    identity_response: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateRequest:
    """An A-ASSOCIATE-RQ; application entity titles without their padding."""

    called: str
    calling: str
    contexts: tuple[ProposedContext, ...]
    user: User
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateAccept:
    """An A-ASSOCIATE-AC; the titles are the request's, and say nothing."""

    called: str
    calling: str
    contexts: tuple[AnsweredContext, ...]
    user: User
    application_context: str = APPLICATION_CONTEXT
    protocol_version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociateReject:
    """An A-ASSOCIATE-RJ (PS3.8 table 9-21). `result` 1: permanent, 2: transient; reasons are numbered by source."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """An A-ABORT (PS3.8 table 9-26). `source` 0: the service user, 2: the provider."""

    source: int
    reason: int


Association = AssociateRequest | AssociateAccept

# Building.


def request(pdu: AssociateRequest) -> bytes:
    """Build an A-ASSOCIATE-RQ."""
    contexts = [
        _item(
            _Item.CONTEXT_RQ,
            bytes((context.id, 0, 0, 0)),
            _item(_Item.ABSTRACT_SYNTAX, context.abstract_syntax.encode()),
            *(_item(_Item.TRANSFER_SYNTAX, syntax.encode()) for syntax in context.transfer_syntaxes),
        )
        for context in pdu.contexts
    ]
    return _association(Pdu.ASSOCIATE_RQ, pdu, contexts)


def accept(pdu: AssociateAccept) -> bytes:
    """Build an A-ASSOCIATE-AC."""
    contexts = [
        _item(
            _Item.CONTEXT_AC,
            bytes((context.id, 0, context.result, 0)),
            _item(_Item.TRANSFER_SYNTAX, context.transfer_syntax.encode()),
        )
        for context in pdu.contexts
    ]
    return _association(Pdu.ASSOCIATE_AC, pdu, contexts)


def reject(pdu: AssociateReject) -> bytes:
    """Build an A-ASSOCIATE-RJ."""
    return _built(Pdu.ASSOCIATE_RJ, bytes((0, pdu.result, pdu.source, pdu.reason)))


def release_request() -> bytes:
    """Build an A-RELEASE-RQ."""
    return _built(Pdu.RELEASE_RQ, bytes(4))


def release_response() -> bytes:
    """Build an A-RELEASE-RP."""
    return _built(Pdu.RELEASE_RP, bytes(4))


def abort(pdu: Abort) -> bytes:
    """Build an A-ABORT."""
    return _built(Pdu.ABORT, bytes((0, 0, pdu.source, pdu.reason)))


def _built(kind: Pdu, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _HEADER.pack(kind, len(body)) + body


def _item(kind: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return _ITEM.pack(kind, len(body)) + body


def _association(kind: Pdu, pdu: Association, contexts: list[bytes]) -> bytes:
    fixed = _FIXED.pack(pdu.protocol_version, _title(pdu.called), _title(pdu.calling))
    application = _item(_Item.APPLICATION_CONTEXT, pdu.application_context.encode())
    return _built(kind, fixed, application, *contexts, _item(_Item.USER_INFORMATION, *_user(pdu.user)))


def _title(title: str) -> bytes:
    return title.encode("ascii", "replace")[:16].ljust(16)


def _user(user: User) -> Iterator[bytes]:
    """Yield the items of user information in the order of their types, as PS3.7 annex D.3.3 asks."""
    yield _item(_Item.MAXIMUM_LENGTH, user.maximum_length.to_bytes(4, "big"))
    yield _item(_Item.IMPLEMENTATION_CLASS, user.implementation_class.encode())
    if user.asynchronous_operations is not None:
        yield _item(_Item.ASYNCHRONOUS_OPERATIONS, struct.pack(">HH", *user.asynchronous_operations))
    for role in user.roles:
        yield _item(_Item.ROLE_SELECTION, _sized(role.sop_class.encode()), bytes((role.scu, role.scp)))
    if user.implementation_version:
        yield _item(_Item.IMPLEMENTATION_VERSION, user.implementation_version.encode())
    for uid, information in user.extended:
        yield _item(_Item.EXTENDED_NEGOTIATION, _sized(uid.encode()), information)
    for uid, service, related in user.common_extended:
        general = b"".join(_sized(one.encode()) for one in related)
        yield _item(_Item.COMMON_EXTENDED_NEGOTIATION, _sized(uid.encode()), _sized(service.encode()), _sized(general))
    if user.identity is not None:
        who = user.identity
        flags = bytes((who.kind, who.response_requested))
        yield _item(_Item.USER_IDENTITY_RQ, flags, _sized(who.primary), _sized(who.secondary))
    if user.identity_response is not None:
        yield _item(_Item.USER_IDENTITY_AC, _sized(user.identity_response))


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


# Parsing. Each function takes the PDU's body, without its first six bytes, and raises `Violation`.


def parse_request(body: bytes) -> AssociateRequest:
    """Parse an A-ASSOCIATE-RQ."""
    version, called, calling, items = _opened(body)
    contexts = tuple(_proposed(item) for kind, item in items if kind == _Item.CONTEXT_RQ)
    ids = {context.id for context in contexts}
    if len(ids) != len(contexts) or not all(number & 1 for number in ids):
        raise Violation(AbortReason.INVALID_PARAMETER)
    return AssociateRequest(
        called=called,
        calling=calling,
        contexts=contexts,
        user=_parse_user(items),
        application_context=_application(items),
        protocol_version=version,
    )


def parse_accept(body: bytes) -> AssociateAccept:
    """Parse an A-ASSOCIATE-AC."""
    version, called, calling, items = _opened(body)
    return AssociateAccept(
        called=called,
        calling=calling,
        contexts=tuple(_answered(item) for kind, item in items if kind == _Item.CONTEXT_AC),
        user=_parse_user(items),
        application_context=_application(items),
        protocol_version=version,
    )


def parse_reject(body: bytes) -> AssociateReject:
    """Parse an A-ASSOCIATE-RJ."""
    return AssociateReject(result=body[1], source=body[2], reason=body[3])


def parse_abort(body: bytes) -> Abort:
    """Parse an A-ABORT."""
    return Abort(source=body[2], reason=body[3])


def _opened(body: bytes) -> tuple[int, str, str, list[tuple[int, bytes]]]:
    if len(body) < _FIXED.size:
        raise Violation(AbortReason.INVALID_PARAMETER)
    version, called, calling = _FIXED.unpack_from(body)
    return version, _text(called), _text(calling), list(_items(body[_FIXED.size :]))


def _items(data: bytes) -> Iterator[tuple[int, bytes]]:
    at, end = 0, len(data)
    while at < end:
        if at + _ITEM.size > end:
            raise Violation(AbortReason.INVALID_PARAMETER)
        kind, length = _ITEM.unpack_from(data, at)
        at += _ITEM.size + length
        if at > end:
            raise Violation(AbortReason.INVALID_PARAMETER)
        yield kind, data[at - length : at]


def _text(value: bytes) -> str:
    """Return an application entity title, UID or name: ASCII, without the padding of either kind."""
    return value.decode("ascii", "replace").strip("\0 ")


def _application(items: list[tuple[int, bytes]]) -> str:
    return next((_text(item) for kind, item in items if kind == _Item.APPLICATION_CONTEXT), "")


def _proposed(item: bytes) -> ProposedContext:
    inner = _context(item)
    abstract = [_text(value) for kind, value in inner if kind == _Item.ABSTRACT_SYNTAX]
    transfer = tuple(_text(value) for kind, value in inner if kind == _Item.TRANSFER_SYNTAX)
    if len(abstract) != 1 or not transfer:
        raise Violation(AbortReason.INVALID_PARAMETER)
    return ProposedContext(id=item[0], abstract_syntax=abstract[0], transfer_syntaxes=transfer)


def _answered(item: bytes) -> AnsweredContext:
    inner = _context(item)
    transfer = next((_text(value) for kind, value in inner if kind == _Item.TRANSFER_SYNTAX), "")
    return AnsweredContext(id=item[0], result=item[2], transfer_syntax=transfer)


def _context(item: bytes) -> list[tuple[int, bytes]]:
    if len(item) < 4:
        raise Violation(AbortReason.INVALID_PARAMETER)
    return list(_items(item[4:]))


def _parse_user(items: list[tuple[int, bytes]]) -> User:
    """Read user information; of an item that may stand once the first counts, what is not known is passed over."""
    found: dict[int, list[bytes]] = {}
    for kind, item in items:
        if kind == _Item.USER_INFORMATION:
            for inner, value in _items(item):
                found.setdefault(inner, []).append(value)

    def first(kind: _Item, least: int) -> bytes | None:
        value = found.get(kind, [None])[0]
        if value is not None and len(value) < least:
            raise Violation(AbortReason.INVALID_PARAMETER)
        return value

    window = first(_Item.ASYNCHRONOUS_OPERATIONS, 4)
    identity, answer = first(_Item.USER_IDENTITY_RQ, 6), first(_Item.USER_IDENTITY_AC, 2)
    return User(
        maximum_length=int.from_bytes((first(_Item.MAXIMUM_LENGTH, 4) or b"")[:4], "big"),
        implementation_class=_text(first(_Item.IMPLEMENTATION_CLASS, 0) or b""),
        implementation_version=_text(first(_Item.IMPLEMENTATION_VERSION, 0) or b""),
        asynchronous_operations=None if window is None else struct.unpack_from(">HH", window),
        roles=tuple(_role(item) for item in found.get(_Item.ROLE_SELECTION, ())),
        extended=tuple(_extended(item) for item in found.get(_Item.EXTENDED_NEGOTIATION, ())),
        common_extended=tuple(_common(item) for item in found.get(_Item.COMMON_EXTENDED_NEGOTIATION, ())),
        identity=None if identity is None else _identity(identity),
        identity_response=None if answer is None else _taken(answer, 0)[0],
    )


def _taken(data: bytes, at: int) -> tuple[bytes, int]:
    """Take a field with a two-byte length; return it and where it ends."""
    if at + 2 > len(data):
        raise Violation(AbortReason.INVALID_PARAMETER)
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if end > len(data):
        raise Violation(AbortReason.INVALID_PARAMETER)
    return data[at + 2 : end], end


def _role(item: bytes) -> Role:
    uid, at = _taken(item, 0)
    if at + 2 > len(item):
        raise Violation(AbortReason.INVALID_PARAMETER)
    return Role(sop_class=_text(uid), scu=bool(item[at]), scp=bool(item[at + 1]))


def _extended(item: bytes) -> tuple[str, bytes]:
    uid, at = _taken(item, 0)
    return _text(uid), item[at:]


def _common(item: bytes) -> tuple[str, str, tuple[str, ...]]:
    uid, at = _taken(item, 0)
    service, at = _taken(item, at)
    general, _ = _taken(item, at)
    related, at = [], 0
    while at < len(general):
        one, at = _taken(general, at)
        related.append(_text(one))
    return _text(uid), _text(service), tuple(related)


def _identity(item: bytes) -> Identity:
    primary, at = _taken(item, 2)
    secondary, _ = _taken(item, at)
    return Identity(kind=item[0], primary=primary, secondary=secondary, response_requested=bool(item[1]))

"""PDUs and command sets: what is built is read again, and pynetdicom and pydicom build and read the same bytes."""

from __future__ import annotations

import contextlib
from io import BytesIO

import pdus
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from farm.net import dimse, pdu
from farm.net.dimse import Command, Field, Tag
from farm.net.errors import AbortReason, Violation
from farm.net.pdu import Abort, AssociateAccept, AssociateReject, AssociateRequest

theirs = pytest.importorskip("pynetdicom.pdu", reason="pynetdicom, the oracle, is not installed")

_BYTE = st.integers(0, 255)


@settings(deadline=None)
@given(pdus.requests())
def test_request_is_read_as_it_was_built(request: AssociateRequest) -> None:
    """Were a proposal changed on its way, contexts would be negotiated that nobody asked for."""
    assert pdu.parse_request(pdu.request(request)[6:]) == request


@settings(deadline=None)
@given(pdus.accepts())
def test_accept_is_read_as_it_was_built(accept: AssociateAccept) -> None:
    """Were an answer changed on its way, instances would be sent in a syntax that the peer cannot read."""
    assert pdu.parse_accept(pdu.accept(accept)[6:]) == accept


@settings(deadline=None)
@given(st.builds(AssociateReject, result=_BYTE, source=_BYTE, reason=_BYTE))
def test_reject_is_the_oracles(reject: AssociateReject) -> None:
    """Were a byte misplaced, a refusal for now would be taken for one for ever."""
    built = pdu.reject(reject)
    other = theirs.A_ASSOCIATE_RJ()
    other.decode(built)
    assert (other.result, other.source, other.reason_diagnostic) == (reject.result, reject.source, reject.reason)
    assert other.encode() == built
    assert pdu.parse_reject(built[6:]) == reject


@settings(deadline=None)
@given(st.builds(Abort, source=_BYTE, reason=_BYTE))
def test_abort_is_the_oracles(abort: Abort) -> None:
    """Were a byte misplaced, nobody could tell who gave up and why."""
    built = pdu.abort(abort)
    other = theirs.A_ABORT_RQ()
    other.decode(built)
    assert (other.source, other.reason_diagnostic) == (abort.source, abort.reason)
    assert other.encode() == built
    assert pdu.parse_abort(built[6:]) == abort


def test_release_is_the_oracles() -> None:
    """Were it not, no association would end in order."""
    assert pdu.release_request() == theirs.A_RELEASE_RQ().encode() == pdus.RELEASE_RQ
    assert pdu.release_response() == theirs.A_RELEASE_RP().encode() == pdus.RELEASE_RP


@settings(deadline=None)
@given(pdus.requests())
def test_request_is_the_oracles(request: AssociateRequest) -> None:
    """Were a byte different, a peer might refuse what it would take from others."""
    built = pdu.request(request)
    other = theirs.A_ASSOCIATE_RQ()
    other.decode(built)
    assert other.encode() == built
    assert (other.called_ae_title.strip(), other.calling_ae_title.strip()) == (request.called, request.calling)
    assert other.application_context_name == request.application_context
    assert [
        (one.context_id, one.abstract_syntax, tuple(one.transfer_syntax)) for one in other.presentation_context
    ] == [(one.id, one.abstract_syntax, one.transfer_syntaxes) for one in request.contexts]
    user = other.user_information
    assert user.maximum_length == request.user.maximum_length
    assert user.implementation_class_uid == request.user.implementation_class
    assert _roles(user) == {one.sop_class: (one.scu, one.scp) for one in request.user.roles}
    assert [(one.uid, one.app_info) for one in user.ext_neg] == list(request.user.extended)
    assert [
        (one.sop_class_uid, one.service_class_uid, tuple(one.related_general_sop_class_identification))
        for one in user.common_ext_neg
    ] == list(request.user.common_extended)
    who = request.user.identity
    told = user.user_identity
    assert (told is None) is (who is None)
    if who is not None:
        assert (told.id_type, told.primary, told.secondary or b"") == (who.kind, who.primary, who.secondary)
        assert bool(told.response_requested) is who.response_requested


@settings(deadline=None)
@given(pdus.accepts())
def test_accept_is_the_oracles(accept: AssociateAccept) -> None:
    """Were a byte different, a peer might take another syntax for the accepted one."""
    built = pdu.accept(accept)
    other = theirs.A_ASSOCIATE_AC()
    other.decode(built)
    assert other.encode() == built
    assert [(one.context_id, one.result, one.transfer_syntax) for one in other.presentation_context] == [
        (one.id, one.result, one.transfer_syntax) for one in accept.contexts
    ]
    assert _roles(other.user_information) == {one.sop_class: (one.scu, one.scp) for one in accept.user.roles}
    window = other.user_information.async_ops_window
    assert (window and (window.max_operations_invoked, window.max_operations_performed)) == (
        accept.user.asynchronous_operations
    )


def _roles(user: object) -> dict[str, tuple[bool, bool]]:
    return {uid: (bool(one.scu), bool(one.scp)) for uid, one in user.role_selection.items()}


@pytest.mark.parametrize("title", ["", " A ", "x" * 16, "y" * 17])
def test_titles_fill_sixteen_bytes(title: str) -> None:
    """Were a long title not cut, everything behind it would be shifted."""
    built = pdu.request(
        AssociateRequest(called=title, calling="B", contexts=pdus.REQUEST.contexts, user=pdus.REQUEST.user)
    )
    assert len(built[10:26]) == 16
    assert built[26:42] == b"B".ljust(16)
    assert pdu.parse_request(built[6:]).called == title.strip()[:16]


def test_unknown_items_are_passed_over() -> None:
    """Were an item of a later edition an error, no later peer could call (PS3.8 section 9.3.1)."""
    item = b"\x77\0\0\3abc"
    body = pdus.REQUEST_BYTES[6:]
    assert pdu.parse_request(body + item) == pdus.REQUEST
    inner = b"\x50\0\0\7" + item
    assert pdu.parse_request(body + inner) == pdus.REQUEST


def _context(number: int, *items: bytes) -> bytes:
    body = bytes((number, 0, 0, 0)) + b"".join(items)
    return b"\x20\0" + len(body).to_bytes(2, "big") + body


_ABSTRACT, _TRANSFER = b"\x30\0\0\0031.2", b"\x40\0\0\0031.3"
_USER = b"\x50\0"
BROKEN = {
    "cut": b"\0\1",
    "item beyond the end": b"\x10\0\0\5abc",
    "cut item": b"\x10\0\0",
    "context too short": b"\x20\0\0\3\1\0\0",
    "even context": _context(2, _ABSTRACT, _TRANSFER),
    "context twice": _context(5, _ABSTRACT, _TRANSFER) * 2,
    "no abstract syntax": _context(5, _TRANSFER),
    "two abstract syntaxes": _context(5, _ABSTRACT, _ABSTRACT, _TRANSFER),
    "no transfer syntax": _context(5, _ABSTRACT),
    "inner item beyond": _context(5, _ABSTRACT, b"\x40\0\0\x091.3"),
    "short maximum length": _USER + b"\0\7\x51\0\0\3\0\0\0",
    "short window": _USER + b"\0\7\x53\0\0\3\0\0\0",
    "short role": _USER + b"\0\7\x54\0\0\3\0\1\0",
    "role's UID beyond": _USER + b"\0\x08\x54\0\0\4\xff\xff\0\0",
    "short extended": _USER + b"\0\5\x56\0\0\1\0",
    "common's related beyond": _USER + b"\0\x0c\x57\0\0\x08\0\0\0\0\0\2\0\1",
    "short identity": _USER + b"\0\5\x58\0\0\1\0",
    "identity beyond": _USER + b"\0\x0a\x58\0\0\6\1\0\0\2\0\0",
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_request_is_a_violation(broken: bytes) -> None:
    """Were a length believed that its holder cannot hold, a request would be read out of other fields' bytes."""
    fixed = pdus.REQUEST_BYTES[6:74]
    with pytest.raises(Violation) as caught:
        pdu.parse_request(broken if broken == BROKEN["cut"] else fixed + broken)
    assert caught.value.reason is AbortReason.INVALID_PARAMETER


def test_identity_is_not_shown() -> None:
    """Were a passcode shown, the first log of a request would publish it."""
    who = pdu.Identity(kind=2, primary=b"SECRET", secondary=b"SECRET")
    shown = repr(pdu.User(identity=who, identity_response=b"SECRET"))
    assert "SECRET" not in shown


# Command sets.


def as_pydicom(command: Command) -> bytes:
    """Build a command set by pydicom's writer, implicit VR little endian, its group length by hand."""
    dataset = Dataset()
    for tag, content in {**command.values, Tag.COMMAND_FIELD: int(command.field)}.items():
        dataset.add_new(int(tag), dictionary_VR(int(tag)), content)
    file = DicomBytesIO()
    file.is_implicit_VR, file.is_little_endian = True, True
    write_dataset(file, dataset)
    body = file.getvalue()
    return b"\0\0\0\0\4\0\0\0" + len(body).to_bytes(4, "little") + body


@settings(deadline=None)
@given(pdus.commands())
def test_command_is_pydicoms(command: Command) -> None:
    """Were an element written otherwise, a peer would not understand what is asked of it."""
    built = dimse.encode(command)
    assert built == as_pydicom(command)
    dataset = read_dataset(BytesIO(built), is_implicit_VR=True, is_little_endian=True)
    assert {element.tag.element: element.value for element in dataset} == {
        0: len(built) - 12,
        **command.values,
        Tag.COMMAND_FIELD: command.field,
    }


@settings(deadline=None)
@given(pdus.commands())
def test_command_is_read_as_it_was_built(command: Command) -> None:
    """Were a number or a UID changed, a response would go to another request."""
    assert len(dimse.encode(command)) % 2 == 0
    assert dimse.decode(as_pydicom(command)) == command
    assert dimse.decode(dimse.encode(command)) == command


@settings(deadline=None)
@given(data=st.binary(max_size=80))
def test_any_bytes_are_a_command_set_or_a_violation(data: bytes) -> None:
    """Were there another exception, a peer could stop the receiver by a message."""
    with contextlib.suppress(Violation):
        assert 0 <= dimse.decode(data).field <= 0xFFFF


@pytest.mark.parametrize(
    "data",
    [b"", b"\0\0\0\1\2\0\0", b"\0\0\0\1\2\0\0\0\1", b"\x08\0\0\1\2\0\0\0\1\0", b"\0\0\0\1\4\0\0\0\1\0\0\0"],
    ids=["empty", "cut header", "cut value", "another group", "no command field"],
)
def test_broken_command_set_is_a_violation(data: bytes) -> None:
    """Were a command set believed that has no command, nobody would know what to answer."""
    with pytest.raises(Violation):
        dimse.decode(data)


def test_command_hides_its_texts() -> None:
    """Were a UID of the source shown, the first log of a command would publish it."""
    command = dimse.request(Field.C_STORE_RQ, 1, pdus.CT, {Tag.AFFECTED_SOP_INSTANCE: "1.2.999"}, has_data=True)
    assert "1.2.999" not in repr(command)


def test_response_repeats_what_identifies() -> None:
    """Were the identifiers missing, a requestor with more operations under way could not tell them apart."""
    answer = pdus.STORE.response(0xA700, {Tag.ERROR_COMMENT: "no room"})
    assert answer.is_response
    assert (answer.field, answer.message_id, answer.status) == (Field.C_STORE_RSP, 2, 0xA700)
    assert (answer.sop_class, answer.sop_instance, answer.has_data) == (pdus.CT, "1.2.3", False)
    assert answer.text(Tag.ERROR_COMMENT) == "no room"
    assert answer.number(Tag.MESSAGE_ID) is None


def test_cancel_names_its_operation() -> None:
    """Were it otherwise, a query could not be stopped."""
    asked = dimse.decode(dimse.encode(dimse.cancel(7)))
    assert (asked.field, asked.number(Tag.RESPONDED_TO), asked.has_data) == (Field.C_CANCEL_RQ, 7, False)

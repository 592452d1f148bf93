"""Requests for storage commitment and what is reported; pydicom is the oracle."""

from __future__ import annotations

import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from farm.dicom.elements import EXPLICIT, IMPLICIT, ITEM, ITEM_END, SEQUENCE_END, UNDEFINED
from farm.dicom.syntaxes import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from farm.errors import BadInput, Reason
from farm.net.commitment import ALL_COMMITTED, FAILURES_EXIST, Asked, parse, report

_SYNTAXES = {EXPLICIT_LITTLE: (False, True), IMPLICIT_LITTLE: (True, True), EXPLICIT_BIG: (False, False)}
_UIDS = st.integers(1, 10**20).map(lambda number: f"1.2.{number}")
_REQUESTS = st.builds(Asked, transaction=_UIDS, instances=st.lists(st.tuples(_UIDS, _UIDS), max_size=5).map(tuple))


def _reference(sop_class: str, instance: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, instance
    return item


def encoded(asked: Asked, syntax: str, *, undefined: bool = False) -> bytes:
    """Return a request as pydicom writes it."""
    dataset = Dataset()
    dataset.TransactionUID = asked.transaction
    dataset.ReferencedSOPSequence = [_reference(*instance) for instance in asked.instances]
    dataset["ReferencedSOPSequence"].is_undefined_length = undefined
    for item in dataset.ReferencedSOPSequence:
        item.is_undefined_length_sequence_item = undefined
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = _SYNTAXES[syntax]
    write_dataset(out, dataset)
    return bytes(out.getvalue())


def decoded(data: bytes, syntax: str) -> Dataset:
    """Return a report as pydicom reads it."""
    return read_dataset(io.BytesIO(data), *_SYNTAXES[syntax])


@settings(deadline=None)
@given(_REQUESTS, st.sampled_from(list(_SYNTAXES)), st.booleans())
def test_a_request_is_read_as_it_was_meant(asked: Asked, syntax: str, undefined: bool) -> None:  # noqa: FBT001
    """A peer would be told of other instances than it asked about, and delete those that it asked about."""
    assert parse(encoded(asked, syntax, undefined=undefined), syntax) == asked


@settings(deadline=None)
@given(_REQUESTS, st.sampled_from(list(_SYNTAXES)), st.data())
def test_a_report_says_of_each_instance_whether_it_is_held(asked: Asked, syntax: str, data: st.DataObject) -> None:
    """A peer deletes what is reported as safe."""
    held = data.draw(st.lists(st.booleans(), min_size=len(asked.instances), max_size=len(asked.instances)))
    event, said = report(asked, held, syntax)
    dataset = decoded(said, syntax)
    good = [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in dataset.get("ReferencedSOPSequence", [])]
    bad = [(i.ReferencedSOPClassUID, i.ReferencedSOPInstanceUID) for i in dataset.get("FailedSOPSequence", [])]
    assert dataset.TransactionUID == asked.transaction
    assert good == [one for one, is_held in zip(asked.instances, held, strict=True) if is_held]
    assert bad == [one for one, is_held in zip(asked.instances, held, strict=True) if not is_held]
    assert {item.FailureReason for item in dataset.get("FailedSOPSequence", [])} <= {0x0112}
    assert event == (FAILURES_EXIST if bad else ALL_COMMITTED)


def test_an_answer_for_each_instance_is_asked_for() -> None:
    """One answer too few would shift all others to the wrong instances."""
    with pytest.raises(ValueError, match="zip"):
        report(Asked(transaction="1.2", instances=(("1", "2"),)), [], EXPLICIT_LITTLE)


def test_what_stands_beside_is_passed_over() -> None:
    """Some peers name a storage media file set, or private elements, in their requests."""
    asked = Asked(transaction="1.2.3", instances=(("1.2", "1.2.4"),))
    own = EXPLICIT.element(0x00091001, "UN", b"private") + EXPLICIT.sequence(0x00091002, b"", b"")
    data = encoded(asked, EXPLICIT_LITTLE)
    assert parse(EXPLICIT.element(0x00080005, "CS", b"ISO_IR 100") + data + own, EXPLICIT_LITTLE) == asked


def _nested(depth: int) -> bytes:
    """Return a sequence in a sequence, so deep."""
    opening = EXPLICIT.pack_header(0x00081199, "SQ", UNDEFINED) + EXPLICIT.pack_header(ITEM, "", UNDEFINED)
    closing = EXPLICIT.pack_header(ITEM_END, "", 0) + EXPLICIT.pack_header(SEQUENCE_END, "", 0)
    return opening * depth + closing * depth


def test_nesting_is_bounded() -> None:
    """A thousand sequences in each other would end the process by the depth of its stack."""
    transaction = EXPLICIT.element(0x00081195, "UI", b"1.2")
    assert parse(transaction + _nested(2), EXPLICIT_LITTLE).transaction == "1.2"
    for depth in (20, 5000):
        with pytest.raises(BadInput) as caught:
            parse(transaction + _nested(depth), EXPLICIT_LITTLE)
        assert caught.value.reason is Reason.TOO_DEEP


def test_the_number_of_instances_is_bounded() -> None:
    """One request could ask the database about millions of instances."""
    item = IMPLICIT.element(0x00081155, "UI", b"1.2")
    many = IMPLICIT.element(0x00081195, "UI", b"1.2") + IMPLICIT.sequence(0x00081199, *[item] * 100_001)
    with pytest.raises(BadInput):
        parse(many, IMPLICIT_LITTLE)


@pytest.mark.parametrize("data", [b"", EXPLICIT.element(0x00080005, "CS", b"ISO_IR 100")])
def test_a_request_needs_a_transaction(data: bytes) -> None:
    """A report without the transaction is for nobody."""
    with pytest.raises(BadInput) as caught:
        parse(data, EXPLICIT_LITTLE)
    assert caught.value.reason is Reason.BAD_STRUCTURE


@settings(deadline=None)
@given(st.binary(max_size=300), st.sampled_from([*_SYNTAXES, "1.2.3"]))
def test_garbage_is_bad_input(data: bytes, syntax: str) -> None:
    """Any other exception would stand in a log with what the peer sent."""
    try:
        parse(data, syntax)
    except BadInput:
        return


@settings(deadline=None)
@given(_REQUESTS, st.sampled_from(list(_SYNTAXES)), st.booleans(), st.data())
def test_a_damaged_request_is_bad_input_or_another_request(
    asked: Asked,
    syntax: str,
    undefined: bool,  # noqa: FBT001
    data: st.DataObject,
) -> None:
    """Each cut and each flipped byte has to end in an answer."""
    whole = bytearray(encoded(asked, syntax, undefined=undefined))
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] = data.draw(st.integers(0, 255))
    try:
        read = parse(bytes(whole[: data.draw(st.integers(0, len(whole)))]), syntax)
    except BadInput:
        return
    report(read, [True] * len(read.instances), syntax)


def test_nothing_of_a_request_is_shown() -> None:
    """A UID in a log would lead back to the patient."""
    assert "1.2.840.1" not in repr(Asked(transaction="1.2.840.1", instances=(("1.2.840.1", "1.2.840.1"),)))

"""What the client makes before it sends: identifiers, contexts, and data sets in another syntax."""

from __future__ import annotations

import io
import mmap
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from farm.dicom import part10, reencode
from farm.dicom.elements import EXPLICIT, IMPLICIT, Data, Dialect
from farm.dicom.syntaxes import DEFLATED_LITTLE, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from farm.errors import BadInput, BadRecipe, Reason
from farm.host import pile
from farm.net import query, sending
from farm.net.negotiation import Context
from farm.net.peers import MOST_CONTEXTS
from tests import generate

CT = "1.2.840.10008.5.1.4.1.1.2"
J2K = "1.2.840.10008.1.2.4.90"
NAME, ROWS, NUMBER, POINTER = 0x00100010, 0x00280010, 0x00200013, 0x00280009
texts = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z"), exclude_characters="\\^="), max_size=20)
identifiers = st.fixed_dictionaries(
    {},
    optional={
        query.STUDY_UID: st.from_regex(r"1(\.[1-9][0-9]{0,5}){1,8}", fullmatch=True),
        NAME: texts,
        NUMBER: st.integers(-999, 999).map(str),
        ROWS: st.lists(st.integers(0, 65_535).map(str), max_size=3).map("\\".join),
        POINTER: st.just("00181063"),
        0x00080030: st.just(""),
    },
)


@given(identifier=identifiers, dialect=st.sampled_from([EXPLICIT, IMPLICIT]))
def test_an_identifier_comes_back_as_it_was(identifier: query.Identifier, dialect: Dialect) -> None:
    """Lost otherwise: a query would ask for something else, or its answer be misread."""
    back = query.decode(query.encode(identifier, dialect), dialect)
    charset = back.pop(query.CHARACTER_SET, "")
    assert back == identifier
    assert charset == ("" if all(text.isascii() for text in identifier.values()) else "ISO_IR 192")


@given(identifier=identifiers, dialect=st.sampled_from([EXPLICIT, IMPLICIT]))
def test_pydicom_reads_the_same_identifier(identifier: query.Identifier, dialect: Dialect) -> None:
    """Lost otherwise: others would not understand what is asked."""
    stream = io.BytesIO(query.encode(identifier, dialect))
    read = pydicom.dcmread(stream, force=True) if not identifier else _read(stream, dialect)
    assert {int(element.tag) for element in read} - {query.CHARACTER_SET} == identifier.keys()
    assert str(read.get("PatientName", "")) == identifier.get(NAME, "")


def _read(stream: io.BytesIO, dialect: Dialect) -> Dataset:
    return pydicom.filereader.read_dataset(stream, dialect is IMPLICIT, is_little_endian=True)


def test_answers_with_sequences_are_read_past_them() -> None:
    """Lost otherwise: one archive's extra attribute would hide all that follows it."""
    for dialect in (EXPLICIT, IMPLICIT):
        whole = dialect.sequence(0x00081110, dialect.element(0x00081150, "UI", b"1.2"))
        open_ended = (
            dialect.pack_header(0x00081115, "SQ", 0xFFFFFFFF)
            + dialect.pack_header(0xFFFEE000, "", 0xFFFFFFFF)
            + dialect.element(0x00081150, "UI", b"1.2")
            + dialect.pack_header(0xFFFEE00D, "", 0)
            + dialect.pack_header(0xFFFEE0DD, "", 0)
        )
        data = whole + open_ended + dialect.element(query.STUDY_UID, "UI", b"1.2.3")
        assert query.decode(data, dialect) == {query.STUDY_UID: "1.2.3"}


@given(st.binary(max_size=200), st.sampled_from([EXPLICIT, IMPLICIT]))
def test_bytes_that_are_no_identifier_are_bad_input(data: bytes, dialect: Dialect) -> None:
    """Lost otherwise: a broken peer would end the program instead of the association."""
    with suppress(BadInput):
        query.decode(data, dialect)


@pytest.mark.parametrize(
    ("key", "value"), [("Rows", "many"), ("Rows", "70000"), ("PixelData", "x"), ("IconImageSequence", "x")]
)
def test_a_value_that_a_key_cannot_have_is_refused(key: str, value: str) -> None:
    """Lost otherwise: a slip in a key would be a fault of the program."""
    with pytest.raises(BadRecipe):
        query.encode({query.tag_of(key): value}, EXPLICIT)


def test_keys_are_named_by_keyword_or_tag() -> None:
    """Lost otherwise: private and new attributes could not be asked for."""
    names = ("PatientName", "(0010,0010)", "00100010", "0010,0010")
    assert {query.tag_of(name) for name in names} == {NAME}
    with pytest.raises(BadRecipe):
        query.tag_of("PatientNam")


kinds = st.builds(
    lambda number, syntax: sending.Kind(sop_class=f"1.2.{number}", transfer_syntax=syntax),
    st.integers(0, 300),
    st.sampled_from([EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE, J2K, EXPLICIT_BIG]),
)


@given(st.lists(kinds, max_size=400, unique=True), st.booleans())
def test_every_kind_has_a_context_of_its_own_in_one_association(wanted: list[sending.Kind], transcodes: bool) -> None:  # noqa: FBT001 - drawn
    """Lost otherwise: some instances would have no way to go, or a peer would refuse 129 contexts."""
    groups = sending.storing(wanted, transcodes=transcodes)
    assert all(0 < len(group) <= MOST_CONTEXTS for group in groups)
    alone = [(one.sop_class, one.transfer_syntaxes[0]) for group in groups for one in group]
    assert len(alone) == len(set(alone))
    assert set(alone) >= {(kind.sop_class, kind.transfer_syntax) for kind in wanted}
    homes = [{one.sop_class for one in group} for group in groups]
    assert sum(map(len, homes)) == len(set().union(*homes))


def contexts(*uids: str) -> dict[int, Context]:
    """Return accepted contexts for CT."""
    return {2 * at + 1: Context(id=2 * at + 1, abstract_syntax=CT, transfer_syntax=uid) for at, uid in enumerate(uids)}


WHOLE = generate.ct(0, 0, side=16, elements=300)
STORED = {
    uid: generate.encode(WHOLE, syntax=pydicom.uid.UID(uid))
    for uid in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE)
}


@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("target", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED_LITTLE])
def test_native_syntaxes_become_each_other(stored: str, target: str) -> None:
    """Lost otherwise: an instance would arrive changed, or not at all."""
    context, data = sending.prepared(sending.read(STORED[stored]), contexts(target))
    assert context.transfer_syntax == target
    header = part10.header(part10.syntaxes.find(target), CT.encode(), b"1.2.3")
    back = pydicom.dcmread(io.BytesIO(header + b"".join(data)))
    assert len(b"".join(data)) % 2 == 0
    public = [element.tag for element in WHOLE if not element.tag.is_private]
    assert [element.tag for element in back if not element.tag.is_private] == public
    assert all(_same(back[tag].value, WHOLE[tag].value) for tag in public)


@pytest.mark.parametrize(
    ("stored", "target"),
    [
        (EXPLICIT_LITTLE, DEFLATED_LITTLE),
        (IMPLICIT_LITTLE, DEFLATED_LITTLE),
        (DEFLATED_LITTLE, EXPLICIT_LITTLE),
        (DEFLATED_LITTLE, IMPLICIT_LITTLE),
    ],
)
def test_what_is_inflated_and_deflated_lies_where_the_limits_say(stored: str, target: str, tmp_path: Path) -> None:
    """Lost otherwise: one instance would take memory twice over, for each association; or a bomb all there is."""
    lying: list[Data] = []

    def joined(pieces: Iterable[bytes | memoryview]) -> Data:
        lying.append(pile.joined(str(tmp_path), pieces))
        return lying[-1]

    instance, wanted = sending.read(STORED[stored]), contexts(target)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pile, "_KEPT", 0)
        made = sending.prepared(instance, wanted, limits=part10.Limits(joined=joined))
        [whole] = lying
        assert isinstance(whole, mmap.mmap)
        assert b"".join(made[1]) == b"".join(sending.prepared(instance, wanted)[1])
    if stored == DEFLATED_LITTLE:
        with pytest.raises(BadInput) as raised:
            sending.prepared(instance, wanted, limits=part10.Limits(inflated_bytes=100))
        assert raised.value.reason is Reason.INFLATES_TOO_FAR


def _same(one: object, other: object) -> bool:
    return str(one) == str(other)


@pytest.mark.parametrize("undefined", [False, True])
def test_explicit_to_implicit_is_what_pydicom_writes(undefined: bool) -> None:  # noqa: FBT001 - a parameter
    """Lost otherwise: nested items would come out torn."""
    source = generate.encode(WHOLE, undefined_lengths=undefined)
    found = sending.read(source)
    made = b"".join(reencode.implicit(found.data, found.start))
    back, expected = _read(io.BytesIO(made), IMPLICIT), DicomBytesIO()
    expected.is_little_endian, expected.is_implicit_VR = True, True
    again = DicomBytesIO()
    again.is_little_endian, again.is_implicit_VR = True, True
    write_dataset(expected, _read(io.BytesIO(_written(WHOLE)), IMPLICIT))
    for element in back.iterall():
        if element.VR == "SQ":
            element.is_undefined_length = False
            for item in element.value:
                item.is_undefined_length_sequence_item = False
    write_dataset(again, back)
    assert again.getvalue() == expected.getvalue()


def _written(dataset: Dataset) -> bytes:
    found = sending.read(generate.encode(dataset, syntax=pydicom.uid.ImplicitVRLittleEndian))
    return bytes(found.data[found.start :])


@given(st.data())
def test_a_torn_data_set_is_bad_input(data: st.DataObject) -> None:
    """Lost otherwise: one broken file would end the whole sending."""
    source = STORED[EXPLICIT_LITTLE]
    start = sending.read(source).start
    cut = source[: data.draw(st.integers(start, len(source) - 1))]
    with suppress(BadInput):
        reencode.implicit(cut, start)


def test_what_no_context_takes_is_not_accepted() -> None:
    """Lost otherwise: an instance would be sent in a syntax that it is not in."""
    instance = sending.read(STORED[EXPLICIT_LITTLE])
    with pytest.raises(BadInput) as raised:
        sending.prepared(instance, contexts(J2K))
    assert raised.value.reason is Reason.NOT_ACCEPTED
    made = sending.prepared(instance, contexts(J2K), lambda _, syntaxes: (syntaxes[0], [b"made"]))
    assert (made[0].transfer_syntax, made[1]) == (J2K, [b"made"])

"""Big endian data sets as little endian ones, against pydicom, for every VR; and implicit ones that are broken."""

from __future__ import annotations

from contextlib import suppress

import oracle
import pytest
import trees
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import Element
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.tag import Tag

from farm.dicom import reencode
from farm.errors import BadInput, Reason

NUMBERS = {  # by VR: (smallest, greatest), None: floating
    "US": (0, 65_535),
    "SS": (-32_768, 32_767),
    "UL": (0, (1 << 32) - 1),
    "SL": (-(1 << 31), (1 << 31) - 1),
    "UV": (0, (1 << 64) - 1),
    "SV": (-(1 << 63), (1 << 63) - 1),
    "FL": None,
    "FD": None,
}
WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8, "OB": 1, "UN": 1}
TEXTS = dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"), "ODD")
TEXTS |= {"AS": "054Y", "DA": "20240229", "DS": "1.5", "DT": "20240229", "IS": "-7", "TM": "1012", "UI": "1.2.3"}
ALL = {*NUMBERS, *WORDS, *TEXTS, "AT", "SQ"}
Content = list[tuple[str, object]]


def values(vr: str) -> st.SearchStrategy[object]:
    """Draw values of a VR: numbers, words as integers, text."""
    if vr == "AT":
        return st.lists(st.integers(0x00080000, 0xFFFCFFFF), min_size=1, max_size=3)
    if vr in NUMBERS:
        bounds = NUMBERS[vr]
        one = st.floats(width=32, allow_nan=False) if bounds is None else st.integers(*bounds)
        return st.lists(one, max_size=3)
    if vr in WORDS:
        return st.lists(st.binary(min_size=WORDS[vr], max_size=WORDS[vr]), max_size=4)
    return st.sampled_from(["", TEXTS[vr]])


@st.composite
def contents(draw: st.DrawFn, depth: int = 2) -> Content:
    """Draw the elements of a data set or item."""
    kinds = sorted(ALL - ({"SQ"} if not depth else set()))
    found: Content = []
    for vr in draw(st.lists(st.sampled_from(kinds), max_size=6)):
        value = draw(st.lists(contents(depth - 1), max_size=2)) if vr == "SQ" else draw(values(vr))
        found.append((vr, value))
    return found


def dataset(content: Content, order: str, *, undefined: bool) -> Dataset:
    """Return a data set whose words stand in a byte order; pydicom writes bytes as they are given."""
    made = Dataset()
    for at, (vr, value) in enumerate(content):
        tag = 0x00091000 + (at << 17)
        made.add_new(tag, vr, _value(vr, value, order, undefined=undefined))
        made[tag].is_undefined_length = undefined and vr == "SQ"
    return made


def _value(vr: str, value: object, order: str, *, undefined: bool) -> object:
    """Return a value as pydicom wants it."""
    if not isinstance(value, list):
        return value
    if vr == "SQ":
        items = [dataset(one, order, undefined=undefined) for one in value]
        for item in items:
            item.is_undefined_length_sequence_item = undefined
        return items
    if vr in WORDS:
        words = b"".join(one if order == "little" else one[::-1] for one in value)
        return words + b"\0" * (len(words) % 2)
    return [Tag(one) for one in value] if vr == "AT" else value


def written(content: Content, order: str, *, undefined: bool) -> bytes:
    """Return the data set as pydicom writes it."""
    stream = DicomBytesIO()
    stream.is_little_endian, stream.is_implicit_VR = order == "little", False
    write_dataset(stream, dataset(content, order, undefined=undefined))
    return bytes(stream.getvalue())


@given(content=contents(), undefined=st.booleans())
def test_little_endian_is_what_pydicom_writes(content: Content, undefined: bool) -> None:  # noqa: FBT001
    """Lost: numbers, tables or tags of a big endian instance would be turned round, or be left."""
    given_bytes = written(content, "big", undefined=undefined)
    made = reencode.little(given_bytes, 0)
    assert made == written(content, "little", undefined=undefined)
    assert len(made) == len(given_bytes)


@pytest.mark.parametrize("vr", sorted(ALL - {"SQ"}))
def test_every_vr_alone(vr: str) -> None:
    """Lost: a VR that the law above happens not to draw would be untested."""
    some: dict[str, object] = {"AT": [0x00281052], "FL": [1.5, -2.25], "FD": [1e300]} | TEXTS
    content: Content = [(vr, some.get(vr, [1, 2] if vr in NUMBERS else [b"abcdefgh"[: WORDS.get(vr, 0)]] * 2))]
    assert reencode.little(written(content, "big", undefined=False), 0) == written(content, "little", undefined=False)


@settings(max_examples=40, deadline=None)
@given(
    drawn=trees.elements(
        {0x00080060: "CS", 0x00400275: "SQ", 0x00104000: "LT", 0x00282000: "OB"}, depth=2, unknown=False
    )
)
def test_the_oracle_reads_the_same_elements(drawn: list[Element]) -> None:
    """Lost: items and delimiters, of defined length or not, would not be where they are."""
    data = trees.encode(drawn, oracle.BIG)
    made = reencode.little(data, 0)
    before = [(where, one.vr, one.value) for where, one in oracle.leaves(oracle.read(data, oracle.BIG)[0])]
    found, end = oracle.read(made, oracle.EXPLICIT)
    assert end == len(data)
    assert [(where, one.vr, one.value) for where, one in oracle.leaves(found)] == before


def test_items_in_what_is_unknown_stay_as_they_are() -> None:
    """Lost: what a converter wrote as UN, little endian as it has to be, would be turned or refused (PS3.5 6.2.2)."""
    unknown = trees.sequence(0x00082112, [trees.text(0x00081155, b"1.2\0")], undefined=True, vr="UN")
    rows = [trees.text(0x00280010, b"\1\2", "US"), trees.text(0x00280010, b"\2\1", "US")]
    big, small = (
        trees.encode([unknown, one], how) for one, how in zip(rows, (oracle.BIG, oracle.EXPLICIT), strict=True)
    )
    assert reencode.little(big, 0) == small


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x28\x00\x10US\x00\x03abc", Reason.BAD_STRUCTURE),
        (b"\x00\x28\x00\x10US\x00\x04ab", Reason.TRUNCATED),
        (b"\x00\x28\x00\x10U", Reason.TRUNCATED),
        (b"\x00\x28\x00\x10XX\x00\x02ab", Reason.BAD_STRUCTURE),
        (b"\x7f\xe0\x00\x10OB\0\0\xff\xff\xff\xff", Reason.BAD_STRUCTURE),
        (b"\x00\x28\x12\x01OF\0\0\0\0\0\x06abcdef", Reason.BAD_STRUCTURE),
    ],
)
def test_what_cannot_be_read_is_refused(data: bytes, reason: Reason) -> None:
    """Lost: half a value would be turned round."""
    with pytest.raises(BadInput) as refused:
        reencode.little(data, 0)
    assert refused.value.reason is reason


@given(st.binary(max_size=120))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Lost: a broken data set could end its worker."""
    for read in (reencode.little, reencode.explicit, reencode.implicit):
        with suppress(BadInput):
            read(data, 0)


def test_an_empty_pixel_representation_is_that_of_unsigned_numbers() -> None:
    """Lost: an implicit data set that ends with an empty attribute would end the program."""
    smallest = trees.text(0x00280106, b"\1\0", "US")
    data = trees.encode([trees.text(0x00280103, b"", "US"), smallest], oracle.IMPLICIT)
    assert b"US" in b"".join(reencode.explicit(data, 0))
    assert reencode.explicit(data[:8], 0) == [b"\x28\0\x03\1US\0\0"]

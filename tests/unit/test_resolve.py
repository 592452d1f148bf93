"""Codes of table E.1-1 resolved by Type, SOP class and sequence path."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.deid.resolve import CONTENT_SEQUENCE, Types, action, folded, types
from farm.deid.standard.e1_1 import ROWS
from farm.deid.standard.types import LISTING, SOP_CLASSES
from farm.dicom.dictionary import vr_of

TYPES = (None, "3", "2C", "2", "1C", "1")
CODES = {int(tag, 16): code for tag, code, _ in ROWS if tag != "odd" and "x" not in tag}
COMPOUND = {tag: code for tag, code in CODES.items() if "/" in code}
CT, PET, CR, ENHANCED_PET = (f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2", "128", "1", "130"))
ENHANCED_CT, GSPS, SEGMENTATION = (f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("2.1", "11.1", "66.4"))
SR, ECG, RT_PLAN, CORNEA = (f"1.2.840.10008.5.1.4.1.1.{number}" for number in ("88.33", "9.1.1", "481.5", "82.1"))
TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
PER_FRAME, DERIVATION, OPERATOR_IDENTIFICATION = 0x52009230, 0x00089124, 0x00081072
RADIOPHARMACEUTICAL, REFERENCED_SERIES = 0x00540016, 0x00081115

every_place = [
    (sop_class, path, tag, type_)
    for sop_class, _ in SOP_CLASSES
    for (path, tag), type_ in types(sop_class).places.items()
]


def breaks(letter: str, type_: str | None) -> bool:
    """Tell whether an action leaves an attribute of a Type against PS3.5 7.4."""
    return (letter == "X" and type_ not in {None, "3"}) or (letter == "Z" and type_ in {"1", "1C"})


def test_every_compound_row_is_resolved_at_every_place_of_every_sop_class() -> None:
    """Lost otherwise: some instance would meet a code that nobody decides, or an action that breaks its IOD."""
    assert len(COMPOUND) == 50
    met = {tag for _, _, tag, _ in every_place}
    assert set(COMPOUND) <= met
    for sop_class, path, tag, type_ in every_place:
        code = CODES.get(tag, "X")  # not listed: the Type counts where a recipe removes it
        letter = action(code, types(sop_class).of(path, tag), vr_of(tag), known=True)
        assert letter in {"X", "Z", "D", "U"}, (sop_class, path, tag)
        assert not breaks(letter, type_), (sop_class, path, tag)
    for sop_class, _ in SOP_CLASSES:
        for tag, code in COMPOUND.items():
            assert action(code, types(sop_class).of((), tag), vr_of(tag), known=True) in {"X", "Z", "D", "U"}


def test_most_compound_rows_need_more_than_the_tag() -> None:
    """Lost otherwise: data without the Types would pass for data with them."""
    several = [tag for tag in COMPOUND if len({type_ for _, _, at, type_ in every_place if at == tag}) > 1]
    assert len(several) >= 30


@pytest.mark.parametrize(
    ("code", "letters"),  # for None, 3, 2C, 2, 1C, 1
    [
        ("X/Z/D", "XXZZDD"),
        ("X/D", "XXDDDD"),
        ("X/Z", "XXZZDD"),
        ("Z/D", "ZZZZDD"),
        ("X/Z/U*", "XXZZUU"),
        ("X", "XXZZDD"),
        ("Z", "ZZZZDD"),
        ("D", "DDDDDD"),
        ("U", "UUUUUU"),
        ("K", "KKKKKK"),
        ("C", "CCCCCC"),
    ],
)
def test_a_code_and_a_type_make_one_action(code: str, letters: str) -> None:
    """Lost otherwise: table E.1-1a would be applied by another reading than the one that is documented."""
    assert "".join(action(code, type_, "LO", known=True) for type_ in TYPES) == letters


@given(st.sampled_from(sorted(set(CODES.values()))), st.sampled_from(TYPES), st.sampled_from(("LO", "SQ")))
def test_no_action_breaks_the_iod_nor_does_less_than_the_code(code: str, type_: str | None, vr: str) -> None:
    """Lost otherwise: an output could lack what its IOD requires, or keep what the profile takes."""
    letter = action(code, type_, vr, known=True)
    assert letter != "K"
    assert not breaks(letter, type_)
    removable = type_ in {None, "3"} and "X" in code.split("/")
    assert (letter == "X") == removable


@given(st.sampled_from(sorted(set(CODES.values()))), st.sampled_from(TYPES), st.sampled_from(("LO", "DA", "SQ")))
def test_without_types_the_policys_reading_stands(code: str, type_: str | None, vr: str) -> None:
    """Lost otherwise: an unknown SOP class would be treated by chance."""
    choices = code.split("/")
    emptied = "Z" if vr == "SQ" and "Z" in choices else choices[-1]
    assert action(code, type_, vr, known=False) == ("U" if "U*" in choices else emptied)


@pytest.mark.parametrize(
    ("sop_class", "path", "tag", "type_"),
    [
        (CT, (), 0x00081070, "3"),
        (TOMOSYNTHESIS, (0x00189506,), 0x00081070, "1C"),
        (RT_PLAN, (), 0x00081070, "2"),
        (CT, (), 0x00080080, "3"),
        (CT, (OPERATOR_IDENTIFICATION,), 0x00080080, "1C"),
        (RT_PLAN, (), 0x00080080, "3"),
        (GSPS, (), 0x00700082, "1"),
        (GSPS, (), 0x00700083, "1"),
        (GSPS, (REFERENCED_SERIES,), 0x00081140, "1"),
        (PET, (RADIOPHARMACEUTICAL,), 0x00181078, "3"),
        (ENHANCED_PET, (RADIOPHARMACEUTICAL,), 0x00181078, "1"),
        (SR, (0x0040A370,), 0x00401001, "2"),
        (CT, (), 0x00080022, "3"),
        (CT, (), 0x00080023, "2C"),
        (ENHANCED_CT, (), 0x00181000, "1"),
        (CR, (), 0x00181000, "3"),
        (SEGMENTATION, (PER_FRAME, DERIVATION), 0x00082112, "2"),
        (CORNEA, (), 0x00082112, "1"),
        (ECG, (), 0x0040B020, "1"),
        (SR, (), 0x0040A032, "1C"),
        (SR, (CONTENT_SEQUENCE,), 0x0040A032, "1C"),
        (CT, (CONTENT_SEQUENCE,), 0x0040A032, None),
        (CT, (), 0x00280010, None),
    ],
)
def test_known_places_have_the_types_of_ps3_3(
    sop_class: str, path: tuple[int, ...], tag: int, type_: str | None
) -> None:
    """Lost otherwise: modules merged wrongly would resolve every code, and wrongly."""
    assert types(sop_class).of(path, tag) == type_


def test_paths_are_closed_under_prefixes_and_lead_to_what_differs() -> None:
    """Lost otherwise: a walk that follows them would not reach the place, or follow every sequence there is."""
    for sop_class, _ in SOP_CLASSES:
        found = types(sop_class)
        assert all(path[:-1] in found.paths for path in found.paths if path)
        for (path, _), type_ in found.places.items():
            assert type_ == "3" or path in found.paths
            if path and path in found.paths:
                assert found.inside(path[:-1], path[-1])


def test_content_items_are_the_same_at_every_depth() -> None:
    """Lost otherwise: a report's nested items would be judged by no IOD at all."""
    deep = (CONTENT_SEQUENCE,) * 9
    assert types(SR).of(deep, 0x0040A032) == "1C"
    assert types(SR).inside(deep, CONTENT_SEQUENCE)
    assert not types(CT).inside((), CONTENT_SEQUENCE)


@given(st.lists(st.sampled_from((CONTENT_SEQUENCE, PER_FRAME, DERIVATION)), max_size=12).map(tuple))
def test_folding_joins_content_sequences_only(path: tuple[int, ...]) -> None:
    """Lost otherwise: paths would grow with the depth of a report, or other sequences would be confused."""
    short = folded(path)
    assert folded(short) == short
    assert [tag for tag in short if tag != CONTENT_SEQUENCE] == [tag for tag in path if tag != CONTENT_SEQUENCE]
    assert all(pair != (CONTENT_SEQUENCE, CONTENT_SEQUENCE) for pair in pairwise(short))


@pytest.mark.parametrize("sop_class", ["", "1.2.840.10008.5.1.4.1.1.6", "1.3.6.1.4.1.5962.301.9"])
def test_an_unknown_sop_class_has_no_types(sop_class: str) -> None:
    """Lost otherwise: a private or retired SOP class would be judged by another's IOD, or grow a cache."""
    found = types(sop_class)
    assert found is types("unknown")
    assert not found.known
    assert found.of((), 0x00080080) is None
    assert not found.inside((), OPERATOR_IDENTIFICATION)


def test_sop_classes_of_one_kind_share_their_types() -> None:
    """Lost otherwise: what is learned about one SOP class would be learned again for its like."""
    presentation, processing = (f"1.2.840.10008.5.1.4.1.1.1.1{end}" for end in ("", ".1"))
    assert types(presentation) is types(processing)
    assert isinstance(types(presentation), Types)
    assert types(presentation).known


@pytest.mark.parametrize(
    ("sop_class", "usage", "listed"),
    [
        (SEGMENTATION, "C", set(TYPES)),  # the list has to be there where anything is referenced
        (ENHANCED_CT, "U", {"2", "2C"}),
        (GSPS, None, set()),
        ("unknown", None, set()),
    ],
)
def test_what_an_instance_lists_it_goes_on_to_reference(
    sop_class: str, usage: str | None, listed: set[str | None]
) -> None:
    """Lost otherwise: an output would list series that nothing in it refers to, or keep references without need."""
    assert dict(LISTING).get(sop_class) == usage
    assert types(sop_class).listed == listed

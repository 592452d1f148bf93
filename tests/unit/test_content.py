"""Structured content: the table's answer for a content item, and which item it is, read from bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import oracle
import pytest
import trees
from hypothesis import example, given
from hypothesis import strategies as st
from oracle import Element
from pydicom.sr._snomed_dict import mapping

from farm.deid import content
from farm.deid.content import Concept, action, concept, unlisted
from farm.deid.standard.concepts import ROWS
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT, Dialect
from farm.errors import BadInput, Reason

SHARED = Path(__file__).parents[3] / "shared" / "standard" / "e3_4_1_2026c.json"
COLUMNS = {
    "retain_uids": "Rtn. UIDs Opt.",
    "retain_device_identity": "Rtn. Dev. Id. Opt.",
    "retain_institution_identity": "Rtn. Inst. Id. Opt.",
    "retain_patient_characteristics": "Rtn. Pat. Chars. Opt.",
    "retain_longitudinal_full_dates": "Rtn. Long. Full Dates Opt.",
    "retain_longitudinal_modified_dates": "Rtn. Long. Modif. Dates Opt.",
    "clean_descriptors": "Clean Desc. Opt.",
}
NONE: frozenset[str] = frozenset()
REFERENCES = {"COMPOSITE", "IMAGE", "UIDREF", "WAVEFORM"}
DIALECTS: dict[str, Dialect] = {"explicit": EXPLICIT, "implicit": IMPLICIT, "big": BIG}
option_sets = st.frozensets(st.sampled_from(sorted(COLUMNS)))


def expected(row: dict[str, str], options: frozenset[str]) -> str:
    """Return what the standard's own row says, column by column."""
    letters = {row[COLUMNS[option]] for option in options} - {""}
    if "C" in letters:
        return "C"
    if "K" in letters:
        return "K"
    letter = "D" if row["Basic Prof."] == "X/D" else row["Basic Prof."]
    return "U" if letter == "D" and row["Value Type"] in REFERENCES else letter


@pytest.mark.skipif(not SHARED.exists(), reason="the shared standard is not at hand")
@given(options=option_sets)
@example(NONE)
def test_every_row_of_the_standard_is_answered_as_it_says(options: frozenset[str]) -> None:
    """Lost otherwise: an identity that the table names would leave in a report."""
    rows: list[dict[str, str]] = json.loads(SHARED.read_text())["rows"]
    assert len(rows) == 214
    for row in rows:
        found = action(row["Coding Scheme Designator"], row["Code Value"], row["Value Type"], options)
        assert found == expected(row, options), row


@given(st.sampled_from(ROWS), option_sets)
def test_only_an_option_of_the_row_changes_its_answer(row: tuple[str, ...], options: frozenset[str]) -> None:
    """Lost otherwise: an option would reach concepts that it does not name."""
    value, scheme, value_type, _, _, named = row
    without = options - {option.split("=")[0] for option in named.split()}
    assert action(scheme, value, value_type, without) == action(scheme, value, value_type, NONE)


def test_cleaning_wins_over_keeping() -> None:
    """Lost otherwise: keeping devices would keep the text beside them, uncleaned."""
    both = frozenset({"retain_device_identity", "clean_descriptors"})
    assert action("DCM", "121122", "TEXT", frozenset({"retain_device_identity"})) == "K"
    assert action("DCM", "121122", "TEXT", both) == "C"


@pytest.mark.parametrize("designator", ["SRT", "SNM3", "99SDM"])
def test_old_snomed_codes_are_the_concepts_that_replaced_them(designator: str) -> None:
    """Lost otherwise: reports older than SNOMED CT in DICOM would keep what newer ones lose (E.3.4, note)."""
    current = [(value, value_type) for value, scheme, value_type, *_ in ROWS if scheme == "SCT"]
    assert current
    for value, value_type in current:
        old = mapping["SCT"][value]
        assert action(designator, old, value_type, NONE) == action("SCT", value, value_type, NONE) is not None


def test_a_scheme_is_known_in_any_case_of_letters() -> None:
    """Lost otherwise: a writer that says `NCIT` for `NCIt` would get a listed item past the table."""
    assert action("ncit", "C67447", "TEXT", NONE) == action("NCIt", "C67447", "TEXT", NONE) == "X"


@pytest.mark.parametrize(
    ("value", "value_type", "options", "letter"),
    [
        ("121029", "TEXT", NONE, "D"),  # Subject Name, not as PNAME
        ("121031", "TEXT", NONE, "X"),  # Subject Birth Date, not as DATE
        ("121016", "NUM", NONE, "X"),  # Device Observer Serial Number, not as TEXT
        ("121030", "", NONE, "D"),  # Subject ID in an item that does not say what it holds
        ("121016", "NUM", frozenset({"retain_device_identity"}), None),
        ("121071", "CODE", NONE, None),  # Finding is descriptive: the table lists the text alone
        ("121080", "SCOORD", NONE, None),  # Best illustration: a reference of another kind
        ("121028", "IMAGE", NONE, None),
    ],
)
def test_a_listed_concept_with_another_value_type_does_not_slip_through(
    value: str, value_type: str, options: frozenset[str], letter: str | None
) -> None:
    """Lost otherwise: a name written as TEXT would stay because the table lists it as PNAME."""
    assert action("DCM", value, value_type, options) == letter


def test_a_concept_that_is_not_listed_is_decided_by_its_value_type() -> None:
    """Lost otherwise: private and local concepts would carry text and names out."""
    assert action("99LOCAL", "121029", "PNAME", NONE) is None
    assert action("DCM", "126000", "CONTAINER", NONE) is None
    letters = {
        value_type: unlisted(value_type) for value_type in ("TEXT", "PNAME", "DATE", "TIME", "DATETIME", "UIDREF")
    }
    assert letters == {"TEXT": "C", "PNAME": "D", "DATE": "C", "TIME": "C", "DATETIME": "C", "UIDREF": "U"}
    assert {unlisted(kept) for kept in ("NUM", "CODE", "CONTAINER", "IMAGE", "COMPOSITE", "WAVEFORM", "SCOORD")} == {
        "K"
    }
    assert {unlisted(strange) for strange in ("", "XYZ", "text")} == {"C"}


def code(value: bytes, scheme: bytes, tag: int = 0x00080100) -> list[Element]:
    """Return the elements of a code."""
    named = [trees.text(0x00080102, scheme)] if scheme else []
    return trees.in_order([*named, trees.text(0x00080104, b"A meaning"), trees.text(tag, value)])


def read(elements: list[Element], name: str = "explicit", behind: bytes = b"") -> Concept:
    """Return the concept of an item, read between other bytes."""
    encoded = trees.encode(elements, trees.SYNTAXES[name])
    return concept(b"\0" * 3 + encoded + behind, 3, 3 + len(encoded) + len(behind), DIALECTS[name])


@st.composite
def items(draw: st.DrawFn) -> tuple[list[Element], Concept]:
    """Draw a content item with what surrounds its concept, and the concept."""
    value = draw(st.sampled_from([b"121029", b"111018", b"PA-30029", b"A-VERY-LONG-CODE-VALUE-OF-SOMEBODY"]))
    scheme, kind = draw(st.sampled_from([b"DCM ", b"SRT", b"99LOCAL"])), draw(st.sampled_from([b"TEXT", b"PNAME "]))
    long = 0x00080119 if len(value) > 16 else 0x00080100
    nested = trees.sequence(0x00080121, code(b"0", b"OTHER"), undefined=draw(st.booleans()))
    inner = [*code(value, scheme, long), nested]
    name = trees.sequence(0x0040A043, inner, code(b"1", b"SECOND"), undefined=draw(st.booleans()))
    name.vr = draw(st.sampled_from(["SQ", "UN"]))
    child = [trees.text(0x0040A040, b"NUM"), trees.sequence(0x0040A043, code(b"2", b"CHILD"))]
    modifier = trees.sequence(0x0040A730, child, undefined=draw(st.booleans()))
    before = trees.sequence(0x00081199, code(b"3", b"BEFORE"), undefined=draw(st.booleans()))
    item = [before, trees.text(0x0040A040, kind), name, trees.text(0x0040A160, b"Some text "), modifier]
    if draw(st.booleans()):  # the content comes before the name: not in order, but the same item
        item.reverse()
    return item, Concept(scheme.decode().strip(), value.decode(), kind.decode().strip())


@given(items(), st.sampled_from(sorted(DIALECTS)))
def test_the_concept_is_read_in_any_encoding(drawn: tuple[list[Element], Concept], name: str) -> None:
    """Lost otherwise: an item would be taken for another, or for one that the table does not list."""
    item, wanted = drawn
    assert read(item, name) == wanted


def test_an_item_of_undefined_length_ends_at_its_delimiter() -> None:
    """Lost otherwise: an item without a name would get that of the next one."""
    other = trees.encode([trees.sequence(0x0040A043, code(b"9", b"NEXT"))])
    delimiter = b"\xfe\xff\x0d\xe0\0\0\0\0"
    assert read([trees.text(0x0040A040, b"CONTAINER ")], behind=delimiter + other) == ("", "", "CONTAINER")


def test_a_urn_is_a_code_value_without_a_scheme() -> None:
    """Lost otherwise: an item named by a URN would have no name at all."""
    item = [trees.sequence(0x0040A043, code(b"urn:lex:us:1 ", b"", 0x00080120)), trees.text(0x0040A160, b"ab")]
    assert read(item) == ("", "urn:lex:us:1", "TEXT")


@pytest.mark.parametrize(("tag", "value_type"), content.VALUES.items())
def test_an_item_that_says_no_value_type_has_that_of_its_value(tag: int, value_type: str) -> None:
    """Lost otherwise: names in an Acquisition Context of the old style would pass as nothing in particular."""
    value = trees.sequence(tag, code(b"1", b"DCM")) if oracle.vr_of(tag) == "SQ" else trees.text(tag, b"19000101")
    assert read([trees.sequence(0x0040A043, code(b"121029", b"DCM")), value]) == ("DCM", "121029", value_type)


def test_an_item_without_a_name_has_none() -> None:
    """Lost otherwise: a nameless container, or an empty sequence, would stop the run."""
    assert read([]) == ("", "", "")
    assert read([trees.sequence(0x0040A043), trees.text(0x0040A040, b"NUM ")]) == ("", "", "NUM")
    assert read([trees.sequence(0x0040A043, undefined=True), trees.text(0x0040A040, b"NUM ")]) == ("", "", "NUM")


@given(st.data())
def test_a_broken_item_is_refused_and_nothing_worse(data: Any) -> None:
    """Lost otherwise: bytes cut short would crash the run, or be read beyond their end."""
    item, _ = data.draw(items())
    encoded = trees.encode(item)
    end = data.draw(st.integers(0, len(encoded)))
    at, new = data.draw(st.integers(0, len(encoded) - 1)), data.draw(st.binary(min_size=1, max_size=4))
    for damaged in (encoded[:end], encoded[:at] + new + encoded[at + len(new) :]):
        try:
            concept(damaged, 0, len(damaged), EXPLICIT)
        except BadInput as error:
            assert error.reason in {Reason.TRUNCATED, Reason.BAD_STRUCTURE, Reason.TOO_DEEP}  # noqa: PT017 - either way

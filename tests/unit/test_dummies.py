"""Dummy values: valid for their VR, read by pydicom without complaint, and without anything of the original."""

from __future__ import annotations

import io

import farmside
import oracle
import pytest
import trees
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from farm.deid import dummies
from farm.deid.policy import Action, basic
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT

TAGS = [
    int(row[0], 16) for row in ROWS if "x" not in row[0] and row[0] != "odd" and basic(int(row[0], 16)) is Action.DUMMY
]
DIALECTS = {"explicit": EXPLICIT, "implicit": IMPLICIT, "big": BIG}


def read(encoded: bytes, name: str) -> Dataset:
    """Return what pydicom reads, with every value converted; a warning fails the test."""
    found = dcmread(io.BytesIO(trees.meta(syntax=trees.UIDS[name]) + encoded))
    found.walk(lambda _, element: element.value)
    return found


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dummy_of_the_table_is_valid(name: str) -> None:
    """Lost otherwise: replacing a value would make an instance invalid, or empty where a value must stand."""
    for tag in TAGS:
        vr = vr_of(tag)
        found = read(dummies.element(tag, vr, DIALECTS[name]), name)
        element = found[tag]
        assert vr == element.VR or name == "implicit", f"{tag:08x}"
        assert len(element.value) == 1 if vr == "SQ" else element.value not in {None, "", b""}, f"{tag:08x}"
        check(found)


def check(found: Dataset) -> None:
    """Assert that every value is one of its VR."""
    for element in found:
        if element.VR == "SQ":
            for item in element.value:
                check(item)
        elif element.value not in (None, ""):
            values = element.value if element.VM > 1 else [element.value]
            for value in values:
                text = str(value) if isinstance(value, str) or element.VR in {"PN", "UI", "DS", "IS"} else value
                validate_value(element.VR, text, config.RAISE)


@pytest.mark.parametrize("vr", sorted(oracle.LONG | oracle.SHORT))
def test_every_vr_has_a_dummy_of_even_length(vr: str) -> None:
    """Lost otherwise: an attribute written under an unusual VR would break the output."""
    encoded = dummies.element(0x00091001, vr, EXPLICIT)
    element, end = oracle.read_element(encoded, 0, oracle.EXPLICIT)
    assert (element.vr, end, end % 2) == (vr, len(encoded), 0)
    assert element.value


def test_a_document_stays_a_document_with_nothing_of_its_content() -> None:
    """Lost otherwise: a structured report would be broken, or leave with its text."""
    content = trees.sequence(0x0040A730, [trees.text(0x0040A160, b"SECRET")], [trees.text(0x0040A160, b"SECRET")])
    output = farmside.joined(farmside.run(trees.file([*trees.identity(), content])))
    assert b"SECRET" not in output
    report = dcmread(io.BytesIO(output))
    assert [item.ValueType for item in report.ContentSequence] == ["TEXT"]
    assert report.ContentSequence[0].ConceptNameCodeSequence[0].CodingSchemeDesignator == "DCM"

"""Dummy values: valid for their VR, read by pydicom without complaint, and without anything of the original."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import basic_oracle
import farmside
import oracle
import pytest
import trees
from pydicom import config, dcmread
from pydicom._dicom_dict import DicomDictionary
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.valuerep import validate_value

from farm.deid import dummies
from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.dicom.elements import BIG, EXPLICIT, IMPLICIT

TAGS = [
    int(row[0], 16)
    for row in ROWS
    if "x" not in row[0] and row[0] != "odd" and basic_oracle.actions([row]).popitem()[1] == "D"
]
DIALECTS = {"explicit": EXPLICIT, "implicit": IMPLICIT, "big": BIG}
LEAST = {tag: int(vm.split("-")[0]) for tag, (vr, vm, *_) in DicomDictionary.items() if len(vr) == 2}
SEVERAL = {tag: least for tag, least in LEAST.items() if least > 1}
SEQUENCES = {
    "CT_small.dcm": [
        *(0x00080096, 0x0008009D, 0x00081049, 0x00081062, 0x00081072, 0x00081110, 0x00081111, 0x00081120),
        *(0x00081140, 0x00082112, 0x00101002, 0x0018100A, 0x00282000, 0x00380014),
    ],
    "test-SR.dcm": [0x0040A073, 0x0040A078, 0x0040A07A, 0x0040A07C, 0x0040A730],
    "waveform_ecg.dcm": [0x0040B020],
}


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


def test_a_value_has_as_many_dummies_as_the_dictionary_demands() -> None:
    """Lost otherwise: a latitude or a lens would be replaced by a value that is not one."""
    assert len(SEVERAL) > 100
    for name in ("implicit", "big"):
        for tag, least in SEVERAL.items():
            vr = vr_of(tag)
            element = read(dummies.element(tag, vr, DIALECTS[name]), name)[tag]
            whole = vr in {"LT", "OB", "OW", "SQ", "ST", "UN", "UR", "UT"}
            wanted = 1 if whole else least
            assert wanted == element.VM, f"{tag:08x}"


def test_enumerated_values_have_a_dummy_among_them() -> None:
    """Lost otherwise: a bare word would stand where PS3.3 enumerates the values or says how they are written."""
    found = read(b"".join(dummies.element(tag, vr_of(tag), EXPLICIT) for tag in (0x00080201, 0x00100040)), "explicit")
    assert (found.TimezoneOffsetFromUTC, found.PatientSex) == ("+0000", "O")
    assert b"COERCE" in dummies.element(0x04000565, "CS", EXPLICIT)
    assert b"acsp" in dummies.element(0x00282000, "OB", EXPLICIT)
    assert b"%PDF" in dummies.element(0x00420011, "OB", EXPLICIT)


@pytest.mark.parametrize("tag", sorted(dummies._ITEMS), ids=lambda tag: f"{tag:08x}")
@pytest.mark.parametrize("name", DIALECTS)
def test_an_item_of_dummies_is_in_tag_order_and_valid(tag: int, name: str) -> None:
    """Lost otherwise: a sequence that had to stay would break the instance."""
    encoded = dummies.element(tag, "SQ", DIALECTS[name])
    assert trees.sizes_are_true(encoded, trees.SYNTAXES[name])
    (item,) = read(encoded, name)[tag].value
    assert len(item) > 0
    check(item)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools' dciodvfy is not installed")
@pytest.mark.parametrize("name", SEQUENCES)
def test_dummies_bring_no_new_error_into_an_instance(name: str, tmp_path: Path) -> None:
    """Lost otherwise: an instance would be valid before, and not after, being de-identified."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    instance = dcmread(path)
    before = errors(instance, tmp_path / "before.dcm")
    for tag in SEQUENCES[name]:
        instance[tag] = read(dummies.element(tag, vr_of(tag), EXPLICIT), "explicit")[tag]
    assert not errors(instance, tmp_path / "after.dcm") - before


def errors(instance: Dataset, path: Path) -> Counter[str]:
    """Return what dciodvfy finds wrong with an instance."""
    instance.save_as(path)
    made = subprocess.run(["dciodvfy", path], capture_output=True, text=True, errors="replace", check=False)
    return Counter(line for line in made.stderr.splitlines() if line.startswith("Error"))

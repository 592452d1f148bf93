"""The generated tables are whole, well formed, and what the standard's own data give."""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from farm.deid.standard import concepts, e1_1, methods, private, types
from farm.dicom.dictionary import vr_of

ROOT = Path(__file__).parents[2]
STANDARD = ROOT.parent / "shared" / "standard"
SCRIPT = ROOT / "scripts" / "generate_tables.py"
TABLES = ROOT / "farm" / "deid" / "standard"
HIGHDICOM = importlib.util.find_spec("highdicom")
OPTIONS = {cell.split("=")[0] for row in e1_1.ROWS for cell in row[2].split()}
needs_standard = pytest.mark.skipif(not STANDARD.exists(), reason="the standard's data are not at hand")


def data_of(path: Path) -> dict[str, Any]:
    """Return the values that a generated module assigns, however they are laid out."""
    return {name: value for name, value in runpy.run_path(str(path)).items() if name.isupper()}


@needs_standard
def test_the_tables_are_the_standards(tmp_path: Path) -> None:
    """Lost otherwise: an edit by hand, or a new edition half taken over, would go unnoticed."""
    subprocess.run([sys.executable, SCRIPT, STANDARD, "--into", tmp_path], check=True)
    made = sorted(tmp_path.iterdir())
    assert [path.name for path in made] == ["concepts.py", "e1_1.py", "methods.py", "private.py"]
    for path in made:
        assert data_of(path) == data_of(TABLES / path.name), path.name


@needs_standard
@pytest.mark.skipif(HIGHDICOM is None, reason="highdicom, the source of the Types, is not installed")
def test_the_types_are_their_sources(tmp_path: Path) -> None:
    """Lost otherwise: the Types could drift from PS3.3 and wrong actions would look right."""
    assert HIGHDICOM
    assert HIGHDICOM.origin
    folder = Path(HIGHDICOM.origin).parent / "_standard"
    subprocess.run([sys.executable, SCRIPT, STANDARD, "--types", folder, "--into", tmp_path], check=True)
    assert data_of(tmp_path / "types.py") == data_of(TABLES / "types.py")


def test_every_table_has_all_its_rows() -> None:
    """Lost otherwise: rows could vanish in generating and nobody would know."""
    assert len(e1_1.ROWS) == len({row[0] for row in e1_1.ROWS}) == 657
    assert len(concepts.ROWS) == len({row[:3] for row in concepts.ROWS}) == 214
    assert len(private.ROWS) == len({row[:3] for row in private.ROWS}) == 479
    assert len({row[2] for row in private.ROWS}) == 20
    assert len(methods.ROWS) == len({row[1] for row in methods.ROWS}) == 13
    assert len(types.SOP_CLASSES) == len(dict(types.SOP_CLASSES)) >= 175
    assert e1_1.EDITION == methods.EDITION == "2026d"


def test_the_actions_are_counted_as_published() -> None:
    """Lost otherwise: a column read wrongly would turn one action into another."""
    assert Counter(code for _, code, _ in e1_1.ROWS) == {
        "X": 417,
        "D": 93,
        "U": 55,
        "Z": 42,
        "X/D": 23,
        "X/Z": 11,
        "X/Z/D": 8,
        "Z/D": 6,
        "X/Z/U*": 2,
    }
    assert Counter(row[4] for row in concepts.ROWS) == {"X": 135, "D": 60, "X/D": 19}


def test_options_have_one_name_in_all_tables() -> None:
    """Lost otherwise: an option would act on attributes and miss content items, or claim no code."""
    assert len(OPTIONS) == 10
    assert {cell.split("=")[0] for row in concepts.ROWS for cell in row[5].split()} < OPTIONS
    pixels = {"clean_pixel_data", "clean_recognizable_visual_features"}
    assert {name for name, _, _ in methods.ROWS} == OPTIONS | pixels | {"basic"}


def test_retired_codes_lead_to_every_snomed_concept() -> None:
    """Lost otherwise: reports of the years before SNOMED CT would keep what the table takes out."""
    values = {row[0] for row in concepts.ROWS if row[1] == "SCT"}
    assert len(values) == 10
    assert {new for _, new in concepts.RETIRED} == values
    assert all(re.fullmatch(r"[A-Z]{1,2}-[0-9A-F]{4,5}", old) for old, _ in concepts.RETIRED)
    assert dict(concepts.RETIRED)["G-C0E3"] == "363698007"  # Finding Site


def test_private_rows_name_elements_of_private_blocks() -> None:
    """Lost otherwise: a safe attribute would never be found, or a standard one taken for it."""
    rows = {row[:3]: row[3:] for row in private.ROWS}
    assert rows[0x7053, 0x00, "Philips PET Private Group"] == ("DS", "1")
    assert all(group & 1 and 0 <= element <= 0xFF for group, element, _ in rows)
    assert sum(not vr for vr, _ in rows.values()) == 5  # the standard gives them no VR


def test_types_stand_at_attributes_inside_sequences() -> None:
    """Lost otherwise: a place that no data set can have would never be met."""
    known = dict(types.MODULES)
    assert {name for _, names in types.SOP_CLASSES for name in names.split()} == set(known)
    for cells in known.values():
        for cell in cells.split():
            place, type_ = cell.split("=")
            *path, tag = place.split(".")
            assert type_ in {"1", "1C", "2", "2C", "3"}
            assert vr_of(int(tag, 16)) != "UN" or tag == "0072006d"  # Selector UN Value
            assert all(vr_of(int(sequence, 16)) == "SQ" for sequence in path)


def test_the_generated_files_stay_small() -> None:
    """Lost otherwise: every start of a worker would pay for tables that it does not use."""
    assert (TABLES / "types.py").stat().st_size < 400_000

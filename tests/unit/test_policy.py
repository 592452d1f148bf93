"""The policy against the standard's own table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import oracle
import pytest

from farm.deid.policy import Action, basic, resolved
from farm.deid.standard.e1_1 import EDITION, ROWS
from farm.dicom.dictionary import vr_of

ROOT = Path(__file__).parents[2]
TABLE = ROOT.parent / "shared" / "standard" / "e1_1_2026d.json"
GENERATED = ROOT / "farm" / "deid" / "standard" / "e1_1.py"
needs_standard = pytest.mark.skipif(not TABLE.exists(), reason="the standard's data are not at hand")


def samples(pattern: str) -> list[int]:
    """Return tags that a row of the table names."""
    if pattern == "odd":
        return [0x00090010, 0x00111001, 0x7FE10010]
    if "x" not in pattern:
        return [int(pattern, 16)]
    return [
        int(pattern.replace("xxxx", low).replace("xx", group), 16)
        for group in ("00", "02", "1e")
        for low in ("0022", "3000")
    ]


def allowed(pattern: str, code: str, tag: int) -> set[str]:
    """Return the actions that a row leaves to choose from; the prose goes before the table."""
    if pattern == "odd" or tag >> 16 in {0, 2, 4}:
        return {"X"}
    return {"K"} if code == "X/Z/U*" else set(code.split("/"))


def test_every_row_has_an_action_that_its_code_allows() -> None:
    """Lost otherwise: an attribute of the table would be kept, or treated against the table."""
    for pattern, code, _ in ROWS:
        for tag in samples(pattern):
            assert basic(tag).value in allowed(pattern, code, tag), f"{tag:08x} {code}"


def test_the_table_is_whole() -> None:
    """Lost otherwise: rows could vanish in generating and nobody would know."""
    assert len(ROWS) == len({row[0] for row in ROWS}) == 657
    assert EDITION == "2026d"


@pytest.mark.parametrize(
    ("code", "vr", "action"),
    [
        ("X", "LO", Action.REMOVE),
        ("Z", "DA", Action.EMPTY),
        ("D", "PN", Action.DUMMY),
        ("U", "UI", Action.UID),
        ("X/Z", "LO", Action.EMPTY),
        ("X/D", "LO", Action.DUMMY),
        ("Z/D", "LO", Action.DUMMY),
        ("X/Z/D", "LO", Action.DUMMY),
        ("X/Z/D", "SQ", Action.EMPTY),
        ("X/D", "SQ", Action.DUMMY),
        ("X/Z/U*", "SQ", Action.KEEP),
    ],
)
def test_a_compound_code_becomes_what_every_type_allows(code: str, vr: str, action: Action) -> None:
    """Lost otherwise: a Type 1 attribute could be removed, and the output would break its IOD."""
    assert resolved(code, vr) is action


@pytest.mark.parametrize(
    "tag", [0x00080000, 0x00100000, 0x00020010, 0x00041500, 0x00000002, 0x50103000, 0x60023000, 0x00290010]
)
def test_what_the_prose_removes_is_removed(tag: int) -> None:
    """Lost otherwise: group lengths, file-set elements, overlays, curves or private elements would stay."""
    assert basic(tag) is Action.REMOVE


@pytest.mark.parametrize("tag", [0x00080060, 0x00080016, 0x00280010, 0x7FE00010, 0x00400260])
def test_what_the_table_does_not_list_is_kept(tag: int) -> None:
    """Lost otherwise: images would lose what makes them images."""
    assert basic(tag) is Action.KEEP


@needs_standard
def test_the_generated_table_is_the_standards() -> None:
    """Lost otherwise: an edit by hand, or a new edition half taken over, would go unnoticed."""
    script = ROOT / "scripts" / "generate_tables.py"
    made = subprocess.run([sys.executable, script, TABLE], capture_output=True, text=True, check=True)
    assert rows_in(made.stdout) == rows_in(GENERATED.read_text())


def rows_in(text: str) -> list[tuple[str, ...]]:
    """Return the rows of a generated module, however they are laid out."""
    return re.findall(r'\(\s*"([0-9a-fx]+|odd)",\s*"([XZDU/*]+)",\s*"([^"]*)",?\s*\)', text)


@needs_standard
def test_the_dictionary_knows_every_row() -> None:
    """Lost otherwise: in implicit VR an unknown sequence would hide its items from the profile."""
    for row in json.loads(TABLE.read_text())["rows"]:
        pattern = row["tag"].strip("()").replace(",", "").lower()
        if re.fullmatch("[0-9a-f]{8}", pattern):
            vr = vr_of(int(pattern, 16))
            assert vr != "UN" or pattern == "0072006d", row["tag"]
            assert (vr == "SQ") == bool(re.search(r"Sequence( \(|$)", row["name"])), row["tag"]


def test_the_dictionary_agrees_with_the_oracles_where_that_knows() -> None:
    """Lost otherwise: the overlay could contradict the standard's dictionary."""
    for pattern, _, _ in ROWS:
        if "x" not in pattern and pattern != "odd" and (known := oracle.vr_of(int(pattern, 16))) != "UN":
            assert vr_of(int(pattern, 16)) == known

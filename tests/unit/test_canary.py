"""Canaries: a unique text in every place that can carry one, searched for in the output."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from pathlib import Path

import farmside
import oracle
import pytest
import trees
from oracle import Element
from trees import sequence, text

from farm.deid.standard.e1_1 import ROWS
from farm.dicom.dictionary import vr_of
from farm.pipeline import KeyedMapping, process

SHARED = Path(__file__).parents[3] / "shared"
PLANT, SCORE, TABLE = (
    SHARED / "canary" / "plant.py",
    SHARED / "canary" / "score.py",
    SHARED / "standard" / "e1_1_2026d.json",
)
# Nothing may be left in these; the two sequences whose references are kept may keep their items' unlisted text.
CLEAN = (
    "E.1-1 top level",
    "E.1-1 nested depth 1",
    "E.1-1 nested depth 3",
    "file meta",
    "preamble",
    "group 0004",
    "private",
    "private nested",
    "overlay data/comments",
    "curve",
    "SR content",
    "PN other charset",
    "bytes after the pixels",
    "trailing padding",
)
KEPT_REFERENCES = 2


@pytest.mark.skipif(not PLANT.exists(), reason="the shared canary scripts are not at hand")
@pytest.mark.parametrize("syntax", ["explicit", "implicit", "deflated"])
@pytest.mark.parametrize("recipe", [farmside.BASIC, farmside.EXPLICIT_RECIPE], ids=["keep", "explicit"])
def test_no_canary_survives(tmp_path: Path, syntax: str, recipe: farmside.Recipe) -> None:
    """Lost otherwise: the point of the whole program, or a gate that holds back what is clean by the profile."""
    subprocess.run([sys.executable, "-W", "ignore", PLANT, TABLE, tmp_path, syntax], check=True, capture_output=True)
    planted = tmp_path / "canary.dcm"
    output = tmp_path / "output.dcm"
    output.write_bytes(farmside.joined(process(planted.read_bytes(), recipe, KeyedMapping(farmside.KEY))))
    made = subprocess.run(
        [sys.executable, SCORE, tmp_path / "canary.json", planted, output], capture_output=True, text=True, check=False
    )
    leaks = {name.strip(): int(count) for name, count in re.findall(r"^(.{45}) +(\d+) /", made.stdout, re.MULTILINE)}
    assert set(CLEAN) <= set(leaks)
    for category in CLEAN:
        allowed = KEPT_REFERENCES if category.startswith("E.1-1") else 0
        assert leaks[category] <= allowed, category


# The farm's own canaries, which need nothing but the tests.


def planted(marks: list[bytes]) -> list[Element]:
    """Return an element for each row of the table, and remember what was planted."""
    found = []
    for pattern, code, _ in ROWS:
        if pattern == "odd" or "x" in pattern or pattern[:4] in {"0000", "0002", "0004"} or code == "X/Z/U*":
            continue
        tag = int(pattern, 16)
        mark = b"CANARY%05dX" % len(marks)
        marks.append(mark)
        vr = vr_of(tag)
        content = [text(0x00080104, mark, "LO"), text(0x0040A160, mark, "UT")]
        found.append(sequence(tag, content) if vr == "SQ" else text(tag, mark, vr))
    return found


def secret(marks: list[bytes], where: str) -> bytes:
    """Return one more canary."""
    marks.append(b"CANARY_%s_X" % where.encode())
    return marks[-1]


@pytest.mark.parametrize("recipe", [farmside.BASIC, farmside.EXPLICIT_RECIPE], ids=["keep", "explicit"])
@pytest.mark.parametrize("name", [*trees.SYNTAXES, "deflated"])
def test_no_canary_of_the_farms_own_survives(name: str, recipe: farmside.Recipe) -> None:
    """Lost otherwise: a leak would be found only where the shared scripts are at hand."""
    marks: list[bytes] = []
    how = trees.SYNTAXES.get(name, oracle.EXPLICIT)
    nested = planted(marks)
    identity = trees.identity(secret(marks, "patient"))
    top = [element for element in planted(marks) if element.tag not in {one.tag for one in identity} | {0xFFFCFFFC}]
    found = [
        *identity,
        *top,
        sequence(0x00400260, nested),
        sequence(0x52009230, [sequence(0x00209116, [sequence(0x00189346, nested)], undefined=True)]),
        text(0x00041500, secret(marks, "group4"), "CS"),
        text(0x00290010, secret(marks, "creator")),
        text(0x00291001, secret(marks, "private"), "UN"),
        text(0x00330001, secret(marks, "orphan"), "UN"),
        text(0x60003000, secret(marks, "overlay"), "OW"),
        text(0x60020022, secret(marks, "label"), "LO"),
        text(0x50003000, secret(marks, "curve"), "OW"),
        *trees.pixels(how, secret(marks, "pixels")),
        text(0xFFFCFFFC, secret(marks, "padding"), "OB"),
    ]
    body = trees.encode(trees.in_order(found), how)
    stream = zlib.compressobj(wbits=-15)
    body = stream.compress(body) + stream.flush() if name == "deflated" else body
    meta = trees.meta(syntax=trees.UIDS[name], title=secret(marks, "title"))
    data = secret(marks, "preamble").ljust(128, b"\0") + meta[128:] + body + secret(marks, "behind")
    output = farmside.joined(farmside.run(data, recipe))
    searched = output + farmside.body(output)
    assert [mark for mark in marks if mark in searched] == []
    assert len(marks) > 1200

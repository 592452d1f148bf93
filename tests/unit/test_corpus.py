"""Real files: every one ends done or with a reason, and what is kept is kept to the byte."""

from __future__ import annotations

import io
import shutil
import subprocess
import warnings
from collections import Counter
from functools import cache
from pathlib import Path

import basic_oracle
import farmside
import oracle
import pydicom
import pytest

from farm.deid.mapping import KeyedMapping
from farm.errors import BadInput, Reason
from farm.pipeline import Product, draft

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
FILES = (
    sorted(path for path in CORPUS.rglob("*") if path.is_file() and path.name != "INDEX.tsv") if CORPUS.exists() else []
)
pytestmark = pytest.mark.skipif(not FILES, reason="the shared corpus is not at hand")


@cache
def outcome(path: Path) -> Product | BadInput:
    """Return what becomes of a file."""
    try:
        return farmside.run(path.read_bytes())
    except BadInput as error:
        return error


def done() -> list[tuple[Path, Product]]:
    """Return the files that came through."""
    return [(path, product) for path in FILES if isinstance(product := outcome(path), Product)]


def test_every_file_ends_done_or_with_a_reason() -> None:
    """Lost otherwise: real archives would hold files that the farm cannot account for."""
    reasons = Counter(product.reason for path in FILES if isinstance(product := outcome(path), BadInput))
    assert len(done()) + sum(reasons.values()) == len(FILES)
    assert len(done()) > 0.85 * len(FILES), reasons
    assert Reason.INTERNAL_ERROR not in reasons


def test_every_done_file_opens_in_pydicom_to_its_end() -> None:
    """Lost otherwise: outputs would be released that nobody can read."""
    for path, product in done():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = pydicom.dcmread(io.BytesIO(farmside.joined(product)))
            count = sum(1 for _ in found.iterall())
        assert count > 5, path
        assert found.file_meta.MediaStorageSOPInstanceUID == found.SOPInstanceUID == product.report.instance
        assert (found.PatientIdentityRemoved, found.LongitudinalTemporalInformationModified) == ("YES", "REMOVED")


def test_every_done_file_is_what_the_oracle_makes_of_it() -> None:
    """Lost otherwise: kept elements could be altered, or others kept, in the files that people really have."""
    compared = 0
    for path, known in done():
        data = disguised(path.read_bytes(), known.report.sop_class.encode())
        source = basic_oracle.read_file(data)
        try:
            made = draft(data, farmside.BASIC, KeyedMapping(farmside.KEY))
        except BadInput:  # a sequence that its own class lets go
            continue
        if source.deflated or made.pixels_changed:
            continue
        product = farmside.run(data)
        expected, uid = farmside.oracle_for(product).output(source)
        assert farmside.body(farmside.joined(product)) == expected, path
        assert product.report.target_syntax == uid.decode(), path
        compared += 1
    assert compared > 80


def disguised(data: bytes, sop_class: bytes) -> bytes:
    """Return a file as of a SOP class that nobody knows, because the oracle knows no Types."""
    return data.replace(sop_class, sop_class[:-1] + (b"9" if sop_class.endswith(b"0") else b"0"))


def test_kept_elements_are_byte_identical_to_the_sources() -> None:
    """Lost otherwise: `kept byte for byte` would be a claim."""
    for path, product in done():
        before = Counter(
            (where, element.value)
            for where, element in oracle.leaves(basic_oracle.read_file(path.read_bytes()).elements)
        )
        after = basic_oracle.read_file(farmside.joined(product)).elements
        for where, element in oracle.leaves(after):
            if is_kept(where):
                assert before[where, element.value], (path, [f"{tag:08x}" for tag in where])


def is_kept(where: tuple[int, ...]) -> bool:
    """Tell whether the profile keeps an element and all that it stands in; pixels may have been trimmed."""
    touched = basic_oracle.NOTED | {oracle.PIXELS}
    return where[0] not in touched and all(farmside.TABLE.get(tag, "K") == "K" for tag in where)


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("dcmdump") is None, reason="DCMTK's dcmdump is not installed")
def test_every_done_file_opens_in_dcmdump(tmp_path: Path) -> None:
    """Lost otherwise: outputs would be read by pydicom alone, which forgives much."""
    for number, (_, product) in enumerate(done()):
        (tmp_path / f"{number}.dcm").write_bytes(farmside.joined(product))
    made = subprocess.run(
        ["dcmdump", "-q", "+sd", tmp_path], capture_output=True, text=True, errors="replace", check=False
    )
    assert (made.returncode, [line for line in made.stderr.splitlines() if line.startswith("E:")]) == (0, [])

"""dciodvfy (dicom3tools) finds no error in an output that it does not find in its source.

It checks an instance against its IOD: what is missing, empty or not allowed, and which values are not of their VR or
not among those enumerated. The sources are real files, what ships with pydicom, and what the tests' generator makes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import farmside
import pydicom.data
import pytest
import trees

from farm.errors import BadInput
from farm.recipe.recipe import Recipe
from tests import generate

CORPUS = Path(__file__).parents[3] / "shared" / "corpus"
SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
ALL_KINDS = {"pixels": {"at_risk": "pass"}, "policy": {"private_sop_classes": "allow"}}
"""No kind of instance is left out, whatever its pixels may show."""
_PATIENCE = 60  # seconds
_AT_ONCE = 4
_VALUES = re.compile(r"<(?!/)[^<>]*>|\[\d+\]")
_NOT_CHECKED = "Error - Information Object Not found"

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools' dciodvfy is not installed"),
]


def from_corpus() -> list[Path]:
    """Return the real files."""
    return sorted(path for path in CORPUS.rglob("*") if path.is_file() and path.name != "INDEX.tsv")


def from_pydicom() -> list[Path]:
    """Return what pydicom's own tests read."""
    return sorted(SHIPPED.rglob("*.dcm"))


def contents(find: Callable[[], list[Path]]) -> dict[str, bytes]:
    """Return files by a name that is their own."""
    return {f"{number} {path.name}": path.read_bytes() for number, path in enumerate(find())}


def generated() -> dict[str, bytes]:
    """Return one instance of each kind that the generator makes."""
    made = {"ct": generate.ct(0, 3, side=16), "mr": generate.enhanced_mr(0, frames=8), "sr": generate.report(0)}
    return {name: generate.encode(dataset) for name, dataset in made.items()}


SOURCES: dict[str, Callable[[], dict[str, bytes]]] = {
    "corpus": lambda: contents(from_corpus),
    "pydicom": lambda: contents(from_pydicom),
    "generated": generated,
}


def errors_of(data: bytes) -> Counter[str]:
    """Return the errors that dciodvfy finds in a file: what and where, without values and item numbers."""
    with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
        file.write(readable(data))
        file.flush()
        command = ["dciodvfy", "-new", file.name]
        done = subprocess.run(command, capture_output=True, check=False, timeout=_PATIENCE)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return Counter(_VALUES.sub("", line).strip() for line in lines if line.startswith("Error"))


def errors(files: dict[str, bytes]) -> dict[str, Counter[str]]:
    """Return the errors of files, checked side by side, for each check is a process of its own."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(files, pool.map(errors_of, files.values()), strict=True))


@cache
def sources(kind: str) -> tuple[dict[str, bytes], dict[str, Counter[str]]]:
    """Return the files of a kind, and their own errors."""
    files = SOURCES[kind]()
    return files, errors(files)


def readable(data: bytes) -> bytes:
    """Return a file that dciodvfy can read: it knows no deflated transfer syntax."""
    deflated = trees.UIDS["deflated"] in data[:1024]
    return trees.meta() + farmside.body(data) if deflated else data


def outputs(files: dict[str, bytes], recipe: Recipe) -> dict[str, bytes]:
    """Return what comes of the files that end done."""
    made = {}
    for name, data in files.items():
        try:
            made[name] = farmside.joined(farmside.run(data, recipe))
        except BadInput:
            continue
    return made


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("preset", ["basic", "research", "strict", "ct-dose"])
def test_no_output_has_an_error_that_its_source_has_not(preset: str, kind: str) -> None:
    """Lost otherwise: outputs would be no instances of their SOP class, and archives and readers would refuse them."""
    if kind == "corpus" and not CORPUS.exists():
        pytest.skip("the shared corpus is not at hand")
    files, before = sources(kind)
    after = errors(outputs(files, Recipe.from_dict({"$extends": preset, **ALL_KINDS})))
    # Of a SOP class that is not known, or that only File Meta Information tells, the source was not checked.
    checked = [name for name in after if not before[name][_NOT_CHECKED]]
    assert len(checked) > 0.6 * len(files)
    assert {name: new for name in checked if (new := after[name] - before[name])} == {}

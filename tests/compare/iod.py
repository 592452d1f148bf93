"""New errors of conformance: what dciodvfy says of an output and did not say of its source.

dciodvfy (dicom3tools) checks an instance against its IOD. Errors that the source had already are its own; values in
angle brackets are left out, because a replaced value is not another error.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pydicom.data

_VALUE = re.compile(r"<[^<>]*>")
_PATIENCE = 60  # seconds


def why_not() -> str:
    """Return why conformance cannot be checked here; empty where it can."""
    return "" if shutil.which("dciodvfy") else "dciodvfy is not on the path (Debian: dicom3tools)"


def sources() -> list[Path]:
    """Return the files that ship with pydicom: what its own tests read, of many kinds."""
    return sorted((Path(pydicom.data.__file__).parent / "test_files").rglob("*.dcm"))


def errors(path: Path) -> Counter[str]:
    """Return the errors of one file."""
    try:
        done = subprocess.run(
            ["dciodvfy", path], capture_output=True, text=True, errors="replace", check=False, timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return Counter({"no answer": 1})
    lines = (done.stdout + done.stderr).splitlines()
    return Counter(_VALUE.sub("", line).strip() for line in lines if line.startswith("Error"))

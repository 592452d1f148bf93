"""Real mounts for tests; where mounting is not permitted the test is skipped and says so."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def mounted(target: Path, *arguments: str) -> Iterator[Path]:
    """Mount something at `target` for the block."""
    target.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *arguments, str(target)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield target
    finally:
        subprocess.run(["umount", str(target)], check=True)

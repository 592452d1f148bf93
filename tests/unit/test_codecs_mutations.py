"""Frames that were changed at random: decoded or refused, and the process lives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

COUNT = os.environ.get("CODEC_MUTATIONS", "2000")


def test_no_changed_frame_ends_the_process() -> None:
    """Lost: one instance, broken or made to break, could take its worker along; and nobody would know which."""
    made = subprocess.run(
        [sys.executable, "-m", "tests.codec_mutations", COUNT],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=280,
        check=False,
    )
    last = made.stderr.splitlines()[-1:]
    assert made.returncode == 0, (made.returncode, made.stdout, last)
    found = re.fullmatch(r"(\d+) decoded or refused, (\d+) refused\n", made.stdout)
    assert found
    assert found[1] == COUNT
    assert int(COUNT) // 10 < int(found[2]) < int(COUNT), "nearly all refused or none: these are no mutations"

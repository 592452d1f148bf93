"""Which instances were not done, for who gave the command: a file of their paths and reason codes.

The paths are the user's own, and may say as much as the instances do; so the file is made on request alone, for its
owner's eyes, and never over another. It is written as the work goes: what was said stays said if the command is killed.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from farm.cli.kept_apart import new_file
from farm.cli.options import PLACE
from farm.errors import guarded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import RawIOBase
    from pathlib import Path

_CONTROL = re.compile(rb"[\x00-\x1f\x7f\\]")

failed_option = click.option(
    "--failed",
    type=PLACE,
    metavar="FILE",
    help="Write the path of each instance that is not done, a tab and the reason; FILE must not exist (mode 0600).",
)


class Failures:
    """Takes paths and why they were not done; `None` for a file: nobody wants to know."""

    def __init__(self, file: RawIOBase | None) -> None:
        """Take a file without a buffer."""
        self._file = file

    def write(self, failed: Iterable[tuple[str, str]]) -> None:
        """Write a line for each path and reason; raise `Unavailable` where the storage does not take it."""
        lines = b"".join(_line(path, reason) for path, reason in failed)
        if self._file is None or not lines:
            return
        with guarded():
            left = memoryview(lines)
            while left:
                left = left[self._file.write(left) :]


def _line(path: str, reason: str) -> bytes:
    r"""Return a line; control characters and backslashes in a path are escaped, as `\x0a`: one line is one path."""
    safe = _CONTROL.sub(lambda found: b"\\x%02x" % ord(found[0]), os.fsencode(path))
    return safe + b"\t" + reason.encode() + b"\n"


@contextmanager
def failures(path: Path | None) -> Iterator[Failures]:
    """Make the file; raise `BadRecipe` where it is there already, or cannot be made."""
    if path is None:
        yield Failures(None)
        return
    with os.fdopen(new_file(path, "--failed"), "wb", buffering=0) as file:
        yield Failures(file)

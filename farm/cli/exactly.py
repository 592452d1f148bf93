"""One output under exactly the name that the user gave, with a store's promises: once, whole, never over another.

The folder is the user's own, so it gets no mark and no working folder; the temporary file lies beside the name.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from blake3 import blake3

from farm.errors import guarded
from farm.stores.durable import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from farm.stores import Segment


class Place:
    """A name to be taken, and the temporary file beside it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._temp = target.with_name(f".{secrets.token_hex(8)}.part")

    def write(self, segments: Sequence[Segment]) -> None:
        """Write the segments to the temporary file and bring them to stable storage."""
        with guarded(), self._temp.open("xb") as file:
            for segment in segments:
                file.write(segment)
            file.flush()
            os.fsync(file.fileno())

    def take_name(self) -> bool:
        """Give the file its name, for good; False if the name is taken."""
        with guarded():
            try:
                self._target.hardlink_to(self._temp)
            except FileExistsError:
                return False
            sync_folder(str(self._target.parent))
        return True

    def digest(self) -> str:
        """Return the BLAKE3 digest (hex) of what has the name."""
        with guarded():
            return blake3(self._target.read_bytes()).hexdigest()

    def discard(self) -> None:
        """Remove the temporary file."""
        with suppress(OSError):
            self._temp.unlink()


@contextmanager
def place(target: Path) -> Iterator[Place]:
    """Give the place of a file; nothing temporary is left behind."""
    place = Place(target)
    try:
        yield place
    finally:
        place.discard()

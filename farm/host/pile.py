"""What may be larger than memory should hold: kept as bytes while it is small, then in a file without a name.

So an instance of any size takes no more memory than a few of its pieces do; what is handed on is the file, mapped.
"""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from collections.abc import Iterable
from itertools import accumulate, pairwise
from typing import IO

from farm.dicom.elements import Data
from farm.errors import guarded
from farm.frames.encapsulated import Frame

_KEPT = 32 << 20
"""Bytes of a pile that are kept in memory."""


class Pile:
    """Bytes one behind the other, of any length together."""

    def __init__(self, spill_dir: str | None) -> None:
        self._spill_dir = spill_dir
        self._kept: list[Frame] = []
        self._lengths: list[int] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def add(self, data: Frame) -> None:
        """Put bytes behind the others; raise `Unavailable` where there is no room for them."""
        self._lengths.append(len(data))
        self._kept.append(data)
        self._size += len(data)
        if self._file is not None or self._size > _KEPT:
            self._spill()

    def streams(self) -> list[Frame]:
        """Return all that was put here, each by itself; the pile is empty then."""
        kept: list[Frame] = list(self._kept)
        if self._file is not None:
            view = memoryview(_mapped(self._file))
            kept = [view[start:end] for start, end in pairwise(accumulate(self._lengths, initial=0))]
        self.close()
        return kept

    def whole(self) -> Data:
        """Return all that was put here as one; the pile is empty then."""
        whole = b"".join(self._kept) if self._file is None else _mapped(self._file)
        self.close()
        return whole

    def close(self) -> None:
        """Let go of everything."""
        self._kept, self._lengths = [], []
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _spill(self) -> None:
        with guarded():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._spill_dir)  # noqa: SIM115 - it outlives this
            self._file.writelines(self._kept)
        self._kept = []


def joined(spill_dir: str | None, pieces: Iterable[Frame]) -> Data:
    """Return pieces one behind the other; raise `Unavailable` where there is no room for them."""
    with contextlib.closing(Pile(spill_dir)) as pile:
        for piece in pieces:
            pile.add(piece)
        return pile.whole()


def _mapped(file: IO[bytes]) -> mmap.mmap:
    with guarded():
        file.flush()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

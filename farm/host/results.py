"""What becomes of an instance, gathered frame by frame: kept as bytes while it is small, then in a file without a name.

So an instance of any size takes no more memory than a few frames do; its bitstreams are views of the file then.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import tempfile
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import IO

from farm.errors import BadInput, Reason, Unavailable
from farm.frames.codec import Changes
from farm.frames.encapsulated import Frame
from farm.frames.work import Result, WhyNot
from farm.host.bench import Done
from farm.transcoding.frames import Worked, together

_KEPT = 32 << 20
"""Bytes of an instance's results that are kept in memory."""


class Gathered:
    """The results of one instance, until one of its frames cannot be done."""

    def __init__(self, spill_dir: str | None) -> None:
        """Take the folder for what is too large for memory."""
        self._pile = Pile(spill_dir)
        self._changes: list[Changes] = []
        self._kinds: dict[Changes, Changes] = {}
        self._codecs: dict[str, None] = {}
        self._handed_back = False
        self._why_not: WhyNot | None = None
        self._error: BadInput | None = None

    @property
    def has_failed(self) -> bool:
        """Tell whether a frame could not be done, so that no other needs to be."""
        return self._error is not None

    @property
    def reason(self) -> Reason | None:
        """Why the instance cannot be done; None: nothing speaks against it."""
        return None if self._error is None else self._error.reason

    def fail(self, error: BadInput) -> None:
        """Say why the instance cannot be done; what was gathered is let go."""
        self._error = self._error or error
        self._pile.close()

    def add(self, done: Done, worked: Worked) -> None:
        """Take what became of the next frame."""
        self._pile.add(worked.data)
        self._changes.append(self._kinds.setdefault(worked.changes, worked.changes))
        self._codecs[done.codec] = None
        self._handed_back |= done.handed_back
        self._why_not = self._why_not or done.why_not

    def result(self) -> Result | BadInput:
        """Return what became of the instance; nothing can be added then."""
        try:
            changes = together(self._changes)
        except BadInput as error:
            self.fail(error)
        if self._error is not None:
            return self._error
        codec = ", ".join(self._codecs)
        return Result(
            streams=self._pile.streams(),
            changes=changes,
            codec=codec,
            handed_back=self._handed_back,
            why_not=self._why_not,
        )


class Pile:
    """Bytes one behind the other, of any length together."""

    def __init__(self, spill_dir: str | None) -> None:
        self._spill_dir = spill_dir
        self._kept: list[bytes] = []
        self._lengths: list[int] = []
        self._size = 0
        self._file: IO[bytes] | None = None

    def add(self, data: bytes) -> None:
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
            with _storage():
                self._file.flush()
                view = memoryview(mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ))
            kept = [view[start:end] for start, end in pairwise(accumulate(self._lengths, initial=0))]
        self.close()
        return kept

    def close(self) -> None:
        """Let go of everything."""
        self._kept, self._lengths = [], []
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

    def _spill(self) -> None:
        with _storage():
            if self._file is None:
                self._file = tempfile.TemporaryFile(dir=self._spill_dir)  # noqa: SIM115 - it outlives this
            self._file.writelines(self._kept)
        self._kept = []


@contextlib.contextmanager
def _storage() -> Iterator[None]:
    """Turn what the disk says into `Unavailable`."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise Unavailable(Reason.NO_SPACE if full else Reason.STORAGE_ERROR) from None

"""How much memory a process and its children have at most, of what nobody can take from them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_EVERY = 0.005


class Watch:
    """Samples anonymous and shared memory of this process and its children; `most` is the most it saw, in bytes."""

    def __init__(self) -> None:
        self.most = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            self.most = max(self.most, sum(_held(pid) for pid in [os.getpid(), *_children(os.getpid())]))


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _held(pid: int) -> int:
    """Return what a process holds: its own pages, and its share of memory that is a file without a name."""
    kinds = {"RssAnon:": 1, "RssShmem:": 2}  # both sides of a host see the same shared memory
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    words = [line.split() for line in lines]
    return sum(int(one[1]) * 1024 // kinds[one[0]] for one in words if one and one[0] in kinds)

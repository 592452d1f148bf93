"""A store in memory, for tests: it keeps the same promises and forgets all at the end."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from blake3 import blake3

from farm.errors import BadRecipe, Reason, Unavailable
from farm.stores.store import Owner, Segment, Staged, Store, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class MemoryStore(Store):
    """Files by path, readable by tests."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.orphans: list[bytes] = []
        self._owner: Owner | None = None
        self._numbers = itertools.count()
        self._unsynced: dict[str, bytes] = {}
        self._synced: dict[str, bytes] = {}

    def open(self, owner: Owner, *, create: bool = True) -> None:
        """Tie the destination to its owner, or check that it is tied to this one."""
        if self._owner is None and not create:
            raise Unavailable(Reason.STORAGE_ERROR)
        if self._owner not in {None, owner} or (self._owner is None and self.files):
            raise BadRecipe(Reason.BAD_DESTINATION)
        self._owner = owner

    def stage(self, path: str, segments: Sequence[Segment]) -> Staged:
        """Keep the segments, joined."""
        checked(path)
        content = b"".join(segments)
        staged = Staged(path=path, temp=str(next(self._numbers)), size=len(content))
        self._unsynced[staged.temp] = content
        return staged

    def sync(self, staged: Sequence[Staged]) -> None:
        """Count what was staged as stable."""
        for item in staged:
            if item.temp in self._unsynced:
                self._synced[item.temp] = self._unsynced.pop(item.temp)

    def release(self, staged: Staged) -> bool:
        """Give it its name; False if the name is taken."""
        if staged.temp in self._unsynced:
            raise RuntimeError("an instance must be synced before it is released")
        if staged.temp not in self._synced:
            raise Unavailable(Reason.STORAGE_ERROR)
        if staged.path in self.files:
            return False
        self.files[staged.path] = self._synced.pop(staged.temp)
        return True

    def settle(self, paths: Iterable[str]) -> None:
        """Do nothing: memory has no names to flush."""

    def discard(self, staged: Staged) -> None:
        """Forget what was staged."""
        self._unsynced.pop(staged.temp, None)
        self._synced.pop(staged.temp, None)

    def digest_of(self, path: str) -> str | None:
        """Return the content's digest, or None."""
        content = self.files.get(checked(path))
        return None if content is None else blake3(content).hexdigest()

    def set_aside(self, path: str) -> None:
        """Move the content to the orphans."""
        if checked(path) in self.files:
            self.orphans.append(self.files.pop(path))

    def sweep(self, older_than_s: float) -> int:  # noqa: ARG002 - all that is staged here is of a dead process
        """Forget all that is staged."""
        count = len(self._unsynced) + len(self._synced)
        self._unsynced.clear()
        self._synced.clear()
        return count

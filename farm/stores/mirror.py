"""A folder whose instances have the names that they have in a source: where `farm transcode` writes.

It keeps the promises of a store: an instance is there whole, for good, and never in place of another. But it is the
user's own folder. It belongs to no project, names in it are whatever the source's are, and it may hold anything else
already. The working folder is there only while somebody works, as crawlers pass over `.farm` and people need not.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import BadRecipe, Reason, Unavailable, unavailable
from farm.stores import mark
from farm.stores.durable import sync_folder
from farm.stores.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.stores.store import Segment, Staged

_UNUSABLE = {
    **dict.fromkeys((errno.EACCES, errno.EROFS), "The destination cannot be written"),
    **dict.fromkeys((errno.ENOTDIR, errno.EEXIST), "The destination is not a folder"),
    **dict.fromkeys((errno.EPERM, errno.ENOTSUP, errno.ENOSYS), "The destination's file system has no hard links"),
}
_IN_THE_WAY = frozenset({"ENOTDIR", "EEXIST"})
"""What is answered where a file stands for a folder of the path."""


class Mirror(LocalStore):
    """A folder for names from a source; for one thread of one process, any number of which may share the folder."""

    def make(self) -> None:
        """Make the folder where it is missing; raise `BadRecipe` where it cannot be used, or is a project's."""
        refuse_projects(self._path)
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._make_temps()
            self._try_links()
            sync_folder(str(self._path.parent))
        except OSError as error:
            hint = _UNUSABLE.get(error.errno or 0)
            if hint is None:
                raise unavailable(error) from None
            raise BadRecipe(Reason.BAD_DESTINATION, hint) from None

    def tidy(self) -> None:
        """Remove the working folder, unless somebody else is at work; what a killed one left stays until it is old."""
        with suppress(OSError):
            Path(self._temps).rmdir()
            Path(self._temps).parent.rmdir()

    def stage(self, path: str, segments: Sequence[Segment]) -> Staged:
        """Write the segments to a temporary file; on failure nothing is left."""
        try:
            return super().stage(path, segments)
        except Unavailable as error:
            if error.fields.get("errno") != "ENOENT":
                raise
        try:
            self._make_temps()  # another command has tidied up
        except OSError as error:
            raise unavailable(error) from None
        return super().stage(path, segments)

    def release(self, staged: Staged) -> bool:
        """Link the file to its name; False if the name is taken, or that of one of its folders."""
        try:
            return super().release(staged)
        except Unavailable as error:
            if error.fields.get("errno") in _IN_THE_WAY:
                return False
            raise

    def digest_of(self, path: str) -> str | None:
        """Return the file's digest; None if the name is free, empty (no digest) if it cannot be a file's."""
        try:
            return super().digest_of(path)
        except Unavailable as error:
            if error.fields.get("errno") in _IN_THE_WAY:
                return ""
            raise

    def _checked(self, path: str) -> str:
        """Return the path: a crawl gave it, name by name."""
        return path

    def _make_temps(self) -> None:
        """Make the working folder, but never the destination: it may be away."""
        for folder in (Path(self._temps).parent, Path(self._temps)):
            folder.mkdir(mode=0o700, exist_ok=True)

    def _try_links(self) -> None:
        first = Path(self._temps) / f"{secrets.token_hex(8)}.link"
        second = first.with_suffix(".linked")
        try:
            first.touch(exist_ok=False)
            second.hardlink_to(first)
        finally:
            for path in (first, second):
                with suppress(OSError):
                    path.unlink()


def refuse_projects(path: Path) -> None:
    """Raise `BadRecipe` where a path lies in the destination of a project: what is de-identified stays by itself."""
    if mark.is_inside(Path(os.path.realpath(path))):
        raise BadRecipe(Reason.BAD_DESTINATION, "The destination holds the de-identified output of a project")

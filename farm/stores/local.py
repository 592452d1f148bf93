"""A folder of a local or mounted file system as a store.

An instance is written to `.farm/tmp` in the destination, which is the same file system, so its final name is one
`link` that cannot replace anything. `.farm` is 0700: nobody reads what has no name yet.

What measurement decided (512 KiB and 35 KiB instances, 64 in a parcel, ext4):

* `writev` of the splice's segments; joining them first costs 20 % more, `posix_fallocate` gains nothing and is
  emulated by writing zeros where it is missing.
* The kernel is told to begin writing (`POSIX_FADV_DONTNEED`) right after each instance, while the next one is worked
  on. A later `fsync` of all, one after the other, then finds the data on the disk and the blocks allocated, and one
  journal commit serves the parcel: half the wall time of plain `fsync`, and less of both wall time and CPU than a pool
  of 2 to 32 threads, so there is no pool.
* Named temporary files; `O_TMPFILE` costs more than the `unlink` it saves, and network file systems lack it.
* Files stay open until they are synced: a reopened file may have lost the error of its write-back, and a close on NFS
  waits for the server.
"""

# A pathlib object costs more than the call that it makes, and these run several times for each instance.
# ruff: noqa: PTH103, PTH104, PTH108, PTH116, PTH119, PTH120

from __future__ import annotations

import errno
import itertools
import os
import secrets
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from blake3 import blake3

from farm.errors import guarded, unavailable
from farm.stores import mark
from farm.stores.durable import sync_folder
from farm.stores.store import Owner, Segment, Staged, Store, checked

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_TEMPS = "tmp"
_ORPHANS = "orphans"
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_FILE = frozenset({errno.ELOOP, errno.ENXIO})
"""What opening a link or a socket answers."""
_BATCH = 1000
"""Segments in one `writev`; Linux takes 1024."""
_MOST_OPEN = 256
"""Staged files kept open; beyond that each is synced at once, so that no parcel exhausts the descriptors."""
_MOST_KNOWN = 10_000
_PIECE = 1 << 20


class LocalStore(Store):
    """A folder as a store; for one thread of one process, any number of which may share the folder."""

    def __init__(self, root: Path) -> None:
        self._path = root
        self._root = os.fspath(root)
        self._temps = f"{self._root}/{mark.FOLDER}/{_TEMPS}"
        self._orphans = f"{self._root}/{mark.FOLDER}/{_ORPHANS}"
        self._token = secrets.token_hex(8)
        self._numbers = itertools.count()
        self._open: dict[str, int] = {}
        self._known: set[str] = {""}
        """Folders whose own names are on stable storage, as far as this process has seen to."""

    def open(self, owner: Owner, *, create: bool = True) -> None:
        """Tie the destination to its owner, or check that it is tied to this one."""
        if not create:
            mark.check(self._path, owner)
            return
        mark.make(self._path, owner)
        with guarded():
            os.makedirs(self._temps, mode=0o700, exist_ok=True)
            os.makedirs(self._orphans, mode=0o700, exist_ok=True)

    def stage(self, path: str, segments: Sequence[Segment]) -> Staged:
        """Write the segments to a temporary file; on failure nothing is left."""
        self._checked(path)
        temp = f"{self._temps}/{self._unique()}"
        try:
            fd = os.open(temp, _CREATE, 0o644)
        except OSError as error:
            raise unavailable(error) from None
        self._open[temp] = fd
        staged = Staged(path=path, temp=temp, size=0)
        try:
            size = _write(fd, segments)
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
            if len(self._open) > _MOST_OPEN:
                self._flush(temp)
        except OSError as error:
            self.discard(staged)
            raise unavailable(error) from None
        except BaseException:
            self.discard(staged)
            raise
        return Staged(path=path, temp=temp, size=size)

    def sync(self, staged: Sequence[Staged]) -> None:
        """Sync every file; when one fails discard all, since a second `fsync` after a failed one reports success."""
        try:
            for item in staged:
                self._flush(item.temp)
        except OSError as error:
            for item in staged:
                self.discard(item)
            raise unavailable(error) from None

    def release(self, staged: Staged) -> bool:
        """Link the file to its name; False if the name is taken."""
        if staged.temp in self._open:
            raise RuntimeError("an instance must be synced before it is released")
        final = f"{self._root}/{staged.path}"
        with guarded():
            try:
                taken = not _link(staged.temp, final)
            except FileNotFoundError:
                os.lstat(staged.temp)  # when the whole destination is away, nothing must be made in its place
                os.makedirs(os.path.dirname(final), exist_ok=True)
                taken = not _link(staged.temp, final)
        if taken:
            return False
        with suppress(OSError):  # the name stands; a temporary one that stays is swept
            os.unlink(staged.temp)
        return True

    def settle(self, paths: Iterable[str]) -> None:
        """Sync each folder that holds a name, and those above it that this process has not synced since it saw them.

        A folder above may have been made by another worker that has not synced it yet.
        """
        due: dict[str, None] = {}
        fresh: set[str] = set()
        for path in paths:
            folder = os.path.dirname(path)
            due[folder] = None
            while folder not in self._known and folder not in fresh:
                fresh.add(folder)
                folder = os.path.dirname(folder)
                due[folder] = None
        with guarded():
            for folder in due:
                sync_folder(f"{self._root}/{folder}")
        if len(self._known) + len(fresh) > _MOST_KNOWN:
            self._known = {""}
        self._known |= fresh

    def discard(self, staged: Staged) -> None:
        """Close and remove the temporary file; what cannot be removed now is swept later."""
        fd = self._open.pop(staged.temp, None)
        with suppress(OSError):
            os.unlink(staged.temp)
        if fd is not None:
            with suppress(OSError):
                os.close(fd)

    def digest_of(self, path: str) -> str | None:
        """Return the file's digest; None if the name is free, empty (no digest) if it is no regular file."""
        with guarded():
            try:
                fd = os.open(f"{self._root}/{self._checked(path)}", _READ)
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno in _NO_FILE:
                    return ""
                raise
            try:
                return _digest(fd) if stat.S_ISREG(os.fstat(fd).st_mode) else ""
            finally:
                os.close(fd)

    def set_aside(self, path: str) -> None:
        """Move what has the name to `.farm/orphans`, under its last component and a unique prefix."""
        orphan = f"{self._orphans}/{self._unique()}-{os.path.basename(path)}"
        with guarded(), suppress(FileNotFoundError):
            os.rename(f"{self._root}/{self._checked(path)}", orphan)

    def sweep(self, older_than_s: float) -> int:
        """Remove temporary files last written longer ago than that, by the file system's own clock."""
        removed = 0
        with guarded():
            os.utime(self._temps)
            now = os.stat(self._temps).st_mtime
            with os.scandir(self._temps) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        if now - entry.stat(follow_symlinks=False).st_mtime > older_than_s:
                            os.unlink(entry.path)
                            removed += 1
        return removed

    def unseen(self) -> tuple[int, int]:
        """Count what lies in the store's own folder: what is staged, by anybody, and the orphans."""
        with guarded():
            return _count(self._temps), _count(self._orphans)

    def _checked(self, path: str) -> str:
        """Return a path if it can be an output's here; raise `BadRecipe` otherwise."""
        return checked(path)

    def _unique(self) -> str:
        return f"{self._token}-{os.getpid():x}-{next(self._numbers):x}"

    def _flush(self, temp: str) -> None:
        fd = self._open.pop(temp, None)
        if fd is None:
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _count(folder: str) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(1 for _ in entries)
    except FileNotFoundError:
        return 0


def _write(fd: int, segments: Sequence[Segment]) -> int:
    """Write all segments without joining them; return the bytes written."""
    size = 0
    for start in range(0, len(segments), _BATCH):
        batch = segments[start : start + _BATCH]
        wanted = sum(part.nbytes if isinstance(part, memoryview) else len(part) for part in batch)
        written = os.writev(fd, batch)
        if written != wanted:
            _write_rest(fd, batch, written)
        size += wanted
    return size


def _write_rest(fd: int, batch: Sequence[Segment], done: int) -> None:
    """Write what a partial `writev` (2 GiB at most, or a disk just full) left of its batch."""
    for part in batch:
        view = memoryview(part).cast("B")
        skipped = min(done, view.nbytes)
        done -= skipped
        while skipped < view.nbytes:
            skipped += os.write(fd, view[skipped:])


def _link(temp: str, final: str) -> bool:
    try:
        os.link(temp, final)
    except FileExistsError:
        # NFS may have lost the answer to a link that it made.
        return os.path.samestat(os.lstat(temp), os.lstat(final))
    return True


def _digest(fd: int) -> str:
    digest = blake3()
    piece = bytearray(_PIECE)
    while count := os.readv(fd, [piece]):
        digest.update(memoryview(piece)[:count])
    return digest.hexdigest()

"""A folder, or a single file, as a source: found without following links, read once, and checked for change.

A crawl may meet ten million files in one folder, so it holds one open folder for each level and never a list. The
order is the file system's. Links are not followed: they lead out of the source, or back into it. Whatever is left out
is counted, so that nothing is skipped silently.

An instance is read into private memory in one go: what is examined is then what is written, whatever happens to the
file meanwhile. That a writer was at work is seen from inode, size and time before and after. Beyond the limit a file
is mapped, which can only be checked when the work is done.

Measured for 512 KiB in the page cache: `os.read` into fresh bytes costs what `readv` into a reused buffer costs, and
bytes cannot be overwritten by the next instance; a fresh `bytearray` costs a third more, as it is filled with zeros.
"""

# Names are bytes here, which pathlib does not take.
# ruff: noqa: PTH116, PTH119

from __future__ import annotations

import errno
import mmap
import os
import stat
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farm.errors import BadInput, BadRecipe, FarmError, Reason, Unavailable, symbol_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Never through a link, and never waiting for the other end of a FIFO."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 128
"""Levels of folders: two descriptors each, and ten times what any archive has."""
_STORE_FOLDER = ".farm"

_GONE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ELOOP,
        errno.EACCES,
        errno.EPERM,
        errno.ENAMETOOLONG,
        errno.ENXIO,
        errno.ENODEV,
        errno.EIO,
    }
)
"""What is said of one file or folder; anything else (stale handle, no descriptors, server away) is about the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A regular file that was found."""

    locator: bytes
    """Its path relative to the source; it may hold a name, so it is sealed before it is stored."""
    size: int
    mtime_ns: int


@dataclass(slots=True, kw_only=True)
class Counters:
    """What a crawl met; kept up to date while it runs, which may take hours."""

    files: int = 0
    folders: int = 0
    symlinks: int = 0
    """Never followed."""
    special: int = 0
    """FIFOs, sockets and devices."""
    unreadable: int = 0
    """Folders that cannot be listed, and files that cannot be looked at."""
    loops: int = 0
    """Folders that contain themselves, or lie too deep."""
    farm_folders: int = 0
    """`.farm` folders of a destination."""

    def to_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


class _Level:
    """A folder that is being listed: its descriptor, what is left of its entries, its path with `/` at the end."""

    __slots__ = ("entries", "fd", "identity", "prefix")

    def __init__(self, fd: int, prefix: bytes) -> None:
        self.fd = fd
        self.prefix = prefix
        try:
            status = os.fstat(fd)
            self.identity = (status.st_dev, status.st_ino)
            self.entries = os.scandir(fd)
        except BaseException:
            os.close(fd)
            raise

    def close(self) -> None:
        self.entries.close()
        os.close(self.fd)


class FolderSource:
    """A folder, or one file (whose locator is its name), as a source."""

    def __init__(self, root: Path) -> None:
        """Touch nothing yet: a worker may be started while the source is away."""
        self._root = os.fsencode(os.path.realpath(root))
        self._prefix = self._root.rstrip(b"/") + b"/"

    def check(self) -> None:
        """Raise `BadRecipe` (`bad-source`) unless there is a folder or a regular file that can be read."""
        try:
            fd = os.open(self._root, _FILE)
        except OSError as error:
            raise BadRecipe(Reason.BAD_SOURCE, errno=symbol_of(error)) from None
        try:
            mode = os.fstat(fd).st_mode
        finally:
            os.close(fd)
        if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
            raise BadRecipe(Reason.BAD_SOURCE, "The source is neither a folder nor a regular file")

    def crawl(self, counters: Counters) -> Iterator[Entry]:
        """Yield every regular file, in the file system's order and with flat memory; count what is left out.

        Raise `BadRecipe` as `check` does, and `Unavailable` if the source goes away meanwhile.
        """
        self.check()
        try:
            status = os.stat(self._root)
            if stat.S_ISREG(status.st_mode):
                counters.files += 1
                yield Entry(locator=os.path.basename(self._root), size=status.st_size, mtime_ns=status.st_mtime_ns)
            else:
                yield from _walk(_Level(os.open(self._root, _FOLDER), b""), counters)
        except OSError as error:
            raise Unavailable(Reason.STORAGE_ERROR, "The source went away", errno=symbol_of(error)) from None

    @contextmanager
    def read(self, locator: bytes, *, size: int, mtime_ns: int, limit: int) -> Iterator[bytes | mmap.mmap]:
        """Give the file's bytes: in memory up to `limit`, mapped beyond.

        Raise `BadInput`: `source-changed` if size or time are not those that were found, or change while it is read
        (of a mapped file that is known at the end of the block only, so stage inside the block, and discard what was
        staged when it raises); `source-gone` if it is missing, unreadable or no regular file. Raise `Unavailable` if
        the whole source is away.
        """
        fd = self._open(locator)
        try:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise BadInput(Reason.SOURCE_GONE)
            if before.st_size != size or before.st_mtime_ns != mtime_ns:
                raise BadInput(Reason.SOURCE_CHANGED)
            if size <= limit:
                data = self._bytes(fd, size)
                _check_unchanged(before, os.fstat(fd))
                yield data
            else:
                mapped = self._mapped(fd, size)
                yield mapped
                _check_unchanged(before, os.fstat(fd))
        finally:
            os.close(fd)

    def head(self, locator: bytes, size: int = 65536) -> bytes:
        """Return the file's first bytes, for the survey; errors as for `read`, but change is not looked for."""
        fd = self._open(locator)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise BadInput(Reason.SOURCE_GONE)
            return os.read(fd, size)
        except OSError as error:
            raise self._blame(error) from None
        finally:
            os.close(fd)

    def _open(self, locator: bytes) -> int:
        try:
            return os.open(self._prefix + locator, _FILE)
        except NotADirectoryError:
            single = locator == os.path.basename(self._root)
        except OSError as error:
            raise self._blame(error) from None
        try:
            return os.open(self._root if single else self._prefix + locator, _FILE)
        except OSError as error:
            raise self._blame(error) from None

    def _bytes(self, fd: int, size: int) -> bytes:
        try:
            data = os.read(fd, size)
            while len(data) < size and (more := os.read(fd, size - len(data))):  # FUSE, or more than 2 GiB
                data += more
        except OSError as error:
            raise self._blame(error) from None
        if len(data) != size:
            raise BadInput(Reason.SOURCE_CHANGED)
        return data

    def _mapped(self, fd: int, size: int) -> mmap.mmap:
        try:
            mapped = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
            mapped.madvise(mmap.MADV_SEQUENTIAL)
        except ValueError:  # it shrank since
            raise BadInput(Reason.SOURCE_CHANGED) from None
        except OSError as error:
            raise self._blame(error) from None
        return mapped

    def _blame(self, error: OSError) -> FarmError:
        """Return whose fault it is that a file could not be read: its own, or the whole source's."""
        if error.errno in _GONE and os.path.lexists(self._root):
            return BadInput(Reason.SOURCE_GONE, errno=symbol_of(error))
        return Unavailable(Reason.STORAGE_ERROR, "The source is away", errno=symbol_of(error))


def _walk(top: _Level, counters: Counters) -> Iterator[Entry]:
    """Yield the files below, depth first, holding one open level for each folder on the way down."""
    levels = [top]
    counters.folders += 1
    try:
        while levels:
            level = levels[-1]
            try:
                entry = next(level.entries, None)
            except OSError as error:
                _count_unreadable(error, counters)
                entry = None
            if entry is None:
                levels.pop().close()
            elif entry.is_dir(follow_symlinks=False):
                below = _entered(entry.name, levels, counters)
                if below is not None:
                    levels.append(below)
            else:
                found = _found(entry, level.prefix, counters)
                if found is not None:
                    yield found
    finally:
        for level in levels:
            level.close()


def _entered(name: str, levels: list[_Level], counters: Counters) -> _Level | None:
    """Open a folder of the deepest level, or count why not."""
    if name == _STORE_FOLDER:
        counters.farm_folders += 1
        return None
    try:
        fd = os.open(name, _FOLDER, dir_fd=levels[-1].fd)
        below = _Level(fd, levels[-1].prefix + os.fsencode(name) + b"/")
    except OSError as error:
        _count_unreadable(error, counters)
        return None
    if len(levels) >= _DEEPEST or any(level.identity == below.identity for level in levels):
        counters.loops += 1
        below.close()
        return None
    counters.folders += 1
    return below


def _found(entry: os.DirEntry[str], prefix: bytes, counters: Counters) -> Entry | None:
    """Return a regular file, or count what else it is."""
    if entry.is_symlink():
        counters.symlinks += 1
        return None
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        _count_unreadable(error, counters)
        return None
    if not stat.S_ISREG(status.st_mode):
        counters.special += 1
        return None
    counters.files += 1
    return Entry(locator=prefix + os.fsencode(entry.name), size=status.st_size, mtime_ns=status.st_mtime_ns)


def _count_unreadable(error: OSError, counters: Counters) -> None:
    """Count a file or folder of its own fault; raise what is about the whole source."""
    if error.errno not in _GONE:
        raise error
    counters.unreadable += 1


def _check_unchanged(before: os.stat_result, after: os.stat_result) -> None:
    if before.st_size != after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise BadInput(Reason.SOURCE_CHANGED)

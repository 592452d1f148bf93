"""The spool: a folder of instances as they arrived, each a file under a name that says nothing.

It belongs to the vault, so only its owner may enter. A file is `.part` until its content is on stable storage; then it
takes its name, and one sync of the folder makes the names of a whole batch stable. What no row of the ledger knows was
never acknowledged, so a start may remove it.

A file is made late: what fits is held in memory, and written by the thread that also waits for the disk. Making a file
waits whenever the file system is just writing down its last changes (ext4: 0.1 ms alone, over 1 ms beside the syncs of
a group commit), and on the event loop every association would wait with it.

The folder is flat: with 200,000 files in it (ext4) a file is made, named and removed in the time it takes in an empty
one.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farm.errors import guarded
from farm.stores.durable import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAME_BYTES: Final = 16
_PART: Final = ".part"
_HELD_BYTES: Final = 1 << 20
"""Most instances are smaller, and a hundred associations hold no more than a hundred MiB."""
_OURS: Final = re.compile(r"[0-9a-f]{32}(\.part)?")
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A spooled file that has all of its bytes and its name."""

    name: str
    size: int
    mtime_ns: int


class Spooled:
    """One file on its way into the spool; for one thread at a time."""

    __slots__ = ("_fd", "_held", "_path", "name")

    def __init__(self, root: str, name: str) -> None:
        """Take the folder and a name; nothing is made yet."""
        self.name = name
        self._path = f"{root}/{name}"
        self._fd = -1
        self._held = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Add bytes; raise `Unavailable` where they could not be written, and then discard the file."""
        if self._fd < 0 and len(self._held) + len(data) <= _HELD_BYTES:
            self._held += data
            return
        with guarded():
            self._drain()
            _write(self._fd, memoryview(data))

    def _drain(self) -> None:
        """Make the file, if need be, and write what is held."""
        if self._fd < 0:
            self._fd = os.open(self._path + _PART, _NEW, 0o600)
        held, self._held = self._held, bytearray()
        _write(self._fd, memoryview(held))

    def finish(self, *, durable: bool = True) -> Whole:
        """Bring the content to stable storage and give the file its name, which `Spool.settle` makes stable.

        Raise `Unavailable` where that cannot be done, and then discard the file.
        """
        with guarded():
            self._drain()
            fd, self._fd = self._fd, -1
            try:
                if durable:
                    os.fdatasync(fd)
                status = os.fstat(fd)
            finally:
                os.close(fd)
            os.rename(self._path + _PART, self._path)  # noqa: PTH104 - paths are text here: half the cost of a file
        return Whole(name=self.name, size=status.st_size, mtime_ns=status.st_mtime_ns)

    def discard(self) -> None:
        """Leave nothing behind."""
        self._held = bytearray()
        fd, self._fd = self._fd, -1
        with suppress(OSError):
            if fd >= 0:
                os.close(fd)
        _remove(self._path + _PART)


class Spool:
    """The folder of instances that arrived; processes may share it."""

    def __init__(self, root: Path) -> None:
        """Make the folder, or take the one there is, as one that nobody else may enter; raise `Unavailable`."""
        self.root = root.resolve()
        self._path = str(self.root)
        with guarded():
            self.root.parent.mkdir(parents=True, exist_ok=True, mode=0o700)  # `parents` would not mind the mode
            self.root.mkdir(exist_ok=True, mode=0o700)
            self.root.chmod(0o700)
            sync_folder(str(self.root.parent))
            self._fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._fd, fcntl.LOCK_SH)

    def begin(self, header: bytes) -> Spooled:
        """Begin a file with its header (PS3.10 section 7.1)."""
        spooled = Spooled(self._path, secrets.token_hex(_NAME_BYTES))
        spooled.write(header)
        return spooled

    def settle(self) -> None:
        """Bring the names in the folder to stable storage; raise `Unavailable` where that fails."""
        with guarded():
            sync_folder(self._path)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files by their names; one that cannot be removed is left over for the next start."""
        for name in names:
            _remove(f"{self._path}/{name}")

    def leftovers(self, known: Iterable[str]) -> int:
        """Remove the spool's files that are not `known`, before anything is begun; return how many.

        Nothing is removed while another process has the spool open, since it may have acknowledged what is not known
        yet: `known` is therefore read behind the lock. Whatever else lies in the folder is not ours, and stays.
        """
        with guarded():
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(self._fd, fcntl.LOCK_SH)  # a failed upgrade has dropped the lock
                return 0
            try:
                with os.scandir(self._path) as entries:
                    names = {entry.name for entry in entries if _OURS.fullmatch(entry.name)}
                names.difference_update(known)
                self.remove(names)
            finally:
                fcntl.flock(self._fd, fcntl.LOCK_SH)
        return len(names)

    def close(self) -> None:
        """Let another process clear the spool."""
        os.close(self._fd)


def _write(fd: int, rest: memoryview) -> None:
    while rest:
        rest = rest[os.write(fd, rest) :]


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - paths are text here

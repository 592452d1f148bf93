"""What it takes on Linux for a file to be there after a power cut, and what its failures mean.

A file's content is stable after `fsync` of the file, its name after `fsync` of the folder that holds the name. An
`OSError` carries a path, so it never leaves this layer: it becomes `Unavailable`.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from farm.errors import guarded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def sync_folder(path: str) -> None:
    """Bring the names in a folder to stable storage."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if (
            error.errno != errno.EINVAL
        ):  # a file system that has nothing to flush for a folder says so (CIFS, some FUSE)
            raise
    finally:
        os.close(fd)


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what is written there takes its place, whole, when the block succeeds.

    Of a link the file that it leads to is replaced. A pipe or a device is written to itself: it is nobody's to replace.
    """
    with guarded():
        if path.exists() and not path.is_file():
            yield path
            return
        path = path.resolve()
    temp = path.with_name(f".{secrets.token_hex(8)}.part")
    with guarded():
        try:
            yield temp
            fd = os.open(temp, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
            temp.replace(path)
            sync_folder(str(path.parent))
        except BaseException:
            with suppress(OSError):
                temp.unlink()
            raise

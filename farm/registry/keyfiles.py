"""Key files: 32 random bytes as hex text under a line that says what they are.

A key is created once and never overwritten: it is written to a temporary name and linked to its own, so no reader ever
sees half a key, and of two processes that create it at once both end up with the same one. A file that group or others
may read is refused rather than repaired: what was readable may have been read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from farm.errors import BadRecipe, Reason, symbol_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LENGTH: Final = 32
HEADERS: Final = {
    "project": "# dicom-farm project key: UIDs and pseudonyms derive from it; lose it and they cannot be made again",
    "vault": "# dicom-farm vault key: it opens the sealed originals; lose it and the way back is lost",
}
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MOST: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyFile:
    """A key as loaded, and whether it was created just now."""

    secret: bytes = field(repr=False)
    created: bool


def load(path: Path, kind: str) -> bytes:
    """Return the key of `kind`; raise `BadRecipe(BAD_KEY)` where there is none: a new one would open nothing."""
    with _told(kind):
        if path.exists():
            return _load(path, kind)
    raise BadRecipe(Reason.BAD_KEY, f"there is no {kind} key here")


def load_or_create(path: Path, kind: str) -> KeyFile:
    """Return the key of `kind` (a name of `HEADERS`); make the file (0600, in a folder 0700) when it is missing."""
    with _told(kind):
        created = not path.exists() and _create(path, kind)
        return KeyFile(secret=_load(path, kind), created=created)


@contextlib.contextmanager
def _told(kind: str) -> Iterator[None]:
    """Turn what the file system raises, which names the path, into the farm's error."""
    try:
        yield
    except OSError as error:
        hint = f"the {kind} key file cannot be read or written"
        raise BadRecipe(Reason.BAD_KEY, hint, errno=symbol_of(error)) from None


def _create(path: Path, kind: str) -> bool:
    """Write a new key; return False where another process was first."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    text = f"{HEADERS[kind]}\n{secrets.token_hex(LENGTH)}\n".encode()
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    _sync_folder(path.parent)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _load(path: Path, kind: str) -> bytes:
    # Links are followed: an orchestrator mounts its secrets as links. What they lead to is checked, once it is open.
    with path.open("rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise BadRecipe(Reason.BAD_KEY, f"the {kind} key file is not a regular file")
        if status.st_mode & _OTHERS:
            raise BadRecipe(Reason.BAD_KEY, f"the {kind} key file may be read by others; make it 0600")
        text = file.read(_MOST)
    return _parsed(text, kind)


def _parsed(text: bytes, kind: str) -> bytes:
    lines = [line.strip() for line in text.decode("ascii", "replace").splitlines() if line.strip()]
    headers = [line for line in lines if line.startswith("#")]
    other = [HEADERS[name].partition(":")[0] for name in HEADERS if name != kind]
    if any(header.startswith(tuple(other)) for header in headers):
        raise BadRecipe(Reason.BAD_KEY, f"the file named for the {kind} key holds a key of another kind")
    keys = [line for line in lines if not line.startswith("#")]
    with contextlib.suppress(ValueError):
        if len(keys) == 1 and len(secret := bytes.fromhex(keys[0])) == LENGTH:
            return secret
    raise BadRecipe(Reason.BAD_KEY, f"the {kind} key file does not hold {2 * LENGTH} hexadecimal digits")

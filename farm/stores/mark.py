"""The mark that ties a destination folder to one project, one project key and one recipe.

Two recipes in one folder would put differently de-identified copies of one study side by side, two projects would mix
their subjects, and two keys (of two homes, say) make two subjects of one. So the first run writes
`.farm/destination.json`, and every later run and every worker compares it. The mark is made by a hard link that
replaces nothing: of two first runs at a time one wins and the other reads the winner's, and a file system without hard
links is found out before any work is done.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
from dataclasses import asdict
from typing import TYPE_CHECKING

from farm.errors import BadRecipe, Reason, Unavailable, guarded, unavailable
from farm.stores.durable import sync_folder

if TYPE_CHECKING:
    from pathlib import Path

    from farm.stores.store import Owner

FOLDER = ".farm"
_NAME = "destination.json"
_FORMAT = 2
_HARMLESS = frozenset({FOLDER, "lost+found"})
"""What an unmarked destination may hold: what a killed first run left, and what a fresh ext4 volume comes with."""

_UNUSABLE = {
    errno.EACCES: "The destination cannot be written",
    errno.EROFS: "The destination cannot be written",
    errno.ENOTDIR: "The destination is not a folder",
    errno.EEXIST: "The destination is not a folder",
}
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS})


def is_inside(path: Path) -> bool:
    """Tell whether a path lies in the destination of a project, or is one."""
    return any((folder / FOLDER / _NAME).exists() for folder in (path, *path.parents))


def make(root: Path, owner: Owner) -> None:
    """Make the destination and its mark where they are missing, then check the mark."""
    found = _read(root)
    if found is None:
        try:
            _write(root, _content(owner))
        except OSError as error:
            hint = _UNUSABLE.get(error.errno or 0)
            if hint is None:
                raise unavailable(error) from None
            raise BadRecipe(Reason.BAD_DESTINATION, hint) from None
    check(root, owner)


def check(root: Path, owner: Owner) -> None:
    """Raise `BadRecipe` for another's destination, `Unavailable` for one without a mark."""
    found = _read(root)
    if found is None:
        raise Unavailable(Reason.STORAGE_ERROR, "The destination has lost its mark; is it mounted?")
    wanted = _content(owner)
    if found == wanted:
        return
    differing = next((name for name in wanted if found.get(name) != wanted[name]), "format")
    raise BadRecipe(Reason.BAD_DESTINATION, f"The destination was begun with another {differing}; choose a new folder")


def _content(owner: Owner) -> dict[str, object]:
    return {"format": _FORMAT} | asdict(owner)


def _read(root: Path) -> dict[str, object] | None:
    try:
        with guarded():
            found = json.loads((root / FOLDER / _NAME).read_bytes())
    except ValueError:
        found = None
    except Unavailable as error:
        if error.fields.get("errno") in {"ENOENT", "ENOTDIR"}:
            return None
        raise
    if not isinstance(found, dict):
        raise BadRecipe(Reason.BAD_DESTINATION, "The destination's mark cannot be read")
    return found


def _write(root: Path, content: dict[str, object]) -> None:
    root.mkdir(parents=True, exist_ok=True)
    with os.scandir(root) as entries:
        if any(entry.name not in _HARMLESS for entry in entries):
            raise BadRecipe(
                Reason.BAD_DESTINATION, "The destination has content of another origin; choose a new folder"
            )
    folder = root / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    temp = folder / f"{_NAME}.{secrets.token_hex(8)}"
    try:
        with temp.open("xb") as file:
            file.write(json.dumps(content, indent=1).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        _link(temp, folder / _NAME)
    finally:
        temp.unlink(missing_ok=True)
    for path in (folder, root, root.parent):
        sync_folder(str(path))


def _link(temp: Path, name: Path) -> None:
    try:
        name.hardlink_to(temp)
    except FileExistsError:
        return
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        raise BadRecipe(Reason.BAD_DESTINATION, "The destination's file system has no hard links") from None

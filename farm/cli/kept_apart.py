"""Files that say who somebody is: new, and for their owner's eyes alone (mode 0600)."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """Give a new file, whole in the end or not there; raise `BadRecipe` where it is there already, or cannot be made.

    Paths that are no UTF-8 stay as their bytes are.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = "the file of --out is there already, or cannot be made"
        raise BadRecipe(Reason.BAD_OPTION, hint, errno=error.errno or 0) from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield file
    except BaseException:
        path.unlink()  # a part of it would pass for all of it
        raise

"""Files that say who somebody is: new, and for their owner's eyes alone (mode 0600)."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from farm.errors import BadRecipe, Reason, symbol_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def new_file(path: Path, option: str) -> int:
    """Return the descriptor of a new file; raise `BadRecipe` where it is there already, or cannot be made.

    `option` is how the command line names it.
    """
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        hint = f"the file of {option} is there already, or cannot be made"
        raise BadRecipe(Reason.BAD_OPTION, hint, errno=symbol_of(error)) from None


@contextmanager
def written(path: Path) -> Iterator[TextIO]:
    """Give the new file of `--out`, whole in the end or not there; raise `BadRecipe` as `new_file` does.

    Paths that are no UTF-8 stay as their bytes are.
    """
    descriptor = new_file(path, "--out")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            yield file
    except BaseException:
        path.unlink()  # a part of it would pass for all of it
        raise

"""The port through which instances leave the farm: written once, whole, and never over another.

An instance is staged (written where nobody looks), synced (on stable storage), released (given its final name, which
must be free) and settled (the name itself is on stable storage). Only then may the ledger say `done`. The steps are
apart because the ledger's claim stands between sync and release, and because sync and settle cost one disk flush for a
whole parcel instead of one for each instance.

What a crash leaves behind is a staged instance without a name, or a released one that the ledger does not know; the
next attempt adopts the latter by its digest, or sets it aside.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.deid.keys import ProjectKey

Segment = bytes | bytearray | memoryview

# No component begins with a dot: neither `..` nor the store's own folder can be named.
_PATH = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}){0,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """An instance that is written but has no name yet."""

    path: str
    """Where it shall be: relative, `/` between components."""
    temp: str
    """The store's own handle of what was written."""
    size: int
    """Bytes written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """To whom a destination belongs: its instances are all of one project, key and recipe."""

    project: str
    recipe: str
    """Its digest."""
    key: str
    """The check value of the project key, in hex: it tells two keys apart, and nothing about either."""

    @classmethod
    def of(cls, project: str, recipe: str, key: ProjectKey) -> Owner:
        """Return the owner for a project's name, a recipe's digest and the project key."""
        return cls(project=project, recipe=recipe, key=key.check().hex())


class Store(Protocol):
    """What every store does. All methods raise `Unavailable` (`no-space`, `storage-error`) when the storage fails."""

    def open(self, owner: Owner, *, create: bool = True) -> None:
        """Tie the destination to its owner, or check that it is tied to this one; call it first.

        Workers pass `create=False`: a destination without a mark is not mounted, and a fresh one must not be made in
        its place (`Unavailable`). Raise `BadRecipe` (`bad-destination`) for one of another owner, or that
        has content and no mark.
        """

    def stage(self, path: str, segments: Sequence[Segment]) -> Staged:
        """Write the segments, in order, where nobody looks; on failure nothing is left."""

    def sync(self, staged: Sequence[Staged]) -> None:
        """Bring what was staged to stable storage; when that fails all of it is discarded, since a retry could lie."""

    def release(self, staged: Staged) -> bool:
        """Give it its name; False, and it stays staged, if the name is taken."""

    def settle(self, paths: Iterable[str]) -> None:
        """Bring the names (released or adopted) to stable storage."""

    def discard(self, staged: Staged) -> None:
        """Remove what was staged; nothing happens if it is gone or released."""

    def digest_of(self, path: str) -> str | None:
        """Return the BLAKE3 digest (hex) of what has this name, or None."""

    def set_aside(self, path: str) -> None:
        """Move what has this name to the orphans; nothing happens if the name is free."""

    def sweep(self, older_than_s: float) -> int:
        """Remove what dead processes left staged longer ago than that; return how many."""


def checked(path: str) -> str:
    """Return an output path that stays inside the destination on every system; raise `BadRecipe` otherwise."""
    if _PATH.fullmatch(path) is None:
        raise BadRecipe(Reason.BAD_RECIPE, "The recipe's output template gives a path that cannot be used")
    return path

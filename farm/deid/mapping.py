"""The mapping from originals to what replaces them, as the core sees it.

The core asks a `Mapping` and hands back, as data, what it was told (`Mapped`), so that a shell can record it in the
registry before anything is released. `KeyedMapping` derives all of it from the project key and needs no server. What
only the registry knows stands in a `TableMapping`: a shell surveys the instances of a parcel (`Needs`), asks the
registry once for all of them, and processes them by the table that it got.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass, field
from typing import Protocol

from farm.deid import subjects
from farm.deid.dates import Strategy, subject_shift
from farm.deid.keys import ProjectKey
from farm.deid.scheme import Scheme
from farm.deid.uids import keyed_uid
from farm.errors import BadInput, BadRecipe, Reason

_REMEMBERED = 100_000  # UIDs; a study's and a series' come back with every instance
_KEYED = Scheme()


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedSubject:
    """A subject and what stands for it; `original` is identifying and only for the registry's sealed column.

    A shift of 0 days is none: the recipe needs none of the mapping, or nobody knows it yet.
    """

    original: str = field(repr=False)
    pseudonym: str
    date_shift_days: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """All that was mapped for one instance: (original, new) UIDs and the subject. Identifying: for the registry."""

    uids: tuple[tuple[str, str], ...] = field(repr=False)
    subject: MappedSubject


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What an instance will ask the mapping for: its UIDs without padding, its subject, and its Study Date."""

    uids: tuple[bytes, ...] = field(repr=False)
    subject: str = field(repr=False)
    study_date: bytes = field(default=b"", repr=False)


class Mapping(Protocol):
    """Gives every original its replacement, the same one every time."""

    def uid(self, original: bytes) -> bytes:
        """Return what replaces a UID, given without padding."""

    def subject(self, original: str) -> MappedSubject:
        """Return what stands for a subject, given as `subjects.canonical` writes it."""


class KeyedMapping:
    """A mapping derived from the project key: the same on every worker and after every restart."""

    def __init__(self, key: ProjectKey, scheme: Scheme = _KEYED) -> None:
        """Derive from this key; a bounded number of results is remembered. `BadRecipe` if that is not enough."""
        if scheme.in_registry:
            raise BadRecipe(Reason.BAD_RECIPE, "the recipe's mapping is in the registry: use `farm run`")
        self._key = key
        self._scheme = scheme
        self._uids: dict[bytes, bytes] = {}
        self._subject = MappedSubject(original="", pseudonym="", date_shift_days=0)  # the one asked for last

    def uid(self, original: bytes) -> bytes:
        """Return the keyed UID of an original."""
        new = self._uids.get(original)
        if new is None:
            if len(self._uids) >= _REMEMBERED:
                self._uids.clear()
            new = self._uids[original] = keyed_uid(self._key, original, self._scheme.root)
        return new

    def subject(self, original: str) -> MappedSubject:
        """Return the keyed pseudonym and date shift of a subject."""
        if original != self._subject.original:
            self._subject = keyed_subject(self._key, self._scheme, original)
        return self._subject


def keyed_subject(key: ProjectKey, scheme: Scheme, original: str) -> MappedSubject:
    """Return a subject's keyed pseudonym, and its keyed date shift where the scheme derives one."""
    return MappedSubject(
        original=original,
        pseudonym=subjects.pseudonym(key, original),
        date_shift_days=_keyed_shift(key, scheme, original) if scheme.derives_shifts else 0,
    )


def _keyed_shift(key: ProjectKey, scheme: Scheme, original: str) -> int:
    weeks = scheme.dates is Strategy.WEEKS
    return subject_shift(key.derive, original, scheme.lowest, scheme.highest, weeks=weeks)


class TableMapping:
    """A mapping that was asked of the registry for some instances, and holds for these alone."""

    def __init__(self, uids: Table[bytes, bytes], known: Table[str, MappedSubject | None], *, shifts: bool) -> None:
        """Take the new UID of each original, and what stands for each subject; None: the crosswalk lacks it.

        `shifts`: dates move by the subject's shift, so a subject without any cannot be processed.
        """
        self._uids = uids
        self._known = known
        self._shifts = shifts

    def uid(self, original: bytes) -> bytes:
        """Return what replaces a UID; one that the survey did not see means that the file is another one by now."""
        try:
            return self._uids[original]
        except KeyError:
            raise BadInput(Reason.SOURCE_CHANGED) from None

    def subject(self, original: str) -> MappedSubject:
        """Return what stands for a subject; raise `BadInput` where nothing does, or its date shift is not known."""
        try:
            subject = self._known[original]
        except KeyError:
            raise BadInput(Reason.SOURCE_CHANGED) from None
        if subject is None:
            raise BadInput(Reason.NOT_IN_CROSSWALK, "the crosswalk does not name this instance's subject")
        if self._shifts and not subject.date_shift_days:
            raise BadInput(
                Reason.NO_DATE_SHIFT, "no crosswalk or Study Date gives this instance's subject a date shift"
            )
        return subject


class Asked:
    """A mapping that answers with the original and remembers what it was asked for: see `farm.pipeline.needs`."""

    def __init__(self) -> None:
        """Nothing was asked yet."""
        self.uids: dict[bytes, None] = {}
        self.original = ""

    def uid(self, original: bytes) -> bytes:
        """Remember a UID."""
        self.uids[original] = None
        return original

    def subject(self, original: str) -> MappedSubject:
        """Remember the subject; any date shift will do."""
        self.original = original
        return MappedSubject(original=original, pseudonym="0", date_shift_days=-1)

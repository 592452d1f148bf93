"""The mapping from originals to what replaces them, as the core sees it.

The core asks a `Mapping` and hands back, as data, what it was told (`Mapped`), so that a shell can record it in the
registry before anything is released. `KeyedMapping` derives all of it from the project key and needs no server.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from farm.deid import subjects
from farm.deid.keys import ProjectKey
from farm.deid.uids import keyed_uid

_REMEMBERED = 100_000  # UIDs; a study's and a series' come back with every instance


@dataclass(frozen=True, slots=True, kw_only=True)
class MappedSubject:
    """A subject and what stands for it; `original` is identifying and only for the registry's sealed column."""

    original: str = field(repr=False)
    pseudonym: str
    date_shift_days: int = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """All that was mapped for one instance: (original, new) UIDs and the subject. Identifying: for the registry."""

    uids: tuple[tuple[str, str], ...] = field(repr=False)
    subject: MappedSubject


class Mapping(Protocol):
    """Gives every original its replacement, the same one every time."""

    def uid(self, original: bytes) -> bytes:
        """Return what replaces a UID, given without padding."""

    def subject(self, original: str) -> MappedSubject:
        """Return what stands for a subject, given as `subjects.canonical` writes it."""


class KeyedMapping:
    """A mapping derived from the project key: the same on every worker and after every restart."""

    def __init__(self, key: ProjectKey) -> None:
        """Derive from this key; a bounded number of results is remembered."""
        self._key = key
        self._uids: dict[bytes, bytes] = {}
        self._subject = MappedSubject(original="", pseudonym="", date_shift_days=0)  # the one asked for last

    def uid(self, original: bytes) -> bytes:
        """Return the keyed UID of an original."""
        new = self._uids.get(original)
        if new is None:
            if len(self._uids) >= _REMEMBERED:
                self._uids.clear()
            new = self._uids[original] = keyed_uid(self._key, original)
        return new

    def subject(self, original: str) -> MappedSubject:
        """Return the keyed pseudonym and date shift of a subject."""
        if original != self._subject.original:
            self._subject = MappedSubject(
                original=original,
                pseudonym=subjects.pseudonym(self._key, original),
                date_shift_days=subjects.date_shift(self._key, original),
            )
        return self._subject

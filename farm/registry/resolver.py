"""The mapping of a parcel, asked of the registry in one statement.

Every worker proposes: random UIDs, a date shift, a keyed pseudonym or the wish for a number. What the registry has
already, or gets from another worker at the same moment, stands; the proposals for it are dropped. What was answered is
remembered for as long as the connection lives, so the UIDs that a whole study shares are asked for once.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from farm.deid.dates import Strategy, anchor_shift, pick_shift
from farm.deid.mapping import MappedSubject, TableMapping, keyed_subject
from farm.deid.scheme import Pseudonyms, Uids
from farm.deid.uids import keyed_uid, number
from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from farm.database import Database
    from farm.deid.keys import ProjectKey
    from farm.deid.mapping import Needs
    from farm.deid.scheme import Scheme
    from farm.registry.seals import Seals

_MATERIAL: Final = 32
_REMEMBERED: Final = 65_536

_Known = TypeVar("_Known", str, MappedSubject)


class Remembered:
    """What the registry is known to hold: the new UID of an original, and what stands for a subject, by project.

    A server that crashed may have lost its last commits, so this goes with the connection.
    """

    def __init__(self) -> None:
        self.uids: dict[tuple[int, str], str] = {}
        self.subjects: dict[tuple[int, str], MappedSubject] = {}

    def keep_uids(self, project_id: int, pairs: Iterable[tuple[str, str]]) -> None:
        """Remember (original, new) UIDs."""
        _room(self.uids)
        self.uids.update(((project_id, original), new) for original, new in pairs)

    def keep_subjects(self, project_id: int, subjects: Iterable[MappedSubject]) -> None:
        """Remember subjects."""
        _room(self.subjects)
        self.subjects.update(((project_id, subject.original), subject) for subject in subjects)


def _room(known: dict[tuple[int, str], _Known]) -> None:
    if len(known) > _REMEMBERED:
        known.clear()  # to send a study's UIDs again now and then costs less than to keep an order by use


def standing(database: Database, values: Mapping[str, Any]) -> dict[bytes, tuple[str, bytes]]:
    """Return pseudonym and sealed shift of the subjects that are there; one without a shift gets what is proposed."""

    def read() -> dict[bytes, tuple[str, bytes]]:
        return {key: (pseudonym, shift) for key, pseudonym, shift in database.rows("subjects_now", values)}

    rows = read()
    proposed = zip(values["subject_keys"], values["shifts"], strict=True)
    lacking = [(key, shift) for key, shift in proposed if shift and key in rows and not rows[key][1]]
    for key, shift in lacking:
        database.run("fill_shift", {"project_id": values["project_id"], "key": key, "shift": shift})
    return read() if lacking else rows


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows by key: the number of each new UID, and the pseudonym and sealed shift of each subject.

    Apart, since a file may hold a UID that is written as a subject is, and both then have one key.
    """

    uids: dict[bytes, UUID] = field(default_factory=dict)
    subjects: dict[bytes, tuple[str, bytes]] = field(default_factory=dict)


class Resolver:
    """Asks for what the recipes of one connection need."""

    def __init__(self, database: Database, seals: Seals, project_key: ProjectKey, remembered: Remembered) -> None:
        self._db = database
        self._seals = seals
        self._project_key = project_key
        self._remembered = remembered

    def resolve(self, project_id: int, scheme: Scheme, needs: Sequence[Needs]) -> TableMapping:
        """Return the mapping for these instances; see `Registry.resolve`."""
        proposed = self._proposed_subjects(scheme, needs)
        originals = [uid.decode("latin-1") for uid in {uid: None for need in needs for uid in need.uids}]
        asked: list[str] = []
        if scheme.uids is Uids.RECORDED:
            asked = [uid for uid in originals if (project_id, uid) not in self._remembered.uids]
        open_subjects: list[MappedSubject] = []
        if scheme.subjects_in_registry:
            open_subjects = [proposal for proposal in proposed.values() if self._is_open(project_id, scheme, proposal)]
        found = self._ask(project_id, scheme, asked, open_subjects) if asked or open_subjects else _Found()
        uids = self._uids(project_id, scheme, originals, found)
        self._remembered.keep_uids(project_id, uids.items() if scheme.uids is Uids.RECORDED else ())
        subjects = self._subjects(project_id, scheme, proposed, found)
        table = {old.encode("latin-1"): new.encode() for old, new in uids.items()}
        return TableMapping(table, subjects, shifts=scheme.shifts)

    def _is_open(self, project_id: int, scheme: Scheme, proposal: MappedSubject) -> bool:
        known = self._remembered.subjects.get((project_id, proposal.original))
        return known is None or (scheme.shifts and not known.date_shift_days)

    def _proposed_subjects(self, scheme: Scheme, needs: Sequence[Needs]) -> dict[str, MappedSubject]:
        """Return what would stand for each subject if the registry has nothing yet; no pseudonym: it gives one."""
        proposed = {}
        for original in {need.subject: None for need in needs}:
            subject = keyed_subject(self._project_key, scheme, original)
            if scheme.pseudonyms is not Pseudonyms.KEYED:
                subject = replace(subject, pseudonym="")
            if scheme.dates is Strategy.RANDOM:
                drawn = int.from_bytes(os.urandom(8), "big")
                subject = replace(
                    subject, date_shift_days=pick_shift(drawn, scheme.lowest, scheme.highest, weeks=False)
                )
            elif scheme.dates is Strategy.ANCHOR:
                days = [
                    anchor_shift(need.study_date, scheme.anchor.encode()) for need in needs if need.subject == original
                ]
                # The earliest study is the one that is farthest before the anchor.
                subject = replace(subject, date_shift_days=max((day for day in days if day), default=0))
            proposed[original] = subject
        return proposed

    def _ask(self, project_id: int, scheme: Scheme, uids: list[str], subjects: list[MappedSubject]) -> _Found:
        """Return the rows of what is asked for."""
        material = memoryview(os.urandom(_MATERIAL * len(uids)))
        drawn = [number(scheme.root, bytes(material[at : at + _MATERIAL])) for at in range(0, len(material), _MATERIAL)]
        values: dict[str, Any] = {
            "project_id": project_id,
            "may_add": scheme.pseudonyms is not Pseudonyms.CROSSWALK,
            "prefix": scheme.prefix,
            **self._seals.uid_rows(zip(uids, drawn, strict=True)),
            **self._seals.subject_rows(subjects),
        }
        found = _Found()
        for key, new, pseudonym, shift in self._db.rows("resolve", values):
            if pseudonym is None:
                found.uids[key] = new
            else:
                found.subjects[key] = pseudonym, shift
        self._add_late(values, found)
        return found

    def _add_late(self, values: dict[str, Any], found: _Found) -> None:
        """Add the rows that were written while the statement ran, and those that had no shift yet."""
        if any(key not in found.uids for key in values["uid_keys"]):
            found.uids.update(self._db.rows("uids_now", values))
            if any(key not in found.uids for key in values["uid_keys"]):
                raise BadRecipe(Reason.MAPPING_MISMATCH, "a new UID was given to another original before")
        known, proposed = found.subjects, zip(values["subject_keys"], values["shifts"], strict=True)
        if any(key not in known or (shift and not known[key][1]) for key, shift in proposed):
            known.update(standing(self._db, values))
            if values["may_add"] and any(key not in known for key in values["subject_keys"]):
                raise BadRecipe(Reason.MAPPING_MISMATCH, "a pseudonym was given to another subject before")

    def _uids(self, project_id: int, scheme: Scheme, originals: Iterable[str], found: _Found) -> dict[str, str]:
        """Return the new UID of each original."""
        if scheme.uids is Uids.KEYED:
            key, root = self._project_key, scheme.root
            return {uid: keyed_uid(key, uid.encode("latin-1"), root).decode() for uid in originals}
        uids = {}
        for uid in originals:
            known = self._remembered.uids.get((project_id, uid))
            uids[uid] = known or f"{scheme.root}.{found.uids[self._seals.key(uid)].int}"
        return uids

    def _subjects(
        self, project_id: int, scheme: Scheme, proposed: Mapping[str, MappedSubject], found: _Found
    ) -> dict[str, MappedSubject | None]:
        """Return what stands for each subject; None: nothing may."""
        if not scheme.subjects_in_registry:
            return dict(proposed)
        subjects: dict[str, MappedSubject | None] = {}
        for original in proposed:
            key = self._seals.key(original)
            if key in found.subjects:
                pseudonym, sealed = found.subjects[key]
                shift = self._seals.shift(key, sealed)
                subjects[original] = MappedSubject(original=original, pseudonym=pseudonym, date_shift_days=shift)
            else:
                subjects[original] = self._remembered.subjects.get((project_id, original))
        self._remembered.keep_subjects(project_id, (subject for subject in subjects.values() if subject))
        return subjects

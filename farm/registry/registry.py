"""The registry: which original became what, kept so that authorised people find the way back.

Whatever could say who someone is stands sealed or as a keyed digest. A mapping that derives from the project key is
recorded after the work, and recording is a check as well: the first writer stands, and a different value for the same
original stops the run. One that does not is asked for before the work (`resolve`), by the same law.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from psycopg.types.json import Jsonb

from farm.database import Database, load_queries
from farm.deid.uids import UUID_ROOT, number_of
from farm.errors import BadRecipe, Reason
from farm.registry.crosswalk import Crosswalk
from farm.registry.resolver import Remembered, Resolver, standing
from farm.registry.seals import Seals

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import psycopg

    from farm.deid.keys import ProjectKey
    from farm.deid.mapping import Mapped, MappedSubject, Needs, TableMapping
    from farm.deid.scheme import Scheme
    from farm.registry.crosswalk import Line
    from farm.registry.vault import Vault

_QUERIES: Final = load_queries("farm.registry")
_NONE_SUCH: Final = ""
"""What the audit, which is not sealed, says of a name that was never given out: it may be a Patient ID, by mistake."""


def is_begun(conn: psycopg.Connection, project: str) -> bool:
    """Tell, without any key, whether a project was begun in this database, which may know of no projects yet."""
    db = Database(conn, _QUERIES)
    return bool(db.value("is_made") and db.value("is_begun", {"name": project}))


def project_names(conn: psycopg.Connection) -> dict[int, str]:
    """Return, without any key, the names of the projects that were begun in this database."""
    db = Database(conn, _QUERIES)
    return dict(db.rows("names")) if db.value("is_made") else {}


class Registry:
    """The registry through one connection.

    It remembers what it has recorded, to seal and send the UIDs that a whole study shares once only. A server that
    crashed may have lost its last commits, so make a new registry with each new connection.
    """

    def __init__(self, conn: psycopg.Connection, vault: Vault, project_key: ProjectKey) -> None:
        """Take an autocommit connection and the two keys."""
        self._db = Database(conn, _QUERIES)
        self._project_key = project_key
        self._vault_check = vault.check()
        self._seals = Seals(vault, project_key)
        self._remembered = Remembered()
        self._resolver = Resolver(self._db, self._seals, project_key, self._remembered)
        self._roots: dict[int, str] = {}

    # Projects.

    def open_project(self, name: str, *, scheme: Scheme | None = None, actor: str = "farm") -> int:
        """Return the project's id, creating the project at first, and bind it to the scheme's rules.

        Raise `BadRecipe`: `KEY_MISMATCH` for other keys, `MAPPING_MISMATCH` where the project follows other rules.
        """
        with self._db.transaction():
            values = {"name": name, "check_value": self._project_key.check(), "vault_check": self._vault_check}
            self._db.run("add_project", values | {"actor": actor})
            project_id = self.project_id(name)
            self._check_vault(project_id)
            if scheme is not None:
                self._bind(project_id, scheme.rules())
        return project_id

    def project_id(self, name: str) -> int:
        """Return the id of a project that exists; raise `BadRecipe` where there is none, or for another key."""
        for project_id, expected in self._db.rows("project", {"name": name}):
            self._check(expected)
            return int(project_id)
        raise BadRecipe(Reason.BAD_OPTION, "there is no such project yet")

    def project_name(self, project_id: int) -> str:
        """Return the name of a project; raise `BadRecipe(KEY_MISMATCH)` where it was begun with another key."""
        for name, expected in self._db.rows("project_of_id", {"project_id": project_id}):
            self._check(expected)
            return str(name)
        raise BadRecipe(Reason.KEY_MISMATCH)

    def _check(self, expected: bytes) -> None:
        if not hmac.compare_digest(expected, self._project_key.check()):
            raise BadRecipe(Reason.KEY_MISMATCH, "The project key is not the one that this project was begun with.")

    def _check_vault(self, project_id: int) -> None:
        """Raise `BadRecipe` for another vault key: what it seals would open for nobody.

        Whoever only opens is not asked: that is on record first, and another key opens nothing.
        """
        values = {"project_id": project_id, "vault_check": self._vault_check}
        if not hmac.compare_digest(self._db.value("vault_check", values), self._vault_check):
            raise BadRecipe(Reason.KEY_MISMATCH, "The vault key is not the one that this project was begun with.")

    def _bind(self, project_id: int, rules: dict[str, str]) -> None:
        """Let a project follow these rules from now on, but for kinds whose rule is empty."""
        bound = dict.fromkeys(("uids", "subjects", "shifts"), "") | rules
        [stand] = self._db.objects(dict, "bind", {"project_id": project_id, **bound})
        for kind, rule in rules.items():
            if rule and stand[kind] != rule:
                hint = f"the project follows another rule for {kind}; this one needs a project of its own"
                raise BadRecipe(Reason.MAPPING_MISMATCH, hint, project_rule=stand[kind])

    def _root(self, project_id: int) -> str:
        """Return the root of the project's new UIDs."""
        if project_id not in self._roots:
            rule = self._db.value("uid_rule", {"project_id": project_id})
            if not rule:
                return UUID_ROOT
            self._roots[project_id] = rule.split()[1]
        return self._roots[project_id]

    # The mapping.

    def resolve(self, project_id: int, scheme: Scheme, needs: Sequence[Needs]) -> TableMapping:
        """Return the mapping for a parcel's instances under a scheme that needs the registry, in one round trip.

        What is new is written down, durably, before this returns; what another worker wrote first stands. Raise
        `BadRecipe(MAPPING_MISMATCH)` where the project's UIDs have another root, or what is to be given is taken.
        """
        if scheme.root != self._root(project_id):
            raise BadRecipe(Reason.MAPPING_MISMATCH, "the project's UIDs have another root")
        return self._resolver.resolve(project_id, scheme, needs)

    def record(self, project_id: int, mappeds: Sequence[Mapped]) -> None:
        """Record the mappings of a parcel in one statement; raise `BadRecipe(MAPPING_MISMATCH)` where one differs."""
        known = self._remembered
        pairs = {pair: None for mapped in mappeds for pair in mapped.uids}
        uids = [(old, new) for old, new in pairs if known.uids.get((project_id, old)) != new]
        given = {mapped.subject: None for mapped in mappeds}
        subjects = [one for one in given if known.subjects.get((project_id, one.original)) != one]
        expected = len(uids) + len(subjects)
        if not expected:
            return
        values = {"project_id": project_id, **self._uid_rows(project_id, uids), **self._seals.subject_rows(subjects)}
        # A row that was there is compared by other statements, which see what others have committed meanwhile.
        if self._db.value("record", values) < expected:
            self._compare(values, subjects)
        known.keep_uids(project_id, uids)
        known.keep_subjects(project_id, subjects)

    def _uid_rows(self, project_id: int, uids: Iterable[tuple[str, str]]) -> dict[str, list[bytes]]:
        root = self._root(project_id)
        rows = []
        for old, new in uids:
            number = number_of(root, new)
            if number is None:
                raise BadRecipe(Reason.MAPPING_MISMATCH, "a new UID is not under the project's root")
            rows.append((old, number))
        return self._seals.uid_rows(rows)

    def _compare(self, values: dict[str, Any], subjects: Iterable[MappedSubject]) -> None:
        """Raise `BadRecipe` unless the rows that stand say the same; give a shift to those that have none yet."""
        numbers = {key: new.bytes for key, new in self._db.rows("uids_now", values)}
        if any(numbers.get(key) != new for key, new in zip(values["uid_keys"], values["news"], strict=True)):
            raise BadRecipe(Reason.MAPPING_MISMATCH)
        rows = standing(self._db, values)
        for subject in subjects:
            pseudonym, sealed = rows.get(key := self._seals.key(subject.original), ("", b""))
            shift = subject.date_shift_days
            if pseudonym != subject.pseudonym or (shift and shift != self._seals.shift(key, sealed)):
                raise BadRecipe(Reason.MAPPING_MISMATCH)

    def import_crosswalk(self, project_id: int, lines: Iterable[Line], *, actor: str) -> tuple[int, int]:
        """Bring in the pseudonyms and shifts that a crosswalk gives: all or nothing; return (lines, new subjects).

        The project's subjects follow the crosswalk from then on. Raise `BadRecipe(MAPPING_MISMATCH)` naming the line
        that contradicts another one, or what stands.
        """
        crosswalk = Crosswalk(self._db, self._seals, project_id)
        with self._db.transaction():
            self._db.run("durable")
            self._bind(project_id, {"subjects": "crosswalk"})
            counts = crosswalk.add(lines)
            if crosswalk.shifts:
                self._bind(project_id, {"shifts": "crosswalk"})
            self._note(project_id, actor, "crosswalk imported", {"lines": counts[0], "new": counts[1]})
        return counts

    def subjects(self, project_id: int) -> Iterator[tuple[str, bool]]:
        """Yield each pseudonym, and whether its date shift is known, in their order; nothing of it identifies."""
        for pseudonym, _, _, shift in Crosswalk(self._db, self._seals, project_id).rows():
            yield pseudonym, bool(shift)

    # The way back: who asked and why is on the disk before anything is opened.

    def export(self, project_id: int, *, actor: str, why: str) -> Iterator[MappedSubject]:
        """Yield every subject with its original and date shift."""
        self.note(project_id, actor, "subjects exported", {"why": why})
        return Crosswalk(self._db, self._seals, project_id).opened()

    def original_uid(self, project_id: int, new_uid: str, *, actor: str, why: str) -> str | None:
        """Return the original of a new UID, None where there is none."""
        number = number_of(self._root(project_id), new_uid)
        values = {"project_id": project_id, "new": None if number is None else UUID(int=number)}
        rows = self._db.rows("sealed_uid", values)
        self.note(project_id, actor, "uids look-up", {"uid": new_uid if rows else _NONE_SUCH, "why": why})
        return self._opened("uids", rows)

    def original_subject(self, project_id: int, pseudonym: str, *, actor: str, why: str) -> str | None:
        """Return the subject that a pseudonym stands for, None where there is none."""
        rows = self._db.rows("sealed_subject", {"project_id": project_id, "pseudonym": pseudonym})
        self.note(project_id, actor, "subjects look-up", {"subject": pseudonym if rows else _NONE_SUCH, "why": why})
        return self._opened("subjects", rows)

    def note(self, project_id: int, actor: str, action: str, fields: dict[str, str | int]) -> None:
        """Write a line of the audit, durably; its fields never identify."""
        with self._db.transaction():
            self._db.run("durable")
            self._note(project_id, actor, action, fields)

    def _note(self, project_id: int, actor: str, action: str, fields: dict[str, str | int]) -> None:
        self._db.run("audit", {"project_id": project_id, "actor": actor, "action": action, "fields": Jsonb(fields)})

    def _opened(self, table: str, rows: Iterable[tuple[bytes, bytes]]) -> str | None:
        for key, sealed in rows:
            return self._seals.original(table, key, sealed)
        return None

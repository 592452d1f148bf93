"""The registry: which original became what, kept so that authorised people find the way back.

Whatever could say who someone is stands sealed or as a keyed digest. The mapping itself derives from the project key,
so recording is a check as well: the first writer stands, and a different value for the same original stops the run.
"""

from __future__ import annotations

import hmac
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, TypeVar
from uuid import UUID

from psycopg.types.json import Jsonb

from farm.database import Database, load_queries
from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from farm.deid.keys import ProjectKey
    from farm.deid.mapping import Mapped, MappedSubject
    from farm.registry.vault import Vault

_QUERIES: Final = load_queries("farm.registry")
_KEY_BYTES: Final = 16
_UUID_ROOT: Final = "2.25."
_REMEMBERED: Final = 65_536
_UID_PLAIN: Final = 64  # PS3.5 section 9: a UID's most; sealed at one length, it does not show its own

_Entry = TypeVar("_Entry")


class Registry:
    """The registry through one connection.

    It remembers what it has recorded, to seal and send the UIDs that a whole study shares once only. A server that
    crashed may have lost its last commits, so make a new registry with each new connection.
    """

    def __init__(self, conn: psycopg.Connection, vault: Vault, project_key: ProjectKey) -> None:
        """Take an autocommit connection and the two keys."""
        self._db = Database(conn, _QUERIES)
        self._vault = vault
        self._project_key = project_key
        self._row_key = project_key.derive("registry", b"")
        self._known: set[tuple[int, object]] = set()

    def open_project(self, name: str, *, actor: str = "farm") -> int:
        """Return the project's id, creating the project at first; raise `BadRecipe(KEY_MISMATCH)` for another key."""
        check = self._project_key.check()
        with self._db.transaction():
            self._db.run("add_project", {"name": name, "check_value": check, "actor": actor})
            [(project_id, expected)] = self._db.rows("project", {"name": name})
        if not hmac.compare_digest(expected, check):
            raise BadRecipe(Reason.KEY_MISMATCH)
        return int(project_id)

    def project_name(self, project_id: int) -> str:
        """Return the name of a project; raise `BadRecipe(KEY_MISMATCH)` where it was begun with another key."""
        for name, expected in self._db.rows("project_of_id", {"project_id": project_id}):
            if hmac.compare_digest(expected, self._project_key.check()):
                return str(name)
        raise BadRecipe(Reason.KEY_MISMATCH)

    def record(self, project_id: int, mappeds: Sequence[Mapped]) -> None:
        """Record the mappings of a parcel in one statement; raise `BadRecipe(MAPPING_MISMATCH)` where one differs."""
        uids = self._unknown({pair: None for mapped in mappeds for pair in mapped.uids}, project_id)
        subjects = self._unknown({mapped.subject: None for mapped in mappeds}, project_id)
        expected = len(uids) + len(subjects)
        if not expected:
            return
        values = {"project_id": project_id, **self._uid_rows(uids), **self._subject_rows(subjects)}
        # A row that was there is compared by a second statement, which sees what others have committed meanwhile.
        if self._db.value("record", values) < expected and self._db.value("agreeing", values) < expected:
            raise BadRecipe(Reason.MAPPING_MISMATCH)
        self._remember(project_id, uids)
        self._remember(project_id, subjects)

    def original_uid(self, project_id: int, new_uid: str, *, actor: str, why: str) -> str | None:
        """Return the original of a new UID, None where there is none; who asked and why is on the disk first."""
        fields = {"uid": new_uid, "why": why}
        values = {"project_id": project_id, "new": UUID(bytes=_number(new_uid))}
        return self._original("sealed_uid", "uids", values, actor, fields)

    def original_subject(self, project_id: int, pseudonym: str, *, actor: str, why: str) -> str | None:
        """Return the subject that a pseudonym stands for, None where there is none; audited like `original_uid`."""
        fields = {"subject": pseudonym, "why": why}
        values = {"project_id": project_id, "pseudonym": pseudonym}
        return self._original("sealed_subject", "subjects", values, actor, fields)

    def _original(
        self, query: str, table: str, values: dict[str, Any], actor: str, fields: dict[str, str]
    ) -> str | None:
        audit = {"project_id": values["project_id"], "actor": actor, "action": f"{table} look-up"}
        with self._db.transaction():
            self._db.run("durable")
            self._db.run("audit", audit | {"fields": Jsonb(fields)})
            rows = self._db.rows(query, values)
        for key, sealed in rows:
            return self._vault.open(table, key, sealed).rstrip(b"\0").decode()
        return None

    def _unknown(self, given: Iterable[_Entry], project_id: int) -> list[_Entry]:
        return [entry for entry in given if (project_id, entry) not in self._known]

    def _remember(self, project_id: int, recorded: Iterable[object]) -> None:
        if len(self._known) > _REMEMBERED:
            self._known.clear()  # to send a study's UIDs again now and then costs less than to keep an order by use
        self._known.update((project_id, entry) for entry in recorded)

    def _uid_rows(self, uids: list[tuple[str, str]]) -> dict[str, list[bytes]]:
        rows = sorted((self._key(original := old.encode()), _number(new), original) for old, new in uids)
        seals = self._vault.seal_many("uids", ((key, old.ljust(_UID_PLAIN, b"\0")) for key, _, old in rows))
        return {"uid_keys": [row[0] for row in rows], "news": [row[1] for row in rows], "uid_seals": seals}

    def _subject_rows(self, subjects: list[MappedSubject]) -> dict[str, list[Any]]:
        rows = sorted(
            (self._key(original := subject.original.encode()), subject.pseudonym, subject.date_shift_days, original)
            for subject in subjects
        )
        return {
            "subject_keys": [row[0] for row in rows],
            "pseudonyms": [row[1] for row in rows],
            "shifts": [row[2] for row in rows],
            "subject_seals": self._vault.seal_many("subjects", ((key, original) for key, _, _, original in rows)),
        }

    def _key(self, original: bytes) -> bytes:
        """Return the keyed digest under which an original is found (keyed BLAKE2: a third of the cost of HMAC)."""
        return blake2b(original, key=self._row_key, digest_size=_KEY_BYTES).digest()


def _number(uid: str) -> bytes:
    """Return the UUID that a UID under 2.25 is (PS3.5 annex B.2), as its 16 bytes."""
    if not uid.startswith(_UUID_ROOT):
        raise BadRecipe(Reason.MAPPING_MISMATCH, "a new UID is not of the form 2.25.<UUID as a number>")
    return int(uid[len(_UUID_ROOT) :]).to_bytes(_KEY_BYTES, "big")

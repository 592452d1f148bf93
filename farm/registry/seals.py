"""How rows of the registry look: originals as keyed digests to find them by, and sealed.

The digests derive from the project key, so whoever has the tables alone cannot try every possible Patient ID; the seals
open with the vault key. A date shift is sealed as well: beside an output it says when someone was examined.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.deid.keys import ProjectKey
    from farm.deid.mapping import MappedSubject
    from farm.registry.vault import Vault

_KEY_BYTES: Final = 16
_UID_PLAIN: Final = 64  # PS3.5 section 9: a UID's most; sealed at one length, it does not show its own
_DAYS: Final = Struct(">i")


class Seals:
    """Makes rows and reads them; holds both keys."""

    def __init__(self, vault: Vault, project_key: ProjectKey) -> None:
        self._vault = vault
        self._row_key = project_key.derive("registry", b"")

    def key(self, original: str) -> bytes:
        """Return the keyed digest under which an original is found (keyed BLAKE2: a third of the cost of HMAC)."""
        return blake2b(original.encode(), key=self._row_key, digest_size=_KEY_BYTES).digest()

    def uid_rows(self, uids: Iterable[tuple[str, int]]) -> dict[str, list[bytes]]:
        """Return originals and the numbers of their new UIDs as columns, sorted by key."""
        rows = sorted((self.key(original), number, original.encode()) for original, number in uids)
        seals = self._vault.seal_many("uids", ((key, old.ljust(_UID_PLAIN, b"\0")) for key, _, old in rows))
        news = [number.to_bytes(_KEY_BYTES, "big") for _, number, _ in rows]
        return {"uid_keys": [row[0] for row in rows], "news": news, "uid_seals": seals}

    def subject_rows(self, subjects: Iterable[MappedSubject]) -> dict[str, list[Any]]:
        """Return subjects as columns, sorted by key; a shift that is none is empty."""
        rows = sorted(((self.key(subject.original), subject) for subject in subjects), key=lambda row: row[0])
        return {
            "subject_keys": [key for key, _ in rows],
            "pseudonyms": [subject.pseudonym for _, subject in rows],
            "shifts": [self._sealed_shift(key, subject.date_shift_days) for key, subject in rows],
            "subject_seals": self._vault.seal_many("subjects", ((key, s.original.encode()) for key, s in rows)),
        }

    def _sealed_shift(self, key: bytes, days: int) -> bytes:
        return self._vault.seal("shifts", key, _DAYS.pack(days)) if days else b""

    def shift(self, key: bytes, sealed: bytes) -> int:
        """Return a row's date shift in days; 0: it has none."""
        if not sealed:
            return 0
        (days,) = _DAYS.unpack(self._vault.open("shifts", key, sealed))
        return int(days)

    def original(self, table: str, key: bytes, sealed: bytes) -> str:
        """Return the original of a row of `uids` or `subjects`."""
        return self._vault.open(table, key, sealed).rstrip(b"\0").decode()

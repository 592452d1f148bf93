"""What a harvest keeps of a list and of what a PACS says: keyed, to be found again, and sealed.

The contexts are those that `farm.ledger.harvest_values` names, so nothing sealed can be put in another's place.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.ledger.harvest_values import Keyed, ListRow
from scheduler.harvest.lists import Wanted
from scheduler.harvest.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.queue import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance as a PACS lists it. Identifying."""

    sop_instance: str = field(repr=False)
    series: str = field(repr=False)
    sop_class: str = ""


class HarvestSealer:
    """Keys, seals and opens what belongs to harvests."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def list_key(self, content: bytes) -> bytes:
        """Return the key of a list: the same list is the same harvest."""
        return self._sealer.keyed("list", content)

    def name_key(self, name: str) -> bytes:
        """Return the key of the name of a list's file, by which people call it."""
        return self._sealer.keyed("list name", name.encode(errors="surrogateescape"))

    def header(self, list_key: bytes, names: Sequence[str]) -> bytes:
        """Seal the names of a list's columns."""
        return self._sealer.seal("harvests", list_key, json.dumps(list(names)).encode())

    def open_header(self, list_key: bytes, sealed: bytes) -> list[str]:
        """Return the names of a list's columns."""
        return [str(name) for name in json.loads(self._sealer.open("harvests", list_key, sealed))]

    def row(self, list_key: bytes, wanted: Wanted) -> ListRow:
        """Return a row as the ledger keeps it; one that cannot be used has its verdict at once."""
        sealed = self._sealer.seal("harvest_rows", _place(list_key, wanted.row), wanted.packed())
        if wanted.wrong:
            return ListRow(row=wanted.row, sealed=sealed, verdict=Verdict.BAD_ROW, reason=wanted.wrong)
        return ListRow(row=wanted.row, sealed=sealed)

    def open_row(self, list_key: bytes, row: int, sealed: bytes) -> Wanted:
        """Return a row."""
        return Wanted.unpacked(self._sealer.open("harvest_rows", _place(list_key, row), sealed))

    def study(self, uid: str) -> Keyed:
        """Key and seal a study."""
        key = self._sealer.study(uid.encode())
        return Keyed(key=key, sealed=self._sealer.seal("harvest_studies", key, uid.encode()))

    def open_study(self, key: bytes, sealed: bytes) -> str:
        """Return a study's UID."""
        return self._sealer.open("harvest_studies", key, sealed).decode()

    def key(self, found: Instance) -> bytes:
        """Key an instance."""
        return self._sealer.instance(found.sop_instance.encode())

    def instance(self, found: Instance) -> Keyed:
        """Key and seal an instance."""
        key = self.key(found)
        packed = json.dumps([found.sop_instance, found.series, found.sop_class]).encode()
        return Keyed(key=key, sealed=self._sealer.seal("harvest_instances", key, packed))

    def open_instance(self, keyed: Keyed) -> Instance:
        """Return an instance."""
        uid, series, sop_class = json.loads(self._sealer.open("harvest_instances", keyed.key, keyed.sealed))
        return Instance(sop_instance=uid, series=series, sop_class=sop_class)


def _place(list_key: bytes, row: int) -> bytes:
    return list_key + row.to_bytes(4, "big")

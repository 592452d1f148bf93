"""What was released: read a page at a time to be verified, and looked up by the names that a destination holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from farm.database import Database, load_queries

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

_QUERIES: Final = load_queries("farm.ledger", "outputs.sql")
_PAGE: Final = 5000
_KEY_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """An output as the ledger knows it; the digest is BLAKE3 in hex, `instance` and `syntax` are UIDs."""

    id: int
    path: str
    size: int
    digest: str
    instance: str
    syntax: str


class Outputs:
    """The ledger's outputs through one connection; not for use by two threads at a time."""

    def __init__(self, conn: psycopg.Connection) -> None:
        """Take an autocommit connection."""
        self._db = Database(conn, _QUERIES)

    def of(self, run_id: int) -> Iterator[Output]:
        """Yield what a run has released, in the order of the instances' ids, a page at a time."""
        after_id = 0
        while rows := self._db.objects(Output, "outputs", {"run_id": run_id, "after_id": after_id, "most": _PAGE}):
            yield from rows
            after_id = rows[-1].id

    def unclaimed(self, destination_id: int, names: Sequence[bytes]) -> list[bytes]:
        """Return those names that are no output of any run of the destination, and cannot become one."""
        keys = {blake3(name).digest(_KEY_BYTES): name for name in names}
        owners = self._db.rows("owners", {"destination_id": destination_id, "keys": list(keys)})
        claimed = {key for key, path in owners if path is None or path.encode() == keys[key]}
        return [name for key, name in keys.items() if key not in claimed]

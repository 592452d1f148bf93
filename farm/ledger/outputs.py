"""What was released: read to be verified, looked up by the names in a destination, and put back to be made again."""

from __future__ import annotations

from contextlib import contextmanager
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What an output was made from: the instance in its source as it was found, and the digests of both, in hex."""

    id: int
    path: str
    size: int
    mtime_ns: int
    locator_key: bytes
    locator_sealed: bytes
    input_digest: str
    output_digest: str


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

    @contextmanager
    def held(self, run_id: int, ids: Sequence[int]) -> Iterator[list[Origin]]:
        """Give those of the instances that are done, in the order of their ids; they stay so until the block ends."""
        with self._db.transaction():
            yield self._db.objects(Origin, "origins", {"run_id": run_id, "ids": list(ids)})

    def requeue(self, run_id: int, ids: Sequence[int]) -> int:
        """Put instances that are done back to found, without an attempt; return how many. To be called within `held`.

        Whatever has the name of such an output now, no row claims it.
        """
        values = {"run_id": run_id, "ids": list(ids)}
        self._db.run("lock", values)
        return int(self._db.value("requeue", values))

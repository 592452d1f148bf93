"""Reports on storage commitment that a receiver owes, from before it answers the request until the peer has them.

    noted (the association that asked has it) --over--> owed --take--> being made --defer--> owed; settled: gone

A report is leased by the process whose association has it, or that makes it; what a dead process had is owed once its
lease has ended. One is made to a peer at a time, by whichever process. Time is the server's clock; every method is one
statement or one transaction; when the server is away it raises `Unavailable(DATABASE_AWAY)`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from farm.database import Database, load_queries
from farm.errors import Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_QUERIES: Final = load_queries("farm.ledger", "reports.sql")
MOST: Final = 10_000
"""Reports that are owed to one peer; one that asks and never listens must not fill the disk."""
MOST_BYTES: Final = 64 << 20
"""Of all reports that are owed to one peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report that is being made; `attempts`: with this one."""

    report_key: bytes
    calling: str
    sealed: bytes = field(repr=False)
    attempts: int


class Reports:
    """The reports of one run through one connection; not for use by two threads at a time."""

    def __init__(self, conn: psycopg.Connection) -> None:
        """Take an autocommit connection."""
        self._db = Database(conn, _QUERIES)

    def note(self, run_id: int, report_key: bytes, calling: str, sealed: bytes, seconds: float) -> None:
        """Note a report, leased; it is on the disk then. Raise `Unavailable(NO_SPACE)` where too many are owed."""
        values = {"run_id": run_id, "report_key": report_key, "calling": calling, "sealed": sealed, "seconds": seconds}
        with self._db.transaction():
            self._db.run("durable")
            [(count, size)] = self._db.rows("owed", values)
            if count >= MOST or size + len(sealed) > MOST_BYTES:
                raise Unavailable(Reason.NO_SPACE)
            self._db.run("note", values)

    def settle(self, keys: Sequence[bytes]) -> None:
        """Forget reports that their peers have."""
        self._db.run("settle", {"keys": list(keys)})

    def renew(self, keys: Sequence[bytes], seconds: float) -> None:
        """Prolong leases."""
        self._db.run("renew", {"keys": list(keys), "seconds": seconds})

    def defer(self, report_key: bytes, attempts: int, delay_s: float) -> None:
        """End a lease, and let the report wait."""
        self._db.run("defer", {"report_key": report_key, "attempts": attempts, "delay": delay_s})

    def take(self, run_id: int, peers: Sequence[str], seconds: float) -> list[Report]:
        """Lease what is due to these peers, one report to each; the attempt counts."""
        values = {"run_id": run_id, "peers": list(peers), "seconds": seconds}
        with self._db.transaction():
            self._db.run("turn", values)
            return self._db.objects(Report, "take", values)

    def hasten(self, run_id: int) -> None:
        """Let what waits be made at once."""
        self._db.run("hasten", {"run_id": run_id})

    def give_up(self, run_id: int, seconds: float) -> list[str]:
        """Forget what has been owed for so long; return to whom, once for each report."""
        return [calling for (calling,) in self._db.rows("give_up", {"run_id": run_id, "seconds": seconds})]

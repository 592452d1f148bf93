"""Which queues have a worker that lives, and what becomes of parcels whose queue has none any more.

A worker says every few seconds that it lives, and for a while after its last word it is believed to. So it may be dead
for as long while parcels are still sent its way; those are sent elsewhere as soon as that is known. What it had leased
comes back as from any dead worker, by the end of its lease. Time is the server's clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from farm.database import Database, load_queries
from farm.ledger.values import Parcel

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_QUERIES: Final = load_queries("farm.ledger", "presence.sql")
EVERY: Final = 5.0
"""Seconds from one sign of life to the next."""
LASTS: Final = 15.0
"""Seconds for which a sign of life is believed."""


class Presence:
    """Signs of life through one connection; not for use by two threads at a time."""

    def __init__(self, conn: psycopg.Connection) -> None:
        """Take an autocommit connection."""
        self._db = Database(conn, _QUERIES)

    def lives(self, worker: str, queues: Sequence[str]) -> None:
        """Note that a worker takes from queues."""
        self._db.run("lives", {"worker": worker, "queues": list(queues)})

    def leaves(self, worker: str) -> None:
        """Note that a worker takes nothing more."""
        self._db.run("leaves", {"worker": worker})

    def served(self, seconds: float = LASTS) -> set[str]:
        """Return the queues from which a worker takes that has given a sign of life in this time."""
        return {queue for (queue,) in self._db.rows("served", {"seconds": seconds})}

    def reroute(self, run_id: int, routes: Sequence[str], to: str) -> list[Parcel]:
        """Give another route and a new generation to what waits in queues; the caller publishes it."""
        rows = self._db.rows("reroute", {"run_id": run_id, "routes": list(routes), "to": to})
        return [
            Parcel(run_id=run_id, generation=generation, ids=tuple(ids), route=route)
            for run_id, generation, ids, route in rows
        ]

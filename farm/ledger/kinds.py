"""How the instances of a run come: from a folder, from peers that store, or from a harvest.

No run says so itself, as all that a run needs is its source; what stands in the ledger beside it tells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from farm.database import Database, load_queries

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

_QUERIES: Final = load_queries("farm.ledger", "kinds.sql")


def kinds(conn: psycopg.Connection, run_ids: Sequence[int]) -> dict[int, str]:
    """Return `folder`, `scp` or `harvest` by run, without those into which nothing has come yet.

    What peers store and what a harvest fetches may go into one run: that is a harvest.
    """
    rows = Database(conn, _QUERIES).rows("kinds", {"run_ids": list(run_ids)})
    return {run_id: kind for run_id, kind in rows if kind}

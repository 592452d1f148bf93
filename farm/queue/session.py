"""One thread's connection to the farm's database: made at first use, after any fork, and made again when it breaks.

While the database is away there is nothing better to do than to wait for it, for as long as the caller has patience. A
worker has as much as its lease: when the database comes back in time, the parcel goes on as if nothing had happened.
Where somebody waits for the answer, a `deadline` for each statement lets a database that hangs count as away. Both may
be asked for again and again, since they change while a call is under way: who presses Ctrl-C has no patience left.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from farm.database import connect
from farm.errors import Reason, Unavailable
from farm.ledger import Ledger
from farm.ledger.harvests import Harvests
from farm.ledger.presence import Presence
from farm.ledger.reports import Reports
from farm.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from farm.database import Deadline
    from farm.deid.keys import ProjectKey
    from farm.registry import Vault

T = TypeVar("T")
_PAUSE = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What one connection gives access to."""

    connection: psycopg.Connection
    ledger: Ledger
    registry: Registry
    harvests: Harvests
    presence: Presence
    reports: Reports


class Session:
    """One connection to the farm's database, used by one thread."""

    def __init__(  # noqa: PLR0913 - the database, its keys, and how long to wait for it
        self,
        url: str,
        vault: Vault,
        project_key: ProjectKey,
        *,
        max_attempts: int,
        patience: Callable[[], float] | float,
        deadline: Deadline | float | None = None,
    ) -> None:
        self._url = url
        self._vault = vault
        self._project_key = project_key
        self._max_attempts = max_attempts
        self._patience = patience if callable(patience) else partial(float, patience)
        self._deadline = deadline
        self._tables: Tables | None = None

    def call(self, work: Callable[[Tables], T]) -> T:
        """Run `work` (which must be safe to repeat) on the connection; try again while the database is away."""
        began = time.monotonic()
        while True:
            try:
                return work(self._connected())
            except Unavailable as error:
                if error.reason is not Reason.DATABASE_AWAY:
                    raise
                self.close()
                if time.monotonic() - began >= self._patience():
                    raise
                time.sleep(_PAUSE)

    def close(self) -> None:
        """Drop the connection; the next call makes another."""
        if self._tables is not None:
            self._tables.connection.close()
            self._tables = None

    def _connected(self) -> Tables:
        if self._tables is None:
            connection = connect(self._url, deadline=self._deadline)
            self._tables = Tables(
                connection=connection,
                ledger=Ledger(connection, max_attempts=self._max_attempts),
                registry=Registry(connection, self._vault, self._project_key),
                harvests=Harvests(connection),
                presence=Presence(connection),
                reports=Reports(connection),
            )
        return self._tables

"""What is done beside an SCP, once a second and by one process: studies are closed, and the spool is swept.

The spool belongs to the vault and is kept no longer than the retention says. The row goes first: a file without a row
is left over for the next start, a row without its file would be an instance that is lost.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.ledger import Ledger
    from farm.settings import Settings
    from scheduler.ingest.spool import Spool

log = logging.getLogger(__name__)

_MOST: Final = 5000
"""Files that are looked at in one go: more than arrive in a second."""


class Keeper:
    """Closes studies and sweeps the spool of one run."""

    def __init__(self, spool: Spool, run_id: int, settings: Settings) -> None:
        self._spool = spool
        self._run_id = run_id
        self._quiet = settings.study_quiet_seconds
        self._retention = settings.spool_retention_seconds
        self._after_id = 0

    def keep(self, ledger: Ledger) -> None:
        """Do what is due; raise `Unavailable` while the database is away."""
        closed = ledger.close_studies(self._run_id, self._quiet)
        if closed:
            log.info("run %d: %d studies have been quiet for %d s", self._run_id, closed, self._quiet)
        swept = ledger.sweep(self._run_id, self._retention, _MOST, self._after_id)
        self._after_id = swept.last_id
        self._spool.remove(swept.names)


def clear(spool: Spool, run_id: int, ledger: Ledger) -> int:
    """Remove what a crash left in the spool and no row knows, before anything arrives; return how many files."""
    return spool.leftovers(_known(run_id, ledger))


def _known(run_id: int, ledger: Ledger) -> Iterator[str]:
    """Yield the spool's files that belong to an instance of this run, or of another with the same spool."""
    source_key = ledger.run(run_id).source_key
    for run in ledger.runs():
        if run.source_key == source_key:
            yield from ledger.spooled(run.id)

"""Tells peers which of their instances are safe (PS3.4 annex J): those that a row of the ledger stands for."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.queue import Sealer, Session


class LedgerKeeper:
    """Asks the ledger, in a thread of its own: an event loop must not wait for a database."""

    def __init__(self, session: Session, sealer: Sealer, run_id: int) -> None:
        self._session, self._sealer, self._run_id = session, sealer, run_id
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="commitment")

    async def holds(self, instances: tuple[tuple[str, str], ...]) -> list[bool]:
        """Tell of each (SOP Class UID, SOP Instance UID) whether it has arrived in this run."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._asked, instances)

    def close(self) -> None:
        """Drop the connection."""
        self._thread.shutdown()
        self._session.close()

    def _asked(self, instances: tuple[tuple[str, str], ...]) -> list[bool]:
        keys = [self._sealer.instance(uid.encode()) for _, uid in instances]
        held = self._session.call(lambda tables: tables.ledger.holds(self._run_id, keys))
        return [key in held for key in keys]

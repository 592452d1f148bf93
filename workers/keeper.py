"""Keeps the lease of the parcel in hand alive, from a thread with a connection of its own.

The thread looks at the token in hand every few seconds and renews it, so a parcel that takes less costs nothing. A
renewal that is refused means that the reaper gave the instances to somebody else: the parcel is dropped at the next
instance. Even a worker that misses this does no harm, because claim and commit depend on the token; noticing early only
saves work.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.errors import FarmError, Reason, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.queue import Session

log = logging.getLogger(__name__)


class Keeper:
    """Renews one lease at a time; `check` tells the working thread when it is lost."""

    def __init__(self, session: Session, *, every: float, seconds: float) -> None:
        self._session = session
        self._every = every
        self._seconds = seconds
        self._lock = threading.Lock()
        self._token: int | None = None
        self._lost = False
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
        self._thread.start()

    @contextmanager
    def holding(self, token: int) -> Iterator[None]:
        """Keep this lease alive inside the block."""
        with self._lock:
            self._token, self._lost = token, False
        try:
            yield
        finally:
            with self._lock:
                self._token = None

    def check(self) -> None:
        """Raise `Unavailable` (lease-lost) if the lease in hand is known to be lost."""
        if self._lost:
            raise Unavailable(Reason.LEASE_LOST)

    def close(self) -> None:
        """End the thread."""
        self._closed.set()
        self._thread.join()
        self._session.close()

    def _run(self) -> None:
        while not self._closed.wait(self._every):
            token = self._token
            if token is None:
                continue
            try:
                kept = self._renewed(token)
            except FarmError as error:
                # The database is away: the lease may still stand, and the commit will tell.
                log.warning("lease not renewed: %s", error.reason.value)
                continue
            with self._lock:
                self._lost = self._lost or (not kept and self._token == token)

    def _renewed(self, token: int) -> bool:
        return self._session.call(lambda tables: tables.ledger.renew(token, self._seconds))

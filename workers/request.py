"""The worker's main process, when one of its children died or ran out of time with a parcel in hand.

Celery acknowledges the message and forgets it. The ledger would find out when the lease expires; telling it at once
lets the instances go on within a second. The attempt stays counted, so an instance that kills its process every time
is quarantined at the third.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from billiard.exceptions import WorkerLostError
from celery import Task
from celery.worker import state
from celery.worker.request import Request

from farm.database import connect
from farm.errors import FarmError, Reason
from farm.ledger import Ledger
from workers.handler import worker_name

if TYPE_CHECKING:
    from billiard.einfo import ExceptionInfo

    from farm.settings import Settings

log = logging.getLogger(__name__)


class ParcelRequest(Request):
    """A parcel in the main process; its failure hooks end the dead child's lease."""

    def on_failure(self, exc_info: ExceptionInfo, send_failed_event: bool = True, return_ok: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - Celery's signature
        """Give up the lease of a child that died."""
        lost = isinstance(exc_info.exception, WorkerLostError | SystemExit)
        result = super().on_failure(exc_info, send_failed_event=send_failed_event, return_ok=return_ok)  # type: ignore[no-untyped-call]
        # In a cold shutdown the child has given its parcel back by itself.
        if lost and not state.should_terminate:
            self._abandon(Reason.WORKER_LOST)
        return result

    def on_timeout(self, soft: bool, timeout: float) -> None:  # noqa: FBT001 - Celery's signature
        """Give up the lease of a child that is about to be killed."""
        super().on_timeout(soft, timeout)  # type: ignore[no-untyped-call]
        if not soft:
            self._abandon(Reason.TIME_LIMIT)

    def _abandon(self, reason: Reason) -> None:
        settings: Settings = self.task.app.farm_settings
        (generation,) = self.args
        if self.worker_pid is None:
            return
        try:
            with connect(settings.database_url) as connection:
                ledger = Ledger(connection, max_attempts=settings.max_attempts)
                ledger.abandon(generation, worker_name(self.worker_pid), reason)
        except FarmError as error:
            # The lease expires by itself; the reaper takes the rows then.
            log.warning("a lost parcel waits for its lease to end: %s", error.reason.value)


class ParcelTask(Task):
    """A task whose failures in the main process reach the ledger."""

    abstract = True
    Request = "workers.request:ParcelRequest"

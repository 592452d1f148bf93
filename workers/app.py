"""The worker program: `celery -A workers.app worker -Q cpu,large`; with `-Q gpu -c 1` that of `FARM_GPU_DEVICE`.

SIGTERM stops it warmly: nothing new is taken, parcels in hand are finished. Celery's soft shutdown is not used: it
sleeps its whole time limit even when the tasks end at once, while parcels are short. SIGQUIT ends the children at once;
each gives its parcel back.
"""

from __future__ import annotations

import logging
import os
from typing import Any

from billiard import pool
from celery.signals import after_setup_logger, worker_process_shutdown

from farm.queue import make_app
from farm.settings import load
from workers import health, presence, tasks

_OURS = ("farm", "workers", "celery", "kombu", "billiard", "multiprocessing")
"""Loggers that may write. Others are libraries whose messages can carry an attribute's value."""

# At its end a child waits up to 30 s for its parent to read its last result, which in a shutdown may not happen at all.
# Nothing hangs on that result: the outcomes are in the ledger, and the message, if it comes again, leases nothing.
pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 5

settings = load()
app = make_app(settings.broker_url, settings)
tasks.register(app, settings)
health.install(app)
presence.install(app)


class OursOnly(logging.Filter):
    """Lets through what the farm and Celery log, and nothing else."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether the record's logger may write."""
        return record.name.partition(".")[0] in _OURS


@after_setup_logger.connect(weak=False)  # type: ignore[untyped-decorator]
def _quiet(logger: logging.Logger, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    for handler in logger.handlers:
        handler.addFilter(OursOnly())
    if settings.log_level != "DEBUG":
        # Two lines for each parcel, which tell what the ledger knows better.
        for name in ("celery.worker.strategy", "celery.app.trace"):
            logging.getLogger(name).setLevel(logging.WARNING)


@worker_process_shutdown.connect(weak=False)  # type: ignore[untyped-decorator]
def _end(exitcode: int, **_: Any) -> None:  # noqa: ANN401 - Celery's signature
    # What a child does after this is to ask its parent for the signal that kills it, and to wait a second for that.
    os._exit(exitcode)

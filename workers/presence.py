"""Tells the ledger that this worker lives, and from which queues it takes.

A parcel is sent to a queue that need not have a worker (`gpu`) only while one lives. The worker's event loop asks for
each sign of life and a thread gives it, so a loop that hangs is silent, and a database that is away holds up nothing;
one that hangs holds up the worker's end for some seconds.
It speaks for the main process; a device that fails later costs time alone, since its work is handed to the processor.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from celery import bootsteps

from farm.database import connect
from farm.errors import FarmError
from farm.ledger.presence import EVERY, Presence

if TYPE_CHECKING:
    from collections.abc import Callable

    from celery import Celery
    from psycopg import Connection

log = logging.getLogger(__name__)

_PATIENCE = 2.0
"""Seconds that the ledger may take for a sign of life; one or two that are not given do no harm."""


def install(app: Celery) -> None:
    """Add the step to the app's worker."""
    app.steps["worker"].add(SignsOfLife)


class SignsOfLife(bootsteps.StartStopStep):
    """Gives signs of life while the event loop turns; takes its leave at the end."""

    requires = ("celery.worker.components:Timer",)  # type: ignore[assignment]

    def __init__(self, parent: Any, **options: Any) -> None:  # noqa: ANN401 - Celery's signature
        super().__init__(parent, **options)  # type: ignore[no-untyped-call]
        queues = tuple(parent.app.amqp.queues.consume_from)
        self._teller = Teller(parent.app.farm_settings.database_url, parent.hostname, queues)

    def start(self, parent: Any) -> None:  # noqa: ANN401 - Celery's signature
        """Give the first at once."""
        self._teller.start()
        self._teller.tell()
        parent.timer.call_repeatedly(EVERY, self._teller.tell)

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002 - Celery's signature
        """Take leave: nothing more is sent this way."""
        self._teller.close()


class Teller:
    """A thread with a connection of its own, that tells the ledger when it is asked to."""

    def __init__(self, database_url: str, worker: str, queues: tuple[str, ...]) -> None:
        self._url, self._worker, self._queues = database_url, worker, queues
        self._asked, self._closed = threading.Event(), False
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def tell(self) -> None:
        """Ask for a sign of life."""
        self._asked.set()

    def close(self) -> None:
        """Take leave."""
        self._closed = True
        self._asked.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closed:
            self._asked.wait()
            self._asked.clear()
            if not self._closed:
                self._call(lambda presence: presence.lives(self._worker, self._queues))
        if self._connection is not None:  # what could not be said before is not said now
            self._call(lambda presence: presence.leaves(self._worker))
            self._drop()

    def _call(self, work: Callable[[Presence], None]) -> None:
        try:
            if self._connection is None:
                self._connection = connect(self._url, deadline=_PATIENCE)
            work(Presence(self._connection))
        except FarmError as error:
            log.warning("no sign of life given: %s", error.reason.value)
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

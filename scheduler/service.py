"""Keeps every open run going, of whatever project that has this home's key: what `farm up` does.

It does for all runs what a campaign does for its own, but for the crawl: a run whose crawl was cut off gets what was
found so far done, and is complete once the same `farm run` has been given again. A campaign and the service may work on
one run at a time, since the ledger gives each parcel out once. Nothing is received or harvested here.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from farm.errors import BadRecipe, Reason, Unavailable
from farm.queue import Publisher, make_app
from scheduler.feeder import Feeder
from scheduler.worker_group import WorkerGroup

if TYPE_CHECKING:
    import threading

    from farm.queue import Tables
    from scheduler.campaign import Desk
    from scheduler.servers import Servers

log = logging.getLogger(__name__)

_TICK = 0.5
_MEND_EVERY = 1.0
_OPEN = frozenset({"crawling", "active"})


class Service:
    """The loop around all open runs whose projects have the desk's key."""

    def __init__(self, desk: Desk, servers: Servers) -> None:
        """Take settings whose servers answer; bring the schema up to date and open the project."""
        self._settings = desk.settings
        self._servers = servers
        desk.migrate()
        self._session = desk.session()
        self._session.call(lambda tables: tables.registry.open_project(self._settings.project))
        self._is_ours: dict[int, bool] = {}
        self._publisher = Publisher(make_app(self._settings.broker_url, self._settings))
        self._worker = WorkerGroup(self._settings, events=True)
        self._feeders: dict[int, Feeder] = {}
        self._mended = 0.0

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set; raise `Unavailable` (server-failed) where a server or the worker keeps failing."""
        while not stop.wait(_TICK):
            try:
                self._mend()
                self._worker.ensure()
                self._session.call(self._round)
            except Unavailable as error:
                if error.reason is Reason.SERVER_FAILED:
                    raise
                log.warning("the farm waits: %s", error.reason.value)

    def close(self) -> None:
        """End the worker, which finishes what it has in hand."""
        self._worker.stop()
        self._publisher.close()
        self._session.close()

    def _mend(self) -> None:
        if time.monotonic() - self._mended >= _MEND_EVERY:
            self._mended = time.monotonic()
            self._servers.mend()

    def _round(self, tables: Tables) -> None:
        """Feed, recover and finish every open run; forget the others."""
        ledger = tables.ledger
        runs = [run.id for run in ledger.runs() if run.state in _OPEN and self._serves(tables, run.project_id)]
        self._feeders = {run_id: self._feeders.get(run_id) or self._feeder(run_id) for run_id in runs}
        for run_id, feeder in self._feeders.items():
            feeder.recover(tables)
            if not feeder.feed(tables, time.monotonic()):
                ledger.finish(run_id)

    def _serves(self, tables: Tables, project_id: int) -> bool:
        """Tell whether a project was begun with this key: its runs are any worker's of this home to do."""
        if project_id not in self._is_ours:
            try:
                tables.registry.project_name(project_id)
                self._is_ours[project_id] = True
            except BadRecipe:
                log.warning("project %d has another key: its runs are left alone", project_id)
                self._is_ours[project_id] = False
        return self._is_ours[project_id]

    def _feeder(self, run_id: int) -> Feeder:
        log.info("run %d is taken up", run_id)
        return Feeder(run_id, self._publisher, self._settings)

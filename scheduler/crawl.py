"""Brings what a source holds into the ledger, a thousand at a time.

The ledger inserts only what is missing, so a crawl may be cut off and begun again at any point: that is what makes a
run resumable. Each file's first bytes are surveyed for what packing and routing need (series and transfer syntax) and
for what can be refused at once; what the survey cannot judge goes to a worker like the rest, which looks at all of it.
"""

from __future__ import annotations

import logging
import threading
from itertools import islice
from typing import TYPE_CHECKING

from farm.errors import BadInput, BadRecipe, FarmError, Reason, place_of
from farm.ledger import Found
from farm.pipeline import survey
from farm.sources import Counters
from scheduler.routing import CPU, Router

if TYPE_CHECKING:
    from farm.queue import Sealer, Session
    from farm.sources import Entry, FolderSource

log = logging.getLogger(__name__)

_BATCH = 1000


class Crawl:
    """One source on its way into one run."""

    def __init__(
        self, source: FolderSource, sealer: Sealer, source_key: bytes, run_id: int, router: Router | None = None
    ) -> None:
        self._source = source
        self._router = router or Router()
        self._sealer = sealer
        self._source_key = source_key
        self._run_id = run_id
        self.counters = Counters()
        self.new = 0
        """Instances that the ledger did not know before."""

    def run(self, session: Session, stop: threading.Event) -> None:
        """Stage everything and tell the ledger so, unless told to stop before the end."""
        entries = self._source.crawl(self.counters)
        while batch := list(islice(entries, _BATCH)):
            if stop.is_set():
                return
            found = [self._found(entry) for entry in batch]
            self.new += session.call(lambda tables, found=found: tables.ledger.stage(self._run_id, found))  # type: ignore[misc]
        session.call(lambda tables: tables.ledger.crawled(self._run_id, self.counters.to_dict()))

    def _found(self, entry: Entry) -> Found:
        place = self._sealer.locator(self._source_key, entry.locator)
        series, route, reason = self._surveyed(entry)
        return Found(
            locator_key=place.key,
            locator_sealed=place.sealed,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            series_key=series,
            reason=reason,
            route=route,
        )

    def _surveyed(self, entry: Entry) -> tuple[bytes | None, str, Reason | None]:
        """Return the key of the series, where there is one to see, the route, and why the file is refused, if it is."""
        try:
            seen = survey(self._source.head(entry.locator))
        except BadInput as error:
            return None, CPU, error.reason
        series = None if seen.series is None else self._sealer.series(seen.series)
        return series, self._router.route(seen.syntax, entry.size), None


class CrawlThread:
    """The crawl beside a campaign's loop; what ends it early is raised by `check`, in the loop's thread."""

    def __init__(self, crawl: Crawl, session: Session) -> None:
        self._crawl = crawl
        self._session = session
        self._halt = threading.Event()
        self._error: FarmError | None = None
        self._thread = threading.Thread(target=self._run, name="crawl", daemon=True)

    @property
    def new(self) -> int:
        """Return how many instances were brought in."""
        return self._crawl.new

    @property
    def counters(self) -> dict[str, int]:
        """Return what was met so far."""
        return self._crawl.counters.to_dict()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the crawl, if something did."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the crawl at its next thousand."""
        self._halt.set()
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            self._crawl.run(self._session, self._halt)
        except FarmError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - a thread's traceback would print paths
            log.error("the crawl failed: %s", place_of(error))  # noqa: TRY400 - likewise
            self._error = BadRecipe(Reason.INTERNAL_ERROR, "The crawl failed; the log names the place in the code")
        finally:
            self._session.close()

"""Brings what a source holds into the ledger, a thousand at a time.

The ledger inserts only what is missing, so a crawl may be cut off and begun again at any point: that is what makes a
run resumable. A file that is not as it was found is looked at again: it may have been half there. If it was done, what
is there now is another instance, and comes in beside it as the file's next version; that it is the same one after all
(somebody touched it) shows when the output is. What changed on its way to a worker is staged once that has let it go.

Each file's first bytes are surveyed for what packing and routing need (series and transfer syntax) and
for what can be refused at once; what the survey cannot judge goes to a worker like the rest, which looks at all of it.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from farm.errors import BadInput, BadRecipe, FarmError, Reason, place_of
from farm.ledger import Found
from farm.pipeline import survey
from farm.sources import Counters
from scheduler.intake import Attendance
from scheduler.routing import CPU, Router

if TYPE_CHECKING:
    from farm.ledger import Brought, Progress
    from farm.queue import Sealer, Session, Tables
    from farm.sources import Entry, FolderSource

log = logging.getLogger(__name__)

_BATCH = 1000
_BUSY_SECONDS = 1.0
"""Until another look at what is on its way, where that is all there is, or as many as a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sight:
    """What was seen of a file; `version` counts the instances of the run that were done from it."""

    entry: Entry
    found: Found
    version: int = 0


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
        self.changed = 0
        """Instances that were brought in, new or again, because their file has changed since it was at its end."""
        self.is_through = False
        """The source has been seen to its end."""
        self._attendance = Attendance(run_id)

    def run(self, session: Session, stop: threading.Event) -> None:
        """Stage everything and tell the ledger so, unless told to stop before the end."""
        session.call(self._attendance.keep)
        entries = self._source.crawl(self.counters)
        busy: list[_Sight] = []
        while (batch := list(islice(entries, _BATCH - len(busy)))) or busy:
            if stop.is_set() or (not batch and stop.wait(_BUSY_SECONDS)):
                return
            busy = self._stage(session, busy + [self._seen(entry) for entry in batch])
        session.call(lambda tables: self._attendance.leave(tables, self.counters.to_dict()))
        self.is_through = True

    def _stage(self, session: Session, seen: list[_Sight]) -> list[_Sight]:
        """Bring in what was seen, and the next versions of what was done; return what has to come again later."""
        busy: list[_Sight] = []
        while seen:
            known = {sight.found.locator_key: sight for sight in seen}
            found = [sight.found for sight in seen]
            brought = session.call(lambda tables, found=found: self._staged(tables, found))  # type: ignore[misc]
            self.new += brought.new
            self.changed += brought.again + (brought.new if all(sight.version for sight in seen) else 0)
            busy += [known[key] for key in brought.busy]
            seen = [self._next(known[key]) for key in brought.done]
        return busy

    def _staged(self, tables: Tables, found: list[Found]) -> Brought:
        self._attendance.keep(tables)
        return tables.ledger.stage(self._run_id, found)

    def _seen(self, entry: Entry) -> _Sight:
        place = self._sealer.locator(self._source_key, entry.locator)
        series, route, reason = self._surveyed(entry)
        found = Found(
            locator_key=place.key,
            locator_sealed=place.sealed,
            size=entry.size,
            mtime_ns=entry.mtime_ns,
            series_key=series,
            reason=reason,
            route=route,
        )
        return _Sight(entry=entry, found=found)

    def _next(self, sight: _Sight) -> _Sight:
        version = sight.version + 1
        place = self._sealer.locator(self._source_key, sight.entry.locator, version)
        found = replace(sight.found, locator_key=place.key, locator_sealed=place.sealed)
        return replace(sight, found=found, version=version)

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
        return self._crawl.counters.to_dict() | {"changed": self._crawl.changed}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the crawl, if something did."""
        if self._error is not None:
            raise self._error

    def over(self, _tables: Tables, progress: Progress) -> bool:
        """Tell whether the source was seen to its end, by this crawl and by any other of the run, and all is done."""
        return self._crawl.is_through and progress.state == "complete"

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

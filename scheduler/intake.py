"""What a campaign asks of whatever brings its instances in: a crawl, a server that receives, a harvest.

Several may bring instances into one run, each beside a campaign of its own: receivers and harvests with one output
folder do. Each attends the run while it lasts and ends by its own state, so that none ends another's run, and the run
is complete when the last has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.ledger import Progress
    from farm.queue import Tables


class Intake(Protocol):
    """Brings instances into a run, beside the campaign's loop."""

    @property
    def new(self) -> int:
        """Return how many instances it has brought in."""

    @property
    def counters(self) -> dict[str, int]:
        """Return what it met so far."""

    def start(self) -> None:
        """Begin; the servers answer and the run is open."""

    def check(self) -> None:
        """Do what is due, once a tick, in the loop's thread; raise what has ended it, if something did."""

    def over(self, tables: Tables, progress: Progress) -> bool:
        """Tell whether it brings nothing more, and all that it brought is at its end in a run that stands so."""

    def stop(self) -> None:
        """End in order; it may have ended, or never have begun."""


class Attendance:
    """Keeps a run from its end while an intake lasts; to be used with one session."""

    def __init__(self, run_id: int) -> None:
        self._run_id = run_id
        self._held: object = None

    def keep(self, tables: Tables) -> None:
        """Attend the run, again where the connection is another than it was."""
        if self._held is not tables.connection:
            tables.ledger.attend(self._run_id)
            self._held = tables.connection

    def leave(self, tables: Tables, counters: Mapping[str, int]) -> int:
        """Note that nothing more comes from here; return an id that nothing that came from here is above."""
        if self._held is tables.connection:
            tables.ledger.leave(self._run_id)
        self._held = None
        return tables.ledger.crawled(self._run_id, counters)

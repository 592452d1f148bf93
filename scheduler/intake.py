"""What a campaign asks of whatever brings its instances in: a crawl, a server that receives, a harvest."""

from __future__ import annotations

from typing import Protocol


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

    def stop(self) -> None:
        """End in order; it may have ended, or never have begun."""

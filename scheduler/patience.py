"""When a run in the foreground stops waiting for something that is away."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.errors import Reason


class Patience:
    """Ends when something is away and no instance has come to its end for a while; the caller brings the clock."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ended = -1
        self._since: float | None = None

    def over(self, now: float, ended: int | None, trouble: Reason | None) -> bool:
        """Take what is away and how many instances are at their end (None: unknown); tell whether to give up."""
        headway = ended is not None and ended != self._ended
        if ended is not None:
            self._ended = ended
        if trouble is None or headway:
            self._since = None
        elif self._since is None:
            self._since = now
        return self._since is not None and now - self._since >= self._seconds

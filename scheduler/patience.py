"""When a program in the foreground stops waiting for something that is away, or does not answer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from farm.errors import Reason

_STATEMENT: Final = 60.0
"""Seconds that no statement of a campaign takes where the database is well."""


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


class Haste:
    """How many seconds a statement may take: ample, and few once the program has been asked to end.

    Every connection of a program has to know of it, or Ctrl-C waits for ever where the database hangs.
    """

    def __init__(self, stop: threading.Event, seconds: float) -> None:
        """Take what is set when the program is to end, and what a statement may take then."""
        self._stop, self._seconds = stop, seconds

    def __call__(self) -> float:
        """Tell how long that is now, also for a statement that is under way."""
        return self._seconds if self._stop.is_set() else max(_STATEMENT, self._seconds)

    def unless_asked(self) -> float:
        """Tell it of a statement that may take hours, as a migration does."""
        return self._seconds if self._stop.is_set() else math.inf

    def patience(self, seconds: float) -> Callable[[], float]:
        """Return what tells for how long to try again: so many seconds, and no more once it has been asked to end."""
        return lambda: 0.0 if self._stop.is_set() else seconds

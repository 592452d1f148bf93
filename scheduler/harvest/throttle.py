"""How often a PACS may be asked: a token bucket, and the admission of its associations.

The caller brings the clock, so a week can be tried in a second. Limits are of what is begun: what was begun inside a
window comes to its end after it.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scheduler.harvest.windows import Windows


_WEEK: Final = timedelta(days=7)


class TokenBucket:
    """At most `rate_per_s` x seconds + `burst` tokens in any time; rate 0: no limit.

    More than `burst` at once are given as well, lest a large study wait for ever: the bucket owes them then. Who
    reserves tokens waits in turn, so that nobody is passed by those who want less.
    """

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate = rate_per_s
        self._burst = burst
        self._tokens = burst
        self._at = -math.inf

    def reserve(self, count: float, now: float) -> float:
        """Take tokens at once; return the seconds until they are there, behind all that were reserved before."""
        if not self._rate:
            return 0.0
        self._fill(now)
        self._tokens -= count
        return max(0.0, -self._tokens / self._rate)

    def put_back(self, count: float) -> None:
        """Return tokens that were reserved and are not used."""
        self._tokens = min(self._burst, self._tokens + count)

    def _fill(self, now: float) -> None:
        if self._at > -math.inf and now > self._at:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._rate)
        self._at = max(self._at, now)


class Admission:
    """When the next association with one PACS may be used: their number, the windows, and the utilisation.

    `utilisation` is the share of time that an association may be busy: after t seconds it rests t x (1 - u) / u.
    """

    def __init__(self, *, associations: int, windows: Windows, utilisation: float = 1.0) -> None:
        if associations < 1 or not 0 < utilisation <= 1:
            raise ValueError("at least one association, and a utilisation above 0 and up to 1")
        self._free = associations
        self._rests: list[float] = []
        self._windows = windows
        self._closed: tuple[datetime, datetime] | None = None
        self._rest = (1 - utilisation) / utilisation

    def wait(self, now: datetime) -> float:
        """Return the seconds after which to ask again; 0: one may be used; infinite: not before something ends.

        `now` is aware of its zone.
        """
        at = now.timestamp()
        if not self._windows.open_at(now):
            return self._opens(now).timestamp() - at
        return self._slot_wait(at)

    def start(self, now: datetime) -> bool:
        """Use an association if one may be used now; True has to be followed by `ended`, whatever happens."""
        if self.wait(now) > 0:
            return False
        if self._free:
            self._free -= 1
        else:
            self._rests.remove(min(self._rests))
        return True

    def ended(self, began: datetime, now: datetime) -> None:
        """Take back an association, after its rest."""
        took = max(0.0, now.timestamp() - began.timestamp())
        self._rests.append(now.timestamp() + took * self._rest)

    def _opens(self, now: datetime) -> datetime:
        """Return when the windows open, from a time when they are closed; it is worked out once for each closure."""
        if self._closed is None or not self._closed[0] <= now < self._closed[1]:
            # A window is a time of the week, so what is closed opens within one.
            self._closed = (now, self._windows.next_change(now) or now + _WEEK)
        return self._closed[1]

    def _slot_wait(self, at: float) -> float:
        """Return the seconds until an association is free."""
        if self._free:
            return 0.0
        return max(0.0, min(self._rests) - at) if self._rests else math.inf

"""The pace at which a PACS is asked, for instances or by queries: by a rate, and only while its window is open.

What waits here holds an association of the PACS, which it may sorely need: one that would be idle for longer than a
few seconds is closed by who waits (`HELD`). A wait never lasts beyond the window.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from scheduler.harvest.throttle import TokenBucket
    from scheduler.harvest.windows import Windows

HELD: Final = 5.0
"""Seconds for which an association is kept while nothing is asked on it, and a PACS kept waiting for an answer."""
_LEAST_WAIT: Final = 0.01


class NotNow(Exception):
    """The time at which the PACS may be asked is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """The time by which a PACS is admitted to, and how to wait for another."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    longest: float = 30.0
    """Seconds between looks at a window that is closed, in case somebody has changed the clock."""

    def bounded(self, wait: float) -> float:
        """Return how long to wait before another look: not for ever, and not for nothing."""
        return max(_LEAST_WAIT, min(wait, self.longest))


class Pace:
    """Lets instances be asked for, or queries be asked, one reservation behind the other."""

    def __init__(self, bucket: TokenBucket, windows: Windows, clock: Clock) -> None:
        """Take the rate, the windows, and the clock that both go by."""
        self._bucket, self._windows, self._clock = bucket, windows, clock

    async def admit(self, count: int, release: Callable[[], Awaitable[None]]) -> None:
        """Wait for so many instances; raise `NotNow` where the window has closed by then.

        `release` closes the association, where the wait is long. Who raises afterwards has to `put_back`.
        """
        now = self._clock.now().timestamp()
        await self._reserved(count, now, self._bucket.reserve(count, now), release)

    async def query(self, release: Callable[[], Awaitable[None]]) -> None:
        """Wait for a query; raise `NotNow` where the window closes meanwhile. `release` and `put_back` as above.

        One that need not wait does not look at the window: what was begun inside comes to its end after it.
        """
        now = self._clock.now().timestamp()
        if (wait := self._bucket.reserve(1, now)) > 0:
            await self._reserved(1, now, wait, release)

    def put_back(self, count: int) -> None:
        """Give up what was admitted, and will not be asked for."""
        self._bucket.put_back(count)

    async def pay(self) -> None:
        """Wait on behalf of an instance that has come unasked; what is owed beyond, the next one waits for."""
        wait = self._bucket.reserve(1, self._clock.now().timestamp())
        if wait > 0:
            await self._clock.pause(min(wait, HELD))

    async def _reserved(self, count: int, now: float, wait: float, release: Callable[[], Awaitable[None]]) -> None:
        """Wait until what was reserved is there, or put it back."""
        try:
            if wait > HELD:
                await release()
            await self._until(now + wait)
        except BaseException:
            self.put_back(count)
            raise

    async def _until(self, due: float) -> None:
        while self._windows.open_at(self._clock.now()):
            left = due - self._clock.now().timestamp()
            if left <= 0:
                return
            await self._clock.pause(self._clock.bounded(left))
        raise NotNow

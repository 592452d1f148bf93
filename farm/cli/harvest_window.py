"""When the window of a PACS opens, for people who see that nothing comes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from scheduler.harvest.windows import Windows


class Opening:
    """The next opening; it is looked for anew only when it is over, as that costs more than a look at a clock."""

    def __init__(self, windows: Windows, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Take the windows, and the clock to go by."""
        self._windows = windows
        self._now = now
        self._next: datetime | None = None

    def at(self) -> datetime | None:
        """Return when the window opens, in UTC; None: it is open."""
        now = self._now()
        if self._windows.open_at(now):
            self._next = None
        elif self._next is None or self._next <= now:
            self._next = self._windows.next_change(now)
        return self._next

    def words(self) -> str:
        """Return the same by the clock on the wall here; empty: it is open."""
        opens = self.at()
        return "" if opens is None else opens.astimezone().strftime("the window opens %a %Y-%m-%d %H:%M %Z")

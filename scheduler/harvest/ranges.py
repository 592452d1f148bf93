"""A range of days, or of minutes within one day: what a query restricts Study Date and Study Time to.

Range matching includes both ends (PS3.4 section C.2.2.2.5). A time is written with as few parts as it needs at the
beginning, and to the last fraction of its minute at the end, so that a PACS that compares text instead of times still
puts every time into one of two neighbouring ranges.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

MINUTES: Final = 24 * 60
_DAWN: Final = date(1990, 1, 1)
"""Few studies are older: where a range has no beginning, it is first cut after this day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """Days from `first` to `last`, both included, None: open; of one day perhaps the minutes `start` to `end` alone."""

    first: date | None = None
    last: date | None = None
    start: int = 0
    end: int = MINUTES - 1

    @property
    def is_day(self) -> bool:
        """Tell whether the range is within one day."""
        return (self.first or date.min) == (self.last or date.max)

    def study_date(self) -> str:
        """Return the range as a value of Study Date; empty: any."""
        first, last = (day.isoformat().replace("-", "") if day else "" for day in (self.first, self.last))
        if first == last:
            return first
        return f"{first}-{last}"

    def study_time(self) -> str:
        """Return the range as a value of Study Time; empty: any."""
        if self.start == 0 and self.end == MINUTES - 1:
            return ""
        hour, minute = divmod(self.start, 60)
        begin = f"{hour:02d}{minute:02d}" if minute else f"{hour:02d}"
        return f"{begin}-{self.end // 60:02d}{self.end % 60:02d}59.999999"

    def halves(self, today: date) -> tuple[DateRange, DateRange] | None:
        """Return the range in two that share nothing and leave nothing out; None: it is one minute."""
        if not self.is_day:
            return self._by_days(today)
        if self.start == self.end:
            return None
        day = self.first or date.min
        middle = (self.start + self.end) // 2
        return (
            DateRange(first=day, last=day, start=self.start, end=middle),
            DateRange(first=day, last=day, start=middle + 1, end=self.end),
        )

    def _by_days(self, today: date) -> tuple[DateRange, DateRange]:
        """Return two halves by days: of an open range, halves of the part where studies are to be expected."""
        low, high = self.first, self.last
        if high is None:
            high = today if (low or _DAWN) <= today else date.max
        if low is None:
            low = _DAWN if high > _DAWN else date.min
        middle = low + (high - low) // 2
        return DateRange(first=self.first, last=middle), DateRange(first=middle + timedelta(days=1), last=self.last)

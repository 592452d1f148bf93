"""The times of the week at which a PACS may be asked: "Mon-Fri 19:00-06:00", "Sat,Sun 00:00-24:00".

Times are those of a clock on the wall. Where the clocks are put back, an hour comes twice and is open both times; where
they are put forward, an hour never comes. A window that ends before it begins ends on the next day.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, Final

from farm.errors import BadRecipe, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WINDOW: Final = re.compile(r"(?:([A-Za-z,-]+) +)?([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")
_DAY: Final = 24 * 60
_WEEK: Final = 7 * _DAY
_STEP: Final = 6 * 3600  # seconds: no zone changes its clocks twice within
_STEPS: Final = 8 * 4


class Windows:
    """Spans of minutes of the week, in one time zone; none: always open."""

    def __init__(self, spans: tuple[tuple[int, int], ...], zone: tzinfo) -> None:
        """Take spans (first minute, minute after the last); one may go on past the week's end."""
        self._spans = spans
        self._zone = zone

    @classmethod
    def parse(cls, texts: Iterable[str], zone: tzinfo) -> Windows:
        """Return the windows that texts say; raise `BadRecipe(BAD_OPTION)` for one that cannot be read."""
        return cls(tuple(span for text in texts for span in _spans(text)), zone)

    def open_at(self, when: datetime) -> bool:
        """Tell whether a retrieval may start at a time, which is aware of its zone."""
        wall = when.astimezone(self._zone)
        minute = wall.weekday() * _DAY + wall.hour * 60 + wall.minute
        return not self._spans or any(
            start <= at < end for start, end in self._spans for at in (minute, minute + _WEEK)
        )

    def next_change(self, when: datetime) -> datetime | None:
        """Return the next time, in UTC, at which it opens or closes; None: never."""
        is_open = self.open_at(when)
        turns = sorted(at for at in (*self._turns(when), *self._clock_changes(when)) if at > when)
        return next((at for at in turns if self.open_at(at) != is_open), None)

    def _turns(self, when: datetime) -> Iterator[datetime]:
        """Yield the times at which a window begins or ends, as the wall says, from a day before to a week after."""
        midnight = datetime.combine(when.astimezone(self._zone).date(), time())
        monday = midnight - timedelta(days=midnight.weekday())
        for week in (-1, 0, 1):
            for minute in {minute for span in self._spans for minute in span}:
                wall = monday + timedelta(weeks=week, minutes=minute)
                for fold in (0, 1):
                    yield wall.replace(tzinfo=self._zone, fold=fold).astimezone(UTC)

    def _clock_changes(self, when: datetime) -> Iterator[datetime]:
        """Yield the times, to the second, at which the clocks are put forward or back within the next week."""
        at = when.astimezone(UTC).replace(microsecond=0)
        for _ in range(_STEPS if self._spans else 0):
            if self._offset(at) != self._offset(at + timedelta(seconds=_STEP)):
                low, high = 0, _STEP
                while high - low > 1:
                    middle = (low + high) // 2
                    is_after = self._offset(at + timedelta(seconds=middle)) != self._offset(at)
                    low, high = (low, middle) if is_after else (middle, high)
                yield at + timedelta(seconds=high)
            at += timedelta(seconds=_STEP)

    def _offset(self, at: datetime) -> timedelta | None:
        return at.astimezone(self._zone).utcoffset()


def _spans(text: str) -> Iterator[tuple[int, int]]:
    match = _WINDOW.fullmatch(text.strip())
    if not match:
        raise _wrong()
    start, end = int(match[2]) * 60 + int(match[3]), int(match[4]) * 60 + int(match[5])
    if start == end or start >= _DAY or end > _DAY or int(match[3]) > 59 or int(match[5]) > 59:
        raise _wrong()
    for day in _days(match[1]):
        yield day * _DAY + start, day * _DAY + end + (_DAY if end < start else 0)


def _days(text: str | None) -> list[int]:
    """Return the days of a window, 0 is Monday; all of them where it names none."""
    if not text:
        return list(range(7))
    days: list[int] = []
    for part in text.lower().split(","):
        names = part.split("-")
        if len(names) > 2 or not set(names) <= set(_DAYS):
            raise _wrong()
        first, last = _DAYS.index(names[0]), _DAYS.index(names[-1])
        days += [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    return days


def _wrong() -> BadRecipe:
    return BadRecipe(Reason.BAD_OPTION, 'a window is written like "Mon-Fri 19:00-06:00"')

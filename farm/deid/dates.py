"""Dates: modified so that they no longer tell when, and still tell how long (PS3.15 E.3.6).

A shift is a number of whole days, one for all dates of a subject, and never 0. All else follows from that. DA, and the
date in DT, move by it; a time of day moves by nothing, nor does an offset from UTC, whether in a DT or in Timezone
Offset From UTC (0008,0201). So date, time and timezone are moved together: both ends of any interval move alike, and
it comes out exact to the last digit, over midnight, a leap day or a change of the clocks that the offsets tell. The
decay time of PET (the administration, DT or TM, to the series or the acquisition, DA and TM) is such an interval. A
shift by hours would have to pair every TM with its DA, and could not where one of them is missing.

A partial DT cannot be shifted by days. It becomes the month or the year that its earliest day moves to, or its latest
day where the shift is to the future: a period in which the moved moment may lie, never the original one, and of dates
in order none overtakes another.

Truncation puts every moment at the start of its month or year: DA to that day, TM to 000000, DT likewise as far as it
is precise. What was in order by local time stays so, but intervals are lost, the decay time of PET with them, and a
value that is no more precise than that stays as it is.

What cannot be parsed (PS3.5 6.2, and the forms of ACR-NEMA, 1999.12.31 and 10:11:12) goes: it could be anything. A
component of several is emptied instead, so that the others keep their places. Values of other VRs cannot be moved
(Certified Timestamp is signed, Frame Origin Timestamp counts nanoseconds) and go as well.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from enum import StrEnum
from functools import lru_cache

from farm.deid.uids import components
from farm.dicom.dictionary import vr_of
from farm.errors import BadRecipe, Reason

TIMEZONE = 0x00080201
_MOVED_VRS = frozenset({"DA", "TM", "DT"})
_REMEMBERED = 4096  # days; a study's come back with every instance

_OFFSET = rb"(?:\+(?:0\d|1[0-3])[0-5]\d|\+1400|-(?:0\d|1[01])[0-5]\d|-1200)"
_HOUR, _MINUTE, _SECOND = rb"(?:[01]\d|2[0-3])", rb"[0-5]\d", rb"(?:[0-5]\d|60)(?:\.\d{1,6})?"
_CLOCK = rb"%b(?:%b(?:%b)?)?" % (_HOUR, _MINUTE, _SECOND)
_ZONE = re.compile(_OFFSET)
_DA = re.compile(rb"\d{8}|\d{4}\.\d\d\.\d\d")
_TM = re.compile(rb"%b|%b:%b(?::%b)?" % (_CLOCK, _HOUR, _MINUTE, _SECOND))
# A date with or without a time, or a year with or without a month.
_DT = re.compile(rb"(\d{8})((?:%b)?(?:%b)?)|(\d{4}(?:\d\d)?)(?:%b)?" % (_CLOCK, _OFFSET, _OFFSET))


class Strategy(StrEnum):
    """How dates are modified."""

    SUBJECT = "subject"  # a shift derived for the subject, in a range
    WEEKS = "weeks"  # likewise in whole weeks, which keep the day of the week
    FIXED = "fixed"  # one shift for all subjects
    ANCHOR = "anchor"  # the shift that puts the subject's first study on a given date
    CROSSWALK = "crosswalk"  # the shift that a table gives to the subject
    RANDOM = "random"  # a random shift that the registry remembers
    MONTH = "month"  # truncated to the first of the month
    YEAR = "year"  # truncated to the first of the year
    REMOVE = "remove"  # no date stays


_TRUNCATED = {Strategy.MONTH: 6, Strategy.YEAR: 4}  # the digits of a date that stay
_REMOVE = Strategy.REMOVE  # an enumeration's members are slow to reach
_WITHOUT_SHIFT = frozenset({*_TRUNCATED, _REMOVE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dates:
    """What happens to the dates of one subject; `days` is the shift, of the strategies that have one."""

    strategy: Strategy
    days: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        """Refuse a shift of nothing with `BadRecipe`: it would pass every date on as it is."""
        if not self.days and self.strategy not in _WITHOUT_SHIFT:
            raise BadRecipe(Reason.BAD_RECIPE, "dates: a shift of 0 days is none")

    def value(self, tag: int, vr: str, value: bytes) -> bytes | None:
        """Return a date's new value without padding; None: it cannot be told or moved, and goes.

        `vr` is the element's; the dictionary's counts where that is not a date's. An empty value stays empty.
        """
        if self.strategy == _REMOVE:
            return None
        kind = vr if vr in _MOVED_VRS else vr_of(tag)
        if tag == TIMEZONE:
            kind = "zone"
        elif kind not in _MOVED_VRS:
            return None
        move, digits = _MOVES[kind], _TRUNCATED.get(self.strategy, 0)
        if b"\\" not in value:
            only = value.strip(b"\0 ")
            return move(only, self.days, digits) if only else only
        given = components(value)
        moved = [move(part, self.days, digits) or b"" for part in given]
        return b"\\".join(moved) if any(moved) or not any(given) else None


def pick_shift(number: int, lowest: int, highest: int, *, weeks: bool) -> int:
    """Return one of the days from lowest to highest, whole weeks if asked, but never 0, by a number below 2**64.

    At most one in 2**42 falls unevenly. Raise `BadRecipe` where the range holds no shift.
    """
    step = 7 if weeks else 1
    low, high = -(-lowest // step), highest // step
    holds_none = low <= 0 <= high
    size = high - low + (not holds_none)
    if size < 1:
        raise BadRecipe(Reason.BAD_RECIPE, "dates.range: holds no shift that is not 0")
    shift = high - number % size
    if holds_none and shift <= 0:
        shift -= 1
    return shift * step


def subject_shift(
    derive: Callable[[str, bytes], bytes], subject: str, lowest: int = -3650, highest: int = -1, *, weeks: bool = False
) -> int:
    """Return a subject's shift in days, derived from the project key (`ProjectKey.derive`)."""
    number = int.from_bytes(derive("date-shift", subject.encode())[:8], "big")
    return pick_shift(number, lowest, highest, weeks=weeks)


def anchor_shift(first: bytes, anchor: bytes) -> int | None:
    """Return the days from a subject's first Study Date to the anchor; None where either is no date.

    A first study that is on the anchor already is put on the day after it: dates are never left as they are.
    """
    days = [_date(text.strip(b"\0 ")) for text in (first, anchor)]
    if days[0] is None or days[1] is None:
        return None
    return (days[1] - days[0]).days or 1


def _move_date(text: bytes, days: int, digits: int) -> bytes | None:
    """Move a DA (PS3.5 6.2); the form of ACR-NEMA becomes the present one."""
    return _moved_day(text, days, digits) if len(text) in {8, 10} else None


def _move_time(text: bytes, days: int, digits: int) -> bytes | None:
    """Leave a TM as precise as it is; truncated, it is midnight. The form of ACR-NEMA becomes the present one."""
    del days
    if not _TM.fullmatch(text):
        return None
    return b"000000" if digits else text.replace(b":", b"")


def _move_zone(text: bytes, days: int, digits: int) -> bytes | None:
    """Leave Timezone Offset From UTC as it is: whole days change nothing about it."""
    del days, digits
    return text if _ZONE.fullmatch(text) else None


def _move_date_time(text: bytes, days: int, digits: int) -> bytes | None:
    """Move a DT (PS3.5 6.2) and keep its time and offset; the offset of a month or a year says nothing and goes."""
    match = _DT.fullmatch(text)
    if not match:
        return None
    day, clock, period = match.groups()
    if period:
        return _move_period(period, days, digits)
    moved = _moved_day(day, days, digits)
    if moved is None:
        return None
    return moved + (re.sub(rb"^\d+(?:\.\d+)?", _midnight, clock) if digits else clock)


def _midnight(time: re.Match[bytes]) -> bytes:
    """Return midnight with as many of the hours, minutes and seconds as a time has."""
    return b"000000"[: len(time[0])]


def _move_period(text: bytes, days: int, digits: int) -> bytes | None:
    """Move a year or a month, YYYY or YYYYMM, to the one that its earliest or latest day moves to."""
    first = _date((text + b"0101")[:8])
    if first is None:
        return None
    if days > 0:
        month = first.month if len(text) == 6 else 12
        first = date(first.year, month, calendar.monthrange(first.year, month)[1])
    moved = _shifted(first, days, digits)
    return moved[: len(text)] if moved else None


@lru_cache(maxsize=_REMEMBERED)
def _moved_day(text: bytes, days: int, digits: int) -> bytes | None:
    found = _date(text)
    return _shifted(found, days, digits) if found else None


def _date(text: bytes) -> date | None:
    """Return the day that a DA tells; None where there is none such."""
    if not _DA.fullmatch(text):
        return None
    text = text.replace(b".", b"")
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def _shifted(day: date, days: int, digits: int) -> bytes | None:
    """Return a day moved or truncated, as DA; None outside the years 1 to 9999."""
    try:
        moved = day + timedelta(days)
    except OverflowError:
        return None
    text = b"%04d%02d%02d" % (moved.year, moved.month, moved.day)
    return text[:digits] + b"0101"[digits - 4 :] if digits else text


_MOVES: dict[str, Callable[[bytes, int, int], bytes | None]] = {
    "DA": _move_date,
    "TM": _move_time,
    "DT": _move_date_time,
    "zone": _move_zone,
}

"""Dates in the output that were dates of the source, in any usual spelling.

The years of the source's dates are looked for first: where none of them stands there is no date to be found, and that
is nearly always so. Around each year that does, the spellings are tried: 20190312, 2019-03-12 (or / or . or a space),
12.03.2019 and 03/12/2019 with or without leading zeros, 12 Mar 2019, March 12, 2019, 2019-Mar-12. Two-digit years are
not looked for: every other number would be one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import lru_cache

_MONTHS = {
    name.encode(): b"%02d" % (number + 1)
    for number, name in enumerate(("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"))
}
_MONTH = rb"(" + b"|".join(_MONTHS) + rb")[a-z]*"
_BEHIND = re.compile(rb"([-/. ]?)([0-9]{2})\1([0-9]{2})|[-/. ]?" + _MONTH + rb"[-/. ]?([0-9]{1,2})")
_BEFORE = re.compile(
    rb"(?:([0-9]{1,2})([-/. ])([0-9]{1,2})\2|([0-9]{2})([0-9]{2})"
    rb"|([0-9]{1,2})(?:st|nd|rd|th)?[-/., ]{0,2}" + _MONTH + rb"[-/., ]{0,2}"
    rb"|" + _MONTH + rb"[-/. ]{0,2}([0-9]{1,2})(?:st|nd|rd|th)?[-/., ]{0,2})\Z"
)
_LONGEST = 22  # characters of a spelling before its year
_DATE = re.compile(rb"(1[89]|2[01])[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])")
_YEARS = re.compile(rb"(?=((?:18|19|20|21)[0-9]{2}))")
_DUMMY = b"19000101"


def dates_in(values: Iterable[bytes]) -> frozenset[bytes]:
    """Return the dates, as YYYYMMDD, that DA and DT values begin with; those that are none, and the dummy, are not."""
    distinct = frozenset(values)
    return _dates_in(distinct) if distinct else distinct


@lru_cache(maxsize=512)
def _dates_in(values: frozenset[bytes]) -> frozenset[bytes]:
    parts = {part.strip()[:10].replace(b".", b"")[:8] for part in b"\\".join(values).split(b"\\")}
    return frozenset(part for part in parts if part != _DUMMY and _DATE.fullmatch(part))


def moved(day: bytes, how: str, days: int) -> bytes:
    """Return what a date becomes: shifted by days, or truncated to its month or year."""
    if how == "month":
        return day[:6] + b"01"
    if how == "year":
        return day[:4] + b"0101"
    try:
        there = date(int(day[:4]), int(day[4:6]), int(day[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return b""
    return b"%04d%02d%02d" % (there.year, there.month, there.day)


def years_in(text: bytes) -> set[bytes]:
    """Return what could be the years of dates in a text."""
    return set(_YEARS.findall(text))


def spelled(text: bytes, days: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the dates of `days` that a folded text spells, and whether there can be no doubt."""
    by_year: dict[bytes, set[bytes]] = defaultdict(set)
    for day in days:
        by_year[day[:4]].add(day[4:])
    for year, wanted in by_year.items():
        at = text.find(year)
        while at >= 0:
            for month_and_day, sure in _around(text, at):
                if month_and_day in wanted:
                    yield year + month_and_day, sure
            at = text.find(year, at + 1)


def _around(text: bytes, at: int) -> Iterator[tuple[bytes, bool]]:
    """Yield each MMDD that can be read around a year, and whether there can be no doubt."""
    behind = _BEHIND.match(text, at + 4)
    if behind:
        _, month, day, name, named_day = behind.groups()
        yield (_MONTHS[name] + named_day.zfill(2) if name else month + day), True
    before = _BEFORE.search(text[max(0, at - _LONGEST) : at])
    if before:
        first, _, second, run, run_on, day, month, other_month, other_day = before.groups()
        if first:
            yield first.zfill(2) + second.zfill(2), True
            yield second.zfill(2) + first.zfill(2), True
        elif run:  # eight digits in a row are usually written year first
            yield run + run_on, False
            yield run_on + run, False
        else:
            yield _MONTHS[month or other_month] + (day or other_day).zfill(2), True

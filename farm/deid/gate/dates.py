"""Dates in the output that were dates of the source, in any usual spelling.

The years of the source's dates are looked for first: where none of them stands there is no date to be found, and that
is nearly always so. Around each year that does, the spellings are tried: 20190312; 2019-03-12, 12.03.2019 and
03/12/2019 with or without leading zeros, with one of - / . : _ | and the backslash or a blank between; 12-III-2019; and
the month by its name in English, German, French, Spanish, Italian or Dutch before the day or behind it: 12 Mar 2019,
March 12th, 2019, 2019-Mar-12, 12 de marzo de 2019.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import lru_cache

# What the names of months begin with; accents are gone from the plain form of a text.
_BEGINNINGS = (
    "jan gen ene",
    "feb fev",
    "mar mae maa mrt",
    "apr avr abr",
    "may mai mag mei",
    "jun juin giu",
    "jul juil lug",
    "aug aou ago",
    "sep set",
    "oct okt ott out",
    "nov",
    "dec dez dic",
)
_NUMERALS = (b"i", b"ii", b"iii", b"iv", b"v", b"vi", b"vii", b"viii", b"ix", b"x", b"xi", b"xii")
_MONTHS = {name.encode(): b"%02d" % month for month, names in enumerate(_BEGINNINGS, 1) for name in names.split()}
_MONTH = rb"(" + b"|".join(_MONTHS) + rb")[a-z]*"
_MONTHS |= {numeral: b"%02d" % month for month, numeral in enumerate(_NUMERALS, 1)}
_NUMERAL = rb"(i{1,3}|iv|vi{0,3}|ix|xi{0,2})"
_DAY = rb"([0-9]{1,2})"
_NTH = rb"(?:st|nd|rd|th|er|o)?"
_MARK = rb"( ?[-/.:_|\\] ?| )"
_GAP = rb"[-/., _]{0,2}"
_OF = rb"(?:" + _GAP + rb"(?:day )?(?:of|de|del|di|van|den)[-/., ])?" + _GAP
_BEHIND = re.compile(
    b"|".join(
        (
            rb"([-/. ]?)([0-9]{2})\1([0-9]{2})",
            _MARK + _DAY + rb"\4" + _DAY + rb"(?![0-9]|\.[0-9])",
            _GAP + _MONTH + _GAP + _DAY + rb"(?![0-9])",
            _GAP + _DAY + _NTH + _OF + _MONTH,
            rb"(?:\xe5\xb9\xb4|\xeb\x85\x84) ?" + _DAY + rb" ?(?:\xe6\x9c\x88|\xec\x9b\x94) ?" + _DAY,  # CJK, in UTF-8
        )
    )
)
_BEFORE = re.compile(
    rb"(?:"
    + b"|".join(
        (
            _DAY + _MARK + _DAY + rb"\2",
            _DAY + _NTH + _OF + _MONTH + _OF,
            _MONTH + _GAP + _DAY + _NTH + _GAP,
            rb"(?<![0-9])" + _DAY + rb"([-/. ]{1,2})" + _NUMERAL + rb"\9",
        )
    )
    + rb")\Z"
)
_GLUED = re.compile(rb"[a-z][-/., _]{0,2}[0-9]{1,2}\Z")
_LONGEST = 40  # characters of a spelling before its year
_BEFORE_ONE = frozenset(b"-/.:_|\\, abcdefghijklmnopqrstuvwxyz0123456789")  # what may stand before a year
_BEHIND_ONE = _BEFORE_ONE | frozenset(b"\xe5\xeb")
_DIGITS = frozenset(b"0123456789")
_IN_A_NUMBER = frozenset(b"0123456789.")
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
    end = at + 4
    if end < len(text) and text[end] in _BEHIND_ONE:
        yield from _behind(text, at, end)
    if not at:
        return
    if text[at - 1] in _DIGITS:  # eight digits in a row are usually written year first
        run = text[max(0, at - 4) : at]
        if len(run) == 4 and run.isdigit():
            yield run, False
            yield run[2:] + run[:2], False
            return
        if not _GLUED.search(text[max(0, at - 5) : at]):
            return
    if text[at - 1] in _BEFORE_ONE:
        yield from _before(text, at, end)


def _behind(text: bytes, at: int, end: int) -> Iterator[tuple[bytes, bool]]:
    found = _BEHIND.match(text, end)
    if not found:
        return
    _, month, day, mark, m2, d2, name, named_day, d3, other_name, m4, d4 = found.groups()
    if month:
        yield month + day, True
    elif mark:
        sure = b"\\" not in mark
        if sure or _is_whole(text, at, end):
            yield m2.zfill(2) + d2.zfill(2), sure
    elif name or other_name:
        yield _MONTHS[name or other_name] + (named_day or d3).zfill(2), True
    else:
        yield m4.zfill(2) + d4.zfill(2), True


def _before(text: bytes, at: int, end: int) -> Iterator[tuple[bytes, bool]]:
    found = _BEFORE.search(text[max(0, at - _LONGEST) : at])
    if not found:
        return
    first, mark, second, day, month, other_month, other_day, r_day, _, numeral = found.groups()
    if first:
        sure = b"\\" not in mark
        if sure or _is_whole(text, at - len(found[0]), end):
            yield first.zfill(2) + second.zfill(2), sure
            yield second.zfill(2) + first.zfill(2), sure
    else:
        yield _MONTHS[month or other_month or numeral] + (day or other_day or r_day).zfill(2), True


def _is_whole(text: bytes, start: int, end: int) -> bool:
    """Tell whether no number goes on at either end: a date of several values is looked for among lists of numbers."""
    return not {*text[max(0, start - 1) : start], *text[end : end + 1]} & _IN_A_NUMBER

"""Laws of dates, held to arithmetic of the library's own kind: intervals are exact, and nothing is left as it was."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from farm.deid.dates import TIMEZONE, Dates, Strategy, pick_shift

SHIFT = st.integers(min_value=-20_000, max_value=20_000).filter(bool)
MOMENT = st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2100, 12, 31))  # noqa: DTZ001 - local times
OFFSET = st.integers(min_value=-12 * 60, max_value=14 * 60)
PRECISION = st.sampled_from([4, 6, 8, 10, 12, 14])
CASES = 10_000


def digits(moment: datetime) -> str:
    """Return a moment as YYYYMMDDHHMMSS and six digits of a fraction."""
    return "".join(
        character for character in moment.replace(tzinfo=None).isoformat(timespec="microseconds") if character.isdigit()
    )


def signed(minutes: int) -> str:
    """Return an offset from UTC as &ZZXX."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def read(text: str, minutes: int | None = None) -> datetime:
    """Return the moment that a date and a time, joined, tell; an offset of its own counts before the one given."""
    if text[-5:-4] in {"+", "-"} and len(text) > 13:
        text, sign, zone = text[:-5], text[-5], text[-4:]
        minutes = int(sign + "1") * (60 * int(zone[:2]) + int(zone[2:]))
    whole, _, fraction = text.partition(".")
    moment = datetime.strptime(whole.ljust(14, "0"), "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return moment + timedelta(microseconds=int(fraction.ljust(6, "0")), minutes=-(minutes or 0))


def put(dates: Dates, tag: int, vr: str, text: str) -> str:
    """Return the new value of what must have one."""
    new = dates.value(tag, vr, text.encode())
    assert new is not None
    return new.decode()


def test_ten_thousand_cases_are_exact() -> None:
    """Lost otherwise: dates, times and timezones would drift apart somewhere between midnight and a leap day."""
    draw = random.Random(15)
    start = datetime(1900, 1, 1, tzinfo=UTC)
    for _ in range(CASES):
        days = draw.choice([-1, 1]) * draw.randint(1, 20_000)
        dates = Dates(strategy=Strategy.SUBJECT, days=days)
        places, zone = draw.randint(0, 6), draw.randint(-12 * 60, 14 * 60)
        first = start + timedelta(seconds=draw.randrange(200 * 365 * 86_400), microseconds=draw.randrange(10**6))
        second = first + timedelta(microseconds=draw.randrange(48 * 3600 * 10**6))
        old = [digits(moment) for moment in (first, second)]
        fractions = ["." + text[14 : 14 + places] if places else "" for text in old]
        own = signed(zone) if draw.random() < 0.5 else ""
        stamp = old[0][:14] + fractions[0] + own
        day, time = old[1][:8], old[1][8:14] + fractions[1]
        new_stamp = put(dates, 0x00181078, "DT", stamp)
        new_day, new_time = put(dates, 0x00080022, "DA", day), put(dates, 0x00080032, "TM", time)
        new_zone = put(dates, TIMEZONE, "SH", signed(zone))
        assert new_zone == signed(zone)
        assert read(new_stamp, zone) - read(stamp, zone) == timedelta(days=days)
        assert read(new_day + new_time, zone) - read(day + time, zone) == timedelta(days=days)
        before = read(day + time, zone) - read(stamp, zone)
        assert read(new_day + new_time, zone) - read(new_stamp, zone) == before
        assert new_stamp[8:] == stamp[8:]
        assert (new_time, len(new_day)) == (time, 8)


@given(moment=MOMENT, days=SHIFT, precision=PRECISION, offset=st.none() | OFFSET)
def test_a_shifted_date_is_never_the_original(moment: datetime, days: int, precision: int, offset: int | None) -> None:
    """Lost otherwise: a date would be passed on as it is, in a form that nobody thought of."""
    dates = Dates(strategy=Strategy.CROSSWALK, days=days)
    text = digits(moment)[:precision] + ("" if offset is None else signed(offset))
    new = put(dates, 0x0008002A, "DT", text)
    assert new[: min(precision, 8)] != text[: min(precision, 8)]
    assert put(dates, 0x00080020, "DA", digits(moment)[:8]) != digits(moment)[:8]


@given(moment=MOMENT, days=SHIFT, precision=st.sampled_from([4, 6]))
def test_a_period_becomes_one_in_which_the_moved_moment_may_lie(moment: datetime, days: int, precision: int) -> None:
    """Lost otherwise: a month or a year would contradict the dates that were shifted exactly."""
    text = digits(moment)[:precision]
    new = put(Dates(strategy=Strategy.SUBJECT, days=days), 0x0008002A, "DT", text)
    day = date(int(text[:4]), int(text[4:6] or 1), 1)
    candidates = set()
    while digits(datetime.combine(day, datetime.min.time()))[:precision] == text:
        candidates.add((day + timedelta(days)).isoformat().replace("-", "")[:precision])
        day += timedelta(1)
    assert new in candidates


@given(
    one=MOMENT,
    other=MOMENT,
    precision=PRECISION,
    dates=SHIFT.map(lambda days: Dates(strategy=Strategy.FIXED, days=days))
    | st.sampled_from([Dates(strategy=Strategy.MONTH), Dates(strategy=Strategy.YEAR)]),
)
def test_order_is_kept(one: datetime, other: datetime, precision: int, dates: Dates) -> None:
    """Lost otherwise: a follow-up would come before its baseline."""
    first, second = sorted(digits(moment)[:precision] for moment in (one, other))
    assert put(dates, 0x0008002A, "DT", first) <= put(dates, 0x0008002A, "DT", second)


@given(moment=MOMENT, precision=PRECISION, strategy=st.sampled_from([Strategy.MONTH, Strategy.YEAR]))
def test_truncation_tells_the_same_in_every_vr_and_once_for_all(
    moment: datetime, precision: int, strategy: Strategy
) -> None:
    """Lost otherwise: DA and TM would contradict DT, or a second pass would change what the first one made."""
    dates = Dates(strategy=strategy)
    whole = put(dates, 0x0008002A, "DT", digits(moment)[:14])
    day, time = put(dates, 0x00080020, "DA", digits(moment)[:8]), put(dates, 0x00080030, "TM", digits(moment)[8:14])
    assert whole == day + time
    part = put(dates, 0x0008002A, "DT", digits(moment)[:precision])
    assert part == whole[:precision]
    assert put(dates, 0x0008002A, "DT", part) == part


@given(moment=MOMENT, days=SHIFT, places=st.integers(0, 6), offset=st.none() | OFFSET)
def test_a_shift_back_gives_the_original(moment: datetime, days: int, places: int, offset: int | None) -> None:
    """Lost otherwise: the registry's way back would not lead to the original date, or a new value could not be read."""
    text = digits(moment)[:14] + ("." + digits(moment)[14 : 14 + places] if places else "")
    text += "" if offset is None else signed(offset)
    there, back = (Dates(strategy=Strategy.FIXED, days=shift) for shift in (days, -days))
    assert put(back, 0x0008002A, "DT", put(there, 0x0008002A, "DT", text)) == text


@given(
    value=st.binary(max_size=30) | st.text(alphabet="0123456789.:+-\\ \0", max_size=30).map(str.encode),
    vr=st.sampled_from(["DA", "DT"]),
    days=SHIFT,
)
def test_nothing_comes_back_as_it_was(value: bytes, vr: str, days: int) -> None:
    """Lost otherwise: what cannot be read as a date would be passed on, whatever it says."""
    dates = Dates(strategy=Strategy.SUBJECT, days=days)
    new = dates.value(0x0008002A, vr, value)
    if new is None:
        return
    assert not new.strip(b"0123456789.+-\\")
    for old, part in zip(value.split(b"\\"), new.split(b"\\"), strict=True):
        assert not part or part != old.strip(b"\0 ")


@given(
    number=st.integers(0, 2**64 - 1),
    lowest=st.integers(-4000, 4000),
    highest=st.integers(-4000, 4000),
    weeks=st.booleans(),
)
def test_a_shift_is_in_its_range_and_never_nothing(*, number: int, lowest: int, highest: int, weeks: bool) -> None:
    """Lost otherwise: a subject's dates could come out as they went in."""
    assume(any(day and not (weeks and day % 7) for day in range(lowest, highest + 1)))
    shift = pick_shift(number, lowest, highest, weeks=weeks)
    assert lowest <= shift <= highest
    assert shift
    assert not (weeks and shift % 7)


@pytest.mark.parametrize("half_life", [6586.2, 4500.0, 122.24])
def test_decay_over_midnight_is_the_same(half_life: float) -> None:
    """Lost otherwise: the dose at the time of the scan, and every standardised uptake value with it, would be wrong."""
    draw = random.Random(18)
    for _ in range(200):
        dates = Dates(strategy=Strategy.WEEKS, days=7 * draw.randint(-500, -1))
        injected = datetime(2024, 2, 28, 22, tzinfo=UTC) + timedelta(microseconds=draw.randrange(86_400 * 10**6))
        scanned = injected + timedelta(microseconds=draw.randrange(4 * 3600 * 10**6))
        old = [text[:14] + "." + text[14:] for text in (digits(injected), digits(scanned))]
        start = put(dates, 0x00181078, "DT", old[0])
        series = put(dates, 0x00080021, "DA", old[1][:8]) + put(dates, 0x00080031, "TM", old[1][8:])
        factor = 2 ** (-(read(series) - read(start)).total_seconds() / half_life)
        assert factor == 2 ** (-(scanned - injected).total_seconds() / half_life)

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadRecipe, Reason
from scheduler.harvest.windows import Windows

BERLIN = ZoneInfo("Europe/Berlin")
HOUSE = ["Mon-Fri 19:00-06:00", "Sat,Sun 00:00-24:00"]
DAYS = ["", "Mon ", "Sat,Sun ", "Fri-Mon ", "Wed-Wed,Sun "]


def at(text: str) -> datetime:
    """Return a time of Berlin's clocks; `+` behind it: the second of two."""
    wall = datetime.fromisoformat(text.rstrip("+"))
    return wall.replace(tzinfo=BERLIN, fold=text.endswith("+"))


@pytest.mark.parametrize(
    ("when", "is_open"),
    [
        ("2026-06-01T05:59:59", False),  # a Monday: Sunday's window ended at midnight
        ("2026-06-01T18:59:59", False),
        ("2026-06-01T19:00:00", True),
        ("2026-06-02T05:59:59", True),
        ("2026-06-02T06:00:00", False),
        ("2026-06-06T05:00:00", True),
        ("2026-06-06T12:00:00", True),
        ("2026-06-07T23:59:59", True),
        ("2026-06-08T00:00:00", False),
    ],
)
def test_a_week_of_nights_and_weekends(when: str, *, is_open: bool) -> None:
    """Lost otherwise: a PACS would be harvested while the clinic works."""
    assert Windows.parse(HOUSE, BERLIN).open_at(at(when)) is is_open
    assert Windows.parse(HOUSE, BERLIN).open_at(at(when).astimezone(UTC)) is is_open


def test_a_window_over_the_end_of_the_week() -> None:
    """Lost otherwise: Sunday night's window would end at midnight, or never."""
    windows = Windows.parse(["Sun 22:00-06:00"], BERLIN)
    assert windows.open_at(at("2026-06-01T05:59:00"))
    assert not windows.open_at(at("2026-06-01T06:00:00"))
    assert windows.next_change(at("2026-06-01T05:00:00")) == at("2026-06-01T06:00:00")
    assert windows.next_change(at("2026-06-01T06:00:00")) == at("2026-06-07T22:00:00")


def test_no_window_is_always() -> None:
    """Lost otherwise: a PACS without windows would never be harvested."""
    for texts in ([], ["00:00-24:00"]):
        windows = Windows.parse(texts, BERLIN)
        assert windows.open_at(at("2026-06-01T12:00:00"))
        assert windows.next_change(at("2026-06-01T12:00:00")) is None


@pytest.mark.parametrize(
    ("window", "changes"),
    [
        # 2026-03-29 02:00 becomes 03:00: what would begin in the hour that never comes begins at 03:00.
        ("Sun 02:15-05:00", ["2026-03-29T03:00:00", "2026-03-29T05:00:00", "2026-04-05T02:15:00"]),
        ("Sun 02:15-02:45", ["2026-04-05T02:15:00", "2026-04-05T02:45:00"]),
        ("Sat 23:00-02:30", ["2026-03-28T23:00:00", "2026-03-29T03:00:00"]),
    ],
)
def test_an_hour_that_never_comes(window: str, changes: list[str]) -> None:
    """Lost otherwise: once a year the farm would sleep through a night, or work into the morning."""
    _check_changes(window, "2026-03-28T12:00:00", changes)


@pytest.mark.parametrize(
    ("window", "changes"),
    [
        # 2026-10-25 03:00 becomes 02:00: the hour comes twice.
        ("Sun 01:00-02:30", ["T01:00:00", "T02:30:00", "T02:00:00+", "T02:30:00+"]),
        ("Sun 02:15-02:45", ["T02:15:00", "T02:45:00", "T02:15:00+", "T02:45:00+"]),
        ("Sun 02:30-04:00", ["T02:30:00", "T02:00:00+", "T02:30:00+", "T04:00:00"]),
    ],
)
def test_an_hour_that_comes_twice(window: str, changes: list[str]) -> None:
    """Lost otherwise: once a year the farm would ask outside its window, or wait an hour for one that is open."""
    _check_changes(window, "2026-10-24T12:00:00", [f"2026-10-25{change}" for change in changes])


def _check_changes(window: str, when: str, changes: list[str]) -> None:
    windows = Windows.parse([window], BERLIN)
    told: datetime | None = at(when)
    for change in changes:
        assert told
        told = windows.next_change(told)
        assert told == at(change).astimezone(UTC)


@given(
    texts=st.lists(
        st.builds(
            "{}{:02d}:{:02d}-{:02d}:{:02d}".format,
            st.sampled_from(DAYS),
            st.integers(0, 11),
            st.sampled_from([0, 30]),
            st.integers(12, 23),
            st.sampled_from([0, 30, 59]),
        ),
        max_size=3,
    ),
    start=st.datetimes(datetime(2026, 3, 20), datetime(2026, 11, 5)),  # noqa: DTZ001 - given its zone below
)
def test_the_next_change_is_the_first(texts: list[str], start: datetime) -> None:
    """Lost otherwise: whoever sleeps until the next change would sleep through a window, or wake for nothing."""
    windows = Windows.parse(texts, BERLIN)
    when = start.replace(tzinfo=UTC)
    change = windows.next_change(when)
    until = change or when + timedelta(days=7)
    step = max((until - when) / 50, timedelta(seconds=1))
    while when < until:
        assert windows.open_at(when) == windows.open_at(start.replace(tzinfo=UTC))
        when += step
    if change:
        assert windows.open_at(change) != windows.open_at(change - timedelta(seconds=1))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Mon",
        "19:00",
        "Mon 19-06",
        "Mon 24:00-06:00",
        "Mon 06:00-24:01",
        "Mon 06:60-07:00",
        "Mon 06:00-06:00",
        "Mun 06:00-07:00",
        "Mon-Tue-Wed 06:00-07:00",
        ",Mon 06:00-07:00",
        "Mon 06:00-07:00 x",
    ],
)
def test_a_window_that_cannot_be_read(text: str) -> None:
    """Lost otherwise: a misspelt window would be no window, and so be always open."""
    with pytest.raises(BadRecipe) as caught:
        Windows.parse([text], UTC)
    assert caught.value.reason is Reason.BAD_OPTION

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.harvest.ranges import MINUTES, DateRange
from scheduler.harvest.split import Splitter, looks_like_a_limit

TODAY = date(2026, 6, 1)
DAYS = st.one_of(
    st.dates(date(2019, 12, 25), date(2020, 1, 10)), st.sampled_from([date(1900, 1, 1), TODAY, date(2100, 1, 1)])
)


@dataclass(frozen=True)
class Study:
    """A study that a PACS has."""

    uid: str
    day: date | None
    minute: int | None


@dataclass(frozen=True)
class Pacs:
    """A PACS that gives at most `cap` matches, and says so, or does not."""

    studies: list[Study]
    cap: int
    says_so: bool = True

    def find(self, asked: DateRange) -> tuple[list[str], bool]:
        """Return UIDs, and whether the status said that there are more."""
        uids = [study.uid for study in self.studies if self._matches(study, asked)]
        return uids[: self.cap], self.says_so and len(uids) > self.cap

    @staticmethod
    def _matches(study: Study, asked: DateRange) -> bool:
        in_days = not asked.study_date() or (
            study.day is not None and (asked.first or date.min) <= study.day <= (asked.last or date.max)
        )
        return in_days and (
            not asked.study_time() or (study.minute is not None and asked.start <= study.minute <= asked.end)
        )


def ask(pacs: Pacs, splitter: Splitter) -> list[DateRange]:
    """Let a splitter ask until it is done; return what it asked."""
    asked = []
    while (one := splitter.next()) is not None:
        asked.append(one)
        matches, capped = pacs.find(one)
        splitter.answered(one, matches, capped=capped)
    return asked


def studies(moments: list[tuple[date, int]]) -> list[Study]:
    """Return a study for each moment."""
    return [Study(str(number), day, minute) for number, (day, minute) in enumerate(moments)]


MOMENTS = st.lists(st.tuples(DAYS, st.integers(0, MINUTES - 1) | st.sampled_from([0, 720, 1439])), max_size=60)


@given(
    moments=MOMENTS,
    cap=st.integers(1, 20),
    first=st.none() | DAYS,
    last=st.none() | DAYS,
    says_so=st.booleans(),
)
def test_whatever_the_cap_every_study_is_found(
    *, moments: list[tuple[date, int]], cap: int, first: date | None, last: date | None, says_so: bool
) -> None:
    """Lost otherwise: a PACS that caps its answers would hide studies, and the harvest call itself complete."""
    if first and last and first > last:
        first, last = last, first
    pacs = Pacs(studies(moments), cap, says_so)
    splitter = Splitter(first, last, TODAY, find_limit=0 if says_so else cap)
    ask(pacs, splitter)
    whole, _ = Pacs(pacs.studies, 1000).find(DateRange(first=first, last=last))
    crowded = Counter((study.day, study.minute) for study in pacs.studies if study.uid in whole)
    if max(crowded.values(), default=0) < cap + says_so:
        assert splitter.verified
    if splitter.verified:
        assert sorted(splitter.found) == sorted(whole)
    assert set(splitter.found) <= set(whole)
    assert len(splitter.found) == len(set(splitter.found))


@given(st.lists(st.integers(0, 30), min_size=150, max_size=300))
def test_a_silent_cap_is_known_by_its_round_number(days: list[int]) -> None:
    """Lost otherwise: a PACS that ends with success after 100 matches would be believed."""
    moments = [(date(2020, 1, 1) + timedelta(days=day), at % MINUTES) for at, day in enumerate(days)]
    splitter = Splitter(None, None, TODAY)
    ask(Pacs(studies(moments), 100, says_so=False), splitter)
    assert len(splitter.found) == len(days)
    assert splitter.verified


@given(st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=100, max_size=300))
def test_a_cap_on_what_is_not_meant_is_one(days: list[tuple[int, bool]]) -> None:
    """Lost otherwise: a PACS that passes over a key fills its answers with others, and hides what is meant."""
    moments = [(date(2020, 1, 1) + timedelta(days=day), at % MINUTES) for at, (day, _) in enumerate(days)]
    meant = {str(at) for at, (_, is_meant) in enumerate(days) if is_meant}
    pacs = Pacs(studies(moments), 100, says_so=False)
    splitter = Splitter(None, None, TODAY)
    while (one := splitter.next()) is not None:
        matches, _ = pacs.find(one)
        splitter.answered(one, [uid for uid in matches if uid in meant], capped=False, count=len(matches))
    assert set(splitter.found) == meant
    assert splitter.verified


def test_an_answer_that_is_whole_costs_one_query() -> None:
    """Lost otherwise: every harvest would ask each PACS thousands of questions for nothing."""
    splitter = Splitter(None, date(2020, 1, 1), TODAY)
    assert len(ask(Pacs(studies([(date(2020, 1, 1), 5)] * 99), 500), splitter)) == 1
    assert splitter.verified


def test_a_round_number_by_chance_is_cleared() -> None:
    """Lost otherwise: exactly 200 studies would be called unverified for ever."""
    moments = [(date(2020, 1, 1) + timedelta(days=at % 31), at) for at in range(200)]
    splitter = Splitter(date(2020, 1, 1), date(2020, 1, 31), TODAY)
    assert len(ask(Pacs(studies(moments), 10_000), splitter)) <= 7
    assert splitter.verified


def test_one_minute_that_is_capped_is_told() -> None:
    """Lost otherwise: what hides behind a cap that cannot be split would be called found."""
    day = date(2020, 1, 1)
    splitter = Splitter(day, day, TODAY)
    ask(Pacs(studies([(day, 61)] * 5), 4), splitter)
    assert splitter.unsplittable == [DateRange(first=day, last=day, start=61, end=61)]
    assert not splitter.verified
    assert len(splitter.found) == 4


@pytest.mark.parametrize("hidden", [Study("x", None, 0), Study("x", date(2020, 1, 1), None)])
def test_a_study_without_date_or_time_is_found_and_told(hidden: Study) -> None:
    """Lost otherwise: a study that no range matches would be dropped once its day is split."""
    day = date(2020, 1, 1)
    pacs = Pacs([hidden, *studies([(day, minute) for minute in range(9)])], 4)
    splitter = Splitter(None, None, TODAY)
    ask(pacs, splitter)
    assert "x" in splitter.found
    assert not splitter.verified


def test_a_pacs_that_caps_everything_is_asked_so_often_and_no_more() -> None:
    """Lost otherwise: a PACS in trouble would get a query for every minute since 1990."""
    splitter = Splitter(None, None, TODAY, most_queries=50)
    count = 0
    while (one := splitter.next()) is not None:
        splitter.answered(one, [], capped=True)
        count += 1
    assert count <= 50
    assert splitter.unsplittable


def test_only_what_was_asked_is_answered() -> None:
    """Lost otherwise: an answer that comes late would stand for another range."""
    splitter = Splitter(None, None, TODAY)
    with pytest.raises(ValueError, match="not to be asked"):
        splitter.answered(DateRange(first=TODAY, last=TODAY), [], capped=False)


def test_before_all_is_answered_nothing_is_verified() -> None:
    """Lost otherwise: a list that was cut off in the middle would pass for whole."""
    assert not Splitter(None, None, TODAY).verified


def test_numbers_that_people_set_limits_to() -> None:
    """Lost otherwise: a silent cap at a usual number would be believed."""
    assert all(map(looks_like_a_limit, (100, 150, 200, 250, 256, 500, 512, 1000, 1024, 1500, 2000, 5000, 10_000)))
    assert not any(map(looks_like_a_limit, (0, 1, 10, 50, 64, 99, 101, 199, 501, 999, 1001, 1234)))


@given(first=st.none() | st.dates(), last=st.none() | st.dates(), today=st.dates())
def test_halves_share_nothing_and_leave_nothing_out(first: date | None, last: date | None, today: date) -> None:
    """Lost otherwise: a day between two halves would never be asked for."""
    if first and last and first > last:
        first, last = last, first
    asked = DateRange(first=first, last=last)
    while not asked.is_day:
        halves = asked.halves(today)
        assert halves is not None
        left, right = halves
        assert (left.first, right.last) == (asked.first, asked.last)
        assert left.last is not None
        assert right.first == left.last + timedelta(days=1)
        assert (left.first or date.min) <= left.last
        assert right.first <= (right.last or date.max)
        asked = left if (left.last.toordinal() + today.toordinal()) % 2 else right


def test_ranges_as_values() -> None:
    """Lost otherwise: a PACS would read another range than was meant (PS3.4 section C.2.2.2.5)."""
    day, other = date(2020, 1, 2), date(2021, 12, 31)
    ranges = [(None, None), (day, None), (None, day), (day, day), (day, other)]
    assert [DateRange(first=first, last=last).study_date() for first, last in ranges] == [
        "",
        "20200102-",
        "-20200102",
        "20200102",
        "20200102-20211231",
    ]
    assert DateRange(first=date(800, 1, 2), last=other).study_date() == "08000102-20211231"
    assert DateRange(first=day, last=day).study_time() == ""
    assert DateRange(first=day, last=day, start=0, end=719).study_time() == "00-115959.999999"
    assert DateRange(first=day, last=day, start=750, end=750).study_time() == "1230-123059.999999"


@given(
    minute=st.integers(0, MINUTES - 1), second=st.integers(0, 59), is_short=st.booleans(), has_fraction=st.booleans()
)
def test_every_time_is_in_one_half_even_as_text(
    *, minute: int, second: int, is_short: bool, has_fraction: bool
) -> None:
    """Lost otherwise: a PACS that compares times as text would match some studies in neither half."""
    hour, rest = divmod(minute, 60)
    text = f"{hour:02d}{rest:02d}" + ("" if is_short else f"{second:02d}" + (".999999" if has_fraction else ""))
    text = text[:2] if is_short and rest == 0 else text
    day = date(2020, 1, 2)
    asked: DateRange | None = DateRange(first=day, last=day)
    while asked and (halves := asked.halves(TODAY)):
        inside = [half for half in halves if _is_between(text, half.study_time())]
        assert len(inside) == 1
        [asked] = inside


def _is_between(text: str, asked: str) -> bool:
    begin, end = asked.split("-")
    return begin <= text <= end

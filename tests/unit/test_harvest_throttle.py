from __future__ import annotations

import heapq
import math
from datetime import UTC, datetime, timedelta
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.harvest.throttle import Admission, TokenBucket
from scheduler.harvest.windows import Windows

MONDAY = datetime(2026, 3, 23, tzinfo=UTC)  # the clocks are put forward at the end of this week
BERLIN = ZoneInfo("Europe/Berlin")
ALWAYS = Windows.parse([], UTC)
HOUSES = [[], ["Mon-Fri 19:00-06:00", "Sat,Sun 00:00-24:00"], ["12:00-13:00"], ["Sun 01:30-03:30"]]


def admission(**changes: object) -> Admission:
    """Return an admission without limits but one association."""
    facts: dict[str, object] = {"associations": 1, "windows": ALWAYS}
    return Admission(**facts | changes)  # type: ignore[arg-type]


def after(seconds: float) -> datetime:
    """Return a time."""
    return MONDAY + timedelta(seconds=seconds)


@given(
    rate=st.floats(0.1, 100),
    burst=st.integers(1, 50),
    asks=st.lists(st.tuples(st.floats(0, 10), st.integers(1, 50)), max_size=80),
)
def test_what_is_reserved_is_given_in_turn_and_at_the_rate(
    rate: float, burst: int, asks: list[tuple[float, int]]
) -> None:
    """Lost otherwise: a large part would wait for as long as small ones come, or the PACS be asked for too much."""
    bucket, now = TokenBucket(rate, burst), 0.0
    given: list[tuple[float, int]] = []
    for pause, count in asks:
        now += pause
        due = now + bucket.reserve(min(count, burst), now)
        assert not given or due >= given[-1][0] - 1e-6
        given.append((due, min(count, burst)))
    for first in range(len(given)):
        total = 0
        for at, count in given[first:]:
            total += count
            assert total <= rate * (at - given[first][0]) + burst + 1e-3


def test_what_is_put_back_is_given_to_the_next() -> None:
    """Lost otherwise: each study that a closing window keeps waiting would slow down those of the next night."""
    bucket = TokenBucket(1, 10)
    assert bucket.reserve(10, 0.0) == 0
    assert bucket.reserve(10, 0.0) == 10
    bucket.put_back(10)
    assert bucket.reserve(1, 0.0) == 1
    bucket.put_back(100)
    assert bucket.reserve(10, 0.0) == 0
    assert bucket.reserve(1, 0.0) == 1
    assert TokenBucket(0, 1).reserve(1000, 0.0) == 0


def test_a_study_above_the_burst_is_owed() -> None:
    """Lost otherwise: a large study would wait for ever, or not count."""
    bucket = TokenBucket(1, 10)
    assert bucket.reserve(100, 0.0) == 90.0
    assert bucket.reserve(1, 0.0) == 91.0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    """Lost otherwise: each correction of the clock would fill the bucket."""
    bucket = TokenBucket(1, 1)
    assert bucket.reserve(1, 100.0) == 0
    assert bucket.reserve(1, 50.0) == 1
    assert bucket.reserve(1, 100.5) == 1.5


def test_no_rate_is_no_limit() -> None:
    """Lost otherwise: a PACS without a rate would never be asked."""
    bucket = TokenBucket(0, 1)
    assert [bucket.reserve(1000, 0.0) for _ in range(5)] == [0] * 5


def test_half_of_the_time_is_rest() -> None:
    """Lost otherwise: a PACS that may be kept busy half of the time would be kept busy all of it."""
    limits = admission(utilisation=0.25)
    assert limits.start(after(0))
    assert limits.wait(after(5)) == math.inf
    limits.ended(after(0), after(10))
    assert limits.wait(after(10)) == pytest.approx(30)
    assert not limits.start(after(39))
    assert limits.start(after(40))


def test_a_closed_window_says_when_it_opens() -> None:
    """Lost otherwise: the harvester would look again and again all day."""
    limits = admission(windows=Windows.parse(["Mon 19:00-20:00"], UTC))
    assert limits.wait(after(0)) == 19 * 3600
    assert limits.start(after(19 * 3600))


@pytest.mark.parametrize("wrong", [{"associations": 0}, {"utilisation": 0.0}, {"utilisation": 1.5}])
def test_limits_that_would_let_nothing_through(wrong: dict[str, object]) -> None:
    """Lost otherwise: a harvest would wait for ever, or divide by zero."""
    with pytest.raises(ValueError, match="association"):
        admission(**wrong)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("house", HOUSES)
def test_a_simulated_week(seed: int, house: list[str]) -> None:
    """Lost otherwise: somewhere in a week of windows and rests a limit would be broken, or all stand still."""
    random = Random(seed)
    cap, share = random.randint(1, 4), random.choice([1.0, 0.5, 0.1])
    windows = Windows.parse(house, BERLIN)
    limits = Admission(associations=cap, windows=windows, utilisation=share)
    running: list[tuple[datetime, datetime]] = []
    starts, busy = 0, 0.0
    now, end = MONDAY, MONDAY + timedelta(days=7)
    while now < end:
        while running and running[0][0] <= now:
            ended, began = heapq.heappop(running)
            limits.ended(began, now)
            busy += (ended - began).total_seconds()
        told = limits.wait(now)
        if limits.start(now):
            assert told == 0
            assert windows.open_at(now)
            heapq.heappush(running, (now + timedelta(seconds=random.expovariate(1 / 600)), now))
            starts += 1
        else:
            assert told > 0
        assert len(running) <= cap
        pause = min(told, random.expovariate(1 / 120)) if told else random.expovariate(1 / 30)
        now += timedelta(seconds=pause + 0.001)
        if running:
            now = min(now, max(running[0][0], now - timedelta(seconds=pause)))
    assert starts
    assert busy <= cap * share * 7 * 86_400 + cap * 3600 * 2

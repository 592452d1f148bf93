"""A week in which a PACS may be asked at night and on Saturday, lived through in seconds with the real harvester."""

from __future__ import annotations

import asyncio
import random
import threading
from concurrent.futures import Future
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from fix_harvest import Harvests, harvests
from fix_pacs import Study
from fix_scripted import Scripted

from scheduler.harvest.pace import Clock

__all__ = ["harvests"]
pytestmark = pytest.mark.servers
BERLIN = ZoneInfo("Europe/Berlin")
MONDAY = datetime(2026, 3, 23, tzinfo=BERLIN)
"""In the week that follows the clocks are put forward."""
WINDOWS = ["Mon-Fri 19:00-06:00", "Sat 00:00-24:00"]
STUDIES = [Study(number=number, sizes=(2,)) for number in range(1, 121)]
RATE, BURST = 0.001, 6.0
ASSOCIATIONS = 2


class Week:
    """A clock that goes on to what is waited for next, once every worker waits for the clock or for the PACS."""

    def __init__(self, start: datetime, workers: int, days: float) -> None:
        self._lock = threading.Lock()
        self._now, self._end = start.astimezone(UTC), start + timedelta(days=days)
        self._workers = workers
        self._waiting: list[tuple[datetime, int, Future[None]]] = []
        self.over = threading.Event()

    def now(self) -> datetime:
        """Return the time."""
        return self._now

    async def pause(self, seconds: float) -> None:
        """Wait, as a worker does."""
        await asyncio.wrap_future(self._wait(seconds))

    def hold(self, seconds: float) -> None:
        """Wait, as the PACS does that a worker waits for."""
        self._wait(seconds).result()

    def _wait(self, seconds: float) -> Future[None]:
        future: Future[None] = Future()
        with self._lock:
            at = self._now + timedelta(seconds=seconds)
            self._waiting.append((at, len(self._waiting), future))
            if len(self._waiting) < self._workers:
                return future
            self._waiting.sort(key=lambda one: one[:2])
            self._now, _, woken = self._waiting.pop(0)
            if self._now > self._end:
                self.over.set()
        if not self.over.is_set():
            woken.set_result(None)
        return future

    def release(self) -> None:
        """Let go of all that wait."""
        with self._lock:
            for _, _, future in self._waiting:
                with suppress(Exception):
                    future.set_result(None)


def is_open(when: datetime) -> bool:
    """Tell by other means whether a time is within the windows."""
    wall = when.astimezone(BERLIN)
    day, hour = wall.weekday(), wall.hour
    return (day < 5 and hour >= 19) or (day in {1, 2, 3, 4, 5} and hour < 6) or day == 5


def test_a_week_of_windows_keeps_to_every_limit(harvests: Harvests) -> None:
    """If it fails, a PACS is asked while patients are in the scanner, or by more associations than it can bear."""
    week, rng = Week(MONDAY, ASSOCIATIONS, 7), random.Random(7)
    opened: list[datetime] = []
    begun: list[tuple[datetime, int]] = []

    def retrieval(_: object) -> None:
        begun.append((week.now(), 2))
        week.hold(rng.uniform(1800, 12_000))

    pacs = Scripted(studies=STUDIES, on_open=lambda: opened.append(week.now()), before_retrieval=retrieval)
    facts = {"windows": WINDOWS, "timezone": "Europe/Berlin", "rate": RATE, "burst": BURST, "utilisation": 0.6}
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", associations=ASSOCIATIONS, timeout_s=60.0, **facts)
        clock = Clock(now=week.now, pause=week.pause, longest=7200.0)
        said = harvests(
            described, [f"{one.number},{one.uid}," for one in STUDIES], clock=clock, until=week.over, after=week.release
        )
    assert not said.complete
    assert 20 < len(begun) < len(STUDIES)
    assert pacs.most_open <= ASSOCIATIONS
    assert [one for one in opened if not is_open(one)] == []
    assert [one for one, _ in begun if not is_open(one)] == []
    assert {one.astimezone(BERLIN).weekday() for one, _ in begun} >= {0, 1, 2, 3, 4, 5}
    for at, (first, _) in enumerate(begun):
        for upto in range(at, len(begun)):
            seconds = (begun[upto][0] - first).total_seconds()
            assert sum(count for _, count in begun[at : upto + 1]) <= RATE * seconds + BURST + 1e-6

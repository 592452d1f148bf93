"""What the harvester asks of a PACS for its rows: what it believes, when it may ask, and how often it asks again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fix_harvest import Harvests, harvests
from fix_pacs import Study, write_list
from fix_scripted import Answer, Scripted
from pydicom.dataset import Dataset

from farm.recipe.recipe import preset
from scheduler.campaign import open_run
from scheduler.harvest.pace import Clock
from scheduler.harvest.peers import Pacs
from scheduler.harvest.service import HarvestOrder, _opened
from scheduler.ingest.service import spool_of

__all__ = ["harvests"]
pytestmark = pytest.mark.servers
ONE = Study(number=1, accession="A1", patient="P1", sizes=(3, 2))
DATES = "row_id,patient_id,from,to"
NIGHT = datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
MANY = [Study(number=100 + at, patient="P1", date=f"202001{at + 1:02d}", sizes=(1,)) for at in range(16)]
SPLIT = {"find_limit": 4}
YEAR = ["1,P1,20200101,20201231"]


@dataclass(kw_only=True)
class Odd(Scripted):
    """A PACS that ends with success after `cap` answers, passes over keys, and fails as it is told."""

    cap: int = 1 << 30
    passes_over: tuple[str, ...] = ()
    fails: Callable[[int], int | None] = lambda _: None
    """The status of a query by its number, from 1; None: it is answered, 0: the association is aborted."""
    on_query: Callable[[int], object] = lambda _: None
    queries: list[Dataset] = field(default_factory=list)

    def _find(self, event: Any) -> Answer:
        self.queries.append(event.identifier)
        number = len(self.queries)
        status = self.fails(number)
        if status is not None:
            if not status:
                event.assoc.abort()
                return
            yield status, None
            return
        for _, one in zip(range(self.cap), super()._find(event), strict=False):
            yield one
        self.on_query(number)

    def _matching(self, asked: Dataset) -> list[Study]:
        kept = Dataset()
        kept.update({one.tag: one for one in asked if one.keyword not in self.passes_over})
        return super()._matching(kept)

    def at(self, level: str) -> list[Dataset]:
        """Return the queries at a level."""
        return [one for one in self.queries if one.QueryRetrieveLevel == level]


@pytest.mark.parametrize("sizes", [(120,), (1,) * 120])
def test_a_cap_that_nobody_tells_of_is_not_believed(harvests: Harvests, sizes: tuple[int, ...]) -> None:
    """If it fails, a study of which the PACS hides the end is called complete without it."""
    big = Study(number=7, sizes=sizes, side=2)
    with Odd(studies=[big], counts=False, cap=100).running() as pacs:
        pacs.hides = set(big.instances[100:])
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), [f"1,{big.uid},"])
    assert said.verdicts() == {"1": "unverified"}
    assert said.arrivals == 100


@pytest.mark.parametrize(("sizes", "counts"), [((100,), True), ((50, 100), False)])
def test_a_round_number_that_is_no_cap_is_believed(harvests: Harvests, sizes: tuple[int, ...], *, counts: bool) -> None:
    """If it fails, a study of 100 instances, or a series of 100, are unverified for ever."""
    big = Study(number=8, sizes=sizes, side=2)
    with Odd(studies=[big], counts=counts).running() as pacs:
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), [f"1,{big.uid},"])
    assert said.verdicts() == {"1": "complete"}


def test_what_comes_and_is_not_listed_disproves_the_list(harvests: Harvests) -> None:
    """If it fails, a list of 7 makes a study of 9 complete, though more than that was sent."""
    nine = Study(number=9, sizes=(9,))
    with Odd(studies=[nine], counts=False, cap=7).running() as pacs:
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), [f"1,{nine.uid},"])
    assert said.verdicts() == {"1": "unverified"}
    assert said.arrivals == 9


def test_a_cap_on_answers_that_are_not_meant_is_seen(harvests: Harvests) -> None:
    """If it fails, a PACS that passes over Patient ID fills its answer with others, and the patient's are lost."""
    others = [Study(number=100 + at, patient="X", date="20190101", sizes=(1,), side=2) for at in range(98)]
    mine = [Study(number=300 + at, patient="P1", date=f"2020010{at + 1}", sizes=(1,), side=2) for at in range(5)]
    with Odd(studies=others + mine, cap=100, passes_over=("PatientID",)).running() as pacs:
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), ["1,P1,20180101,20220101"], header=DATES)
    assert said.verdicts() == {"1": "complete"}
    assert said.arrivals == 5


def test_a_study_behind_answers_that_are_not_meant_is_not_said_to_be_unknown(harvests: Harvests) -> None:
    """If it fails, a PACS that passes over accession numbers and caps has what it hides called not found."""
    others = [Study(number=100 + at, accession=f"X{at}", sizes=(1,), side=2) for at in range(100)]
    with Odd(studies=[*others, ONE], cap=100, passes_over=("AccessionNumber",)).running() as pacs:
        said = harvests(harvests.pacs(pacs.port, retrieve="get"), ["1,,A1", "2,,X5", f"3,{ONE.uid},"])
    assert said.verdicts() == {"1": "unverified", "2": "unverified", "3": "complete"}
    assert said.arrivals == 6


@dataclass
class Hours:
    """A clock that a test sets; pauses end at once, and are told of."""

    at: datetime = NIGHT
    on_pause: Callable[[], object] = lambda: None

    def clock(self) -> Clock:
        """Return the clock."""
        return Clock(now=lambda: self.at, pause=self.pause)

    async def pause(self, seconds: float) -> None:
        """Pause for less."""
        del seconds
        self.on_pause()
        await asyncio.sleep(0.01)


@pytest.fixture
def undisturbed(harvests: Harvests) -> list[str]:
    """Return the ranges that are asked for at STUDY level where nothing comes between."""
    pacs = Odd(studies=MANY)
    with pacs.running():
        other = replace(harvests, folder=_folder(harvests, "undisturbed"))
        said = other(other.pacs(pacs.port, retrieve="get", **SPLIT), YEAR, header=DATES)
    assert said.verdicts() == {"1": "complete"}
    return asked(pacs)


def asked(pacs: Odd) -> list[str]:
    """Return the ranges of dates that were asked for."""
    return [f"{one.StudyDate} {one.StudyTime}" for one in pacs.at("STUDY") if one.get("PatientID")]


def _folder(harvests: Harvests, name: str) -> Path:
    folder = harvests.folder.parent / name
    folder.mkdir()
    return folder


def test_a_window_that_closes_ends_the_questions_of_one_row(harvests: Harvests, undisturbed: list[str]) -> None:
    """If it fails, a row of many dates goes on by day for hours, or begins anew every night and never ends."""
    hours = Hours()
    closed: list[int] = []

    def reopen() -> None:
        if hours.at.hour == 12:
            closed.append(len(pacs.queries))
            if len(closed) > 20:
                hours.at += timedelta(hours=13)

    def close(number: int) -> None:
        if number in {2, 5}:
            closed.clear()
            hours.at += timedelta(hours=11)

    pacs = Odd(studies=MANY, on_query=close)
    hours.on_pause = reopen
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", windows=["Mon-Sun 00:00-06:00"], associations=1, **SPLIT)
        said = harvests(described, YEAR, header=DATES, clock=hours.clock())
    assert set(closed) == {5}
    assert said.verdicts() == {"1": "complete"}
    assert asked(pacs) == undisturbed


def test_a_pause_ends_the_questions_of_one_row(harvests: Harvests, undisturbed: list[str]) -> None:
    """If it fails, `farm harvest pause` lets thousands of queries go on."""
    hours, paused = Hours(), threading.Event()
    seen: list[int] = []

    def act(verb: str) -> None:
        with closing(harvests.desk.session()) as session:
            [one, *_] = session.call(lambda tables: tables.harvests.harvests())
            session.call(lambda tables: getattr(tables.harvests, verb)(one.id))

    def pause(number: int) -> None:
        if number == 3:
            act("pause")
            paused.set()

    def resume() -> None:
        if paused.is_set():
            seen.append(len(pacs.queries))
            if len(seen) == 5:
                paused.clear()
                act("resume")

    pacs = Odd(studies=MANY, on_query=pause)
    hours.on_pause = resume
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", associations=1, **SPLIT)
        said = harvests(described, YEAR, header=DATES, clock=hours.clock())
    assert set(seen) == {3}
    assert said.verdicts() == {"1": "complete"}
    assert asked(pacs) == undisturbed


def test_an_urgent_list_does_not_wait_for_the_one_that_is_on(harvests: Harvests) -> None:
    """If it fails, a list of priority 10 that is given in the middle of another one is fetched months later."""
    slow = [Study(number=500 + at, sizes=(1,)) for at in range(4)]
    urgent = Study(number=600, sizes=(1,))
    order: list[str] = []
    pacs = Scripted(studies=[*slow, urgent])

    def give(described: Pacs) -> None:
        """Bring an urgent list into the ledger, as another process does that waits for the PACS then."""
        folder = _folder(harvests, "urgent")
        wanted = write_list(folder / "list.csv", [f"1,{urgent.uid},"])
        facts = {"pacs": described, "destination": folder / "out", "recipe": preset("basic")}
        desk, given = harvests.desk, HarvestOrder(list=wanted, priority=10, **facts)  # type: ignore[arg-type]
        run = open_run(desk, spool_of(desk.settings, folder / "out", given.recipe), folder / "out", given.recipe)
        with closing(desk.session()) as session:
            _opened(desk, session, run, given)

    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", associations=1)

        def note(asked: Dataset) -> None:
            order.append(asked.StudyInstanceUID)
            if len(order) == 1:
                give(described)

        pacs.before_retrieval = note
        said = harvests(described, [f"{at},{one.uid}," for at, one in enumerate(slow)])
    assert said.complete
    assert order == [slow[0].uid, urgent.uid, *(one.uid for one in slow[1:])]
    assert harvests.arrived(urgent.instances) == set(urgent.instances)


@pytest.mark.parametrize("status", [0xA700, 0xC001, 0])
def test_a_row_that_the_pacs_did_not_answer_is_asked_again(harvests: Harvests, status: int) -> None:
    """If it fails, a PACS that is in trouble for a second turns rows into refusals."""
    two = Study(number=2)
    pacs = Odd(studies=[ONE, two], fails=lambda number: status if number <= 2 else None)
    with pacs.running():
        said = harvests(harvests.pacs(pacs.port, retrieve="get", attempts=2), ["1,,A1", f"2,{two.uid},", "3,1.2.3,"])
    assert said.verdicts() == {"1": "complete", "2": "complete", "3": "not-found"}


@pytest.mark.parametrize(("status", "reason"), [(0xA700, ""), (0, "peer-aborted")])
def test_a_row_that_is_refused_for_good_is_asked_so_often(harvests: Harvests, status: int, reason: str) -> None:
    """If it fails, a PACS that does not want to is asked for ever, or once."""
    pacs = Odd(studies=[ONE], fails=lambda _: status)
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", attempts=3, backoff_s=0.01)
        said = harvests(described, [*YEAR], header=DATES)
    assert said.verdicts() == {"1": "refused"}
    assert said.rows["1"].reason == reason
    assert len(pacs.queries) == 3


@pytest.mark.parametrize("status", [0xC001, 0])
def test_a_row_that_got_on_before_it_failed_goes_on(harvests: Harvests, undisturbed: list[str], status: int) -> None:
    """If it fails, a row of a thousand queries is given up, or begun anew, for one that fails."""
    pacs = Odd(studies=MANY, fails=lambda number: status if number in {3, 6} else None)
    with pacs.running():
        described = harvests.pacs(pacs.port, retrieve="get", attempts=1, backoff_s=0.01, **SPLIT)
        said = harvests(described, YEAR, header=DATES)
    assert said.verdicts() == {"1": "complete"}
    sent = asked(pacs)
    assert sent[2] == sent[3]
    assert sent[5] == sent[6]
    assert list(dict.fromkeys(sent)) == undisturbed

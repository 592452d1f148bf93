"""What a harvest asks of a PACS on one association, and what its answers come to.

Each function takes what asks and returns facts; none of them touches the ledger, knows a limit, or judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from farm.net.query import Level
from scheduler.harvest import queries
from scheduler.harvest.line import FIND
from scheduler.harvest.lists import Wanted
from scheduler.harvest.seals import Instance
from scheduler.harvest.split import Splitter, looks_like_a_limit, may_be_capped
from scheduler.harvest.verdicts import Ending, ending_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import date

    from farm.net.client import Client, Finds
    from scheduler.harvest.ranges import DateRange

    Ask = Callable[[queries.Identifier], Awaitable[Finds]]
    """Begins a query, once it may be asked."""

_AVAILABLE: Final = frozenset({"ONLINE", "NEARLINE", "OFFLINE", "UNAVAILABLE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The studies that a row means, as the PACS says; `capped`: there may be more."""

    studies: tuple[str, ...] = field(repr=False)
    ending: Ending
    capped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The instances that a PACS lists of a study.

    `whole`: every answer ended in success, and the PACS's own counts say that these are all or no answer looked capped.
    `availability` is Instance Availability, empty where the PACS does not say.
    """

    instances: tuple[Instance, ...] = field(repr=False)
    whole: bool
    availability: str


class Question:
    """What a row asks of a PACS, a query at a time: it may rest between two, and goes on where it was.

    A range of dates is split as far as the PACS caps its answers. `find_limit` is its cap where it is known, else 0.
    """

    def __init__(self, wanted: Wanted, today: date, find_limit: int) -> None:
        self._wanted, self._limit = wanted, find_limit
        dates = (wanted.first, wanted.last, today)
        self._splitter = Splitter(*dates, find_limit=find_limit) if wanted.means_many else None
        self.answers = 0
        """How many queries of parts of a range the PACS has answered."""

    async def ask(self, client: Client) -> Matches | None:
        """Ask once; return what all queries came to if that was the last one, or None: there are more."""
        if self._splitter is None:
            return await self._ask_for_one(client)
        part = self._splitter.next()
        if part is None:
            return self.so_far(Ending.SUCCESS)
        answer = await _studies(client, self._wanted, part)
        if answer.ending is Ending.FAILED and not answer.count:  # no answer: who refuses one query refuses them all
            return self.so_far(Ending.FAILED)
        self.answers += 1
        capped = answer.ending is not Ending.SUCCESS
        self._splitter.answered(part, answer.studies, capped=capped, count=answer.count)
        return self.so_far(Ending.SUCCESS) if self._splitter.next() is None else None

    def so_far(self, ending: Ending) -> Matches:
        """Return what was found until now; `ending` says how that came to its end."""
        if self._splitter is None:
            return Matches(studies=(), ending=ending, capped=False)
        capped = self.answers > 0 and not self._splitter.verified
        return Matches(studies=tuple(self._splitter.found), ending=ending, capped=capped)

    async def _ask_for_one(self, client: Client) -> Matches:
        """Ask for the one study that is meant; it is all there can be where it was asked for by its own key."""
        answer = await _studies(client, self._wanted, None)
        is_it = bool(self._wanted.study and answer.studies)
        broke_off = answer.ending is not Ending.SUCCESS and answer.count > 0
        capped = broke_off or (may_be_capped(answer.count, self._limit) and not is_it)
        return Matches(studies=answer.studies, ending=Ending.SUCCESS if capped else answer.ending, capped=capped)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Studies:
    """The studies that a query gave and that are meant; `count`: how many answers came, whatever they were."""

    studies: tuple[str, ...] = field(repr=False)
    count: int
    ending: Ending


async def _studies(client: Client, wanted: Wanted, part: DateRange | None) -> _Studies:
    finds = client.find(FIND, queries.study_query(wanted, part))
    found: dict[str, None] = {}
    count = 0
    async for match in finds:
        count += 1
        if (uid := match.get(queries.STUDY, "")) and _is_meant(match, wanted):
            found[uid] = None
    return _Studies(studies=tuple(found), count=count, ending=ending_of(finds.status))


def _is_meant(match: Mapping[int, str], wanted: Wanted) -> bool:
    """Tell whether a match is one: a PACS that does not know a key passes over it, and gives all that it has."""
    asked = ((queries.STUDY, wanted.study), (queries.ACCESSION, wanted.accession), (queries.PATIENT, wanted.patient))
    return all(
        not value or match.get(tag, "").strip().casefold() in {"", value.strip().casefold()} for tag, value in asked
    )


async def listing_of(ask: Ask, study: str, find_limit: int = 0) -> Listing:
    """Ask for the instances of a study: all at once, or series by series where the PACS insists.

    `find_limit` is the PACS's cap where it is known, else 0.
    """
    about: Mapping[int, str] = {}
    async for match in await ask({queries.LEVEL: Level.STUDY, queries.STUDY: study, **_ABOUT}):
        if match.get(queries.STUDY, study) == study:
            about = match
    related = _number(about.get(queries.STUDY_INSTANCES, ""))
    availability = about.get(queries.AVAILABILITY, "")
    whole_study = await _instances(ask, queries.image_query(study))
    found = whole_study.found
    is_whole = is_proved = whole_study.ending is Ending.SUCCESS
    if may_be_capped(whole_study.count, find_limit) or queries.insists_on_series(
        whole_study.status, len(found), related
    ):
        by_series = await _by_series(ask, study, _Cap(limit=find_limit, seen=whole_study.count))
        found = {**found, **by_series.found}
        is_whole, is_proved = by_series.is_whole, by_series.is_proved
    return Listing(
        instances=tuple(found.values()),
        whole=is_whole and (related == len(found) or (is_proved and (related is None or related <= len(found)))),
        availability=availability if availability in _AVAILABLE else "",
    )


_ABOUT: Final = {queries.AVAILABILITY: "", queries.STUDY_INSTANCES: ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Instances:
    """The instances by their UIDs that a query gave; `count`: how many answers came, whatever they were."""

    found: dict[str, Instance] = field(repr=False)
    count: int
    status: int | None

    @property
    def ending(self) -> Ending:
        """Return how the query ended."""
        return ending_of(self.status)


async def _instances(ask: Ask, identifier: queries.Identifier) -> _Instances:
    finds = await ask(identifier)
    found: dict[str, Instance] = {}
    count = 0
    async for match in finds:
        count += 1
        uid = match.get(queries.SOP_INSTANCE, "")
        series = match.get(queries.SERIES, "") or identifier.get(queries.SERIES, "")
        if uid and _is_of(match, identifier[queries.STUDY]):
            found[uid] = Instance(sop_instance=uid, series=series, sop_class=match.get(queries.SOP_CLASS, ""))
    return _Instances(found=found, count=count, status=finds.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cap:
    """What is known of a PACS's cap: the `limit` that is configured, or 0, and the longest answer that was `seen`."""

    limit: int
    seen: int

    def may_be(self, count: int) -> bool:
        """Tell whether an answer of so many instances may have been capped: not where a longer one was not."""
        return 0 < self.limit <= count or (count >= self.seen and looks_like_a_limit(count))


@dataclass(frozen=True, slots=True, kw_only=True)
class _BySeries:
    """The instances by their UIDs that a study's series gave.

    `is_whole`: nothing speaks against it that these are all; `is_proved`: counts say so, or no answer looked capped.
    """

    found: dict[str, Instance] = field(repr=False)
    is_whole: bool
    is_proved: bool


async def _by_series(ask: Ask, study: str, cap: _Cap) -> _BySeries:
    finds = await ask(queries.series_query(study))
    answers = [match async for match in finds]
    series = [match for match in answers if match.get(queries.SERIES) and _is_of(match, study)]
    is_whole = ending_of(finds.status) is Ending.SUCCESS and bool(series)
    is_proved = not may_be_capped(len(answers), cap.limit)
    found: dict[str, Instance] = {}
    for match in series:
        some = await _instances(ask, queries.image_query(study, match[queries.SERIES]))
        related = _number(match.get(queries.SERIES_INSTANCES, ""))
        is_counted = related in {None, len(some.found)}
        is_whole = is_whole and some.ending is Ending.SUCCESS and bool(some.found) and is_counted
        is_proved = is_proved and (related is not None or not cap.may_be(some.count))
        found |= some.found
    return _BySeries(found=found, is_whole=is_whole, is_proved=is_proved)


def _is_of(match: Mapping[int, str], study: str) -> bool:
    """Tell whether a match is of the study that was asked about; one that does not say is taken for it."""
    return match.get(queries.STUDY, "") in {"", study}


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None

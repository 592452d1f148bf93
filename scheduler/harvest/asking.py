"""What a harvest asks of a PACS on one association, and what its answers come to.

Each function takes a client and returns facts; none of them touches the ledger, waits for a limit, or judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from farm.net.query import Level
from scheduler.harvest import queries
from scheduler.harvest.line import FIND
from scheduler.harvest.lists import Wanted
from scheduler.harvest.seals import Instance
from scheduler.harvest.split import Splitter, looks_like_a_limit
from scheduler.harvest.verdicts import Ending, ending_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from farm.net.client import Client
    from scheduler.harvest.ranges import DateRange

_AVAILABLE: Final = frozenset({"ONLINE", "NEARLINE", "OFFLINE", "UNAVAILABLE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Matches:
    """The studies that a row means, as the PACS says; `capped`: there may be more."""

    studies: tuple[str, ...] = field(repr=False)
    ending: Ending
    capped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The instances that a PACS lists of a study; `whole`: every answer ended in success, and looked uncapped.

    `availability` is Instance Availability, empty where the PACS does not say.
    """

    instances: tuple[Instance, ...] = field(repr=False)
    whole: bool
    availability: str


async def matches_of(client: Client, wanted: Wanted, today: date, find_limit: int) -> Matches:
    """Ask for the studies of a row; a range of dates is split as far as the PACS caps its answers."""
    if not wanted.means_many:
        found, ending = await _studies(client, wanted, None)
        capped = ending is not Ending.SUCCESS and bool(found)
        return Matches(studies=tuple(found), ending=Ending.SUCCESS if capped else ending, capped=capped)
    splitter = Splitter(wanted.first, wanted.last, today, find_limit=find_limit)
    ending = Ending.SUCCESS
    while (part := splitter.next()) is not None:
        found, ending = await _studies(client, wanted, part)
        if ending is Ending.FAILED and not found:  # a PACS that refuses the first query refuses them all
            break
        splitter.answered(part, found, capped=ending is not Ending.SUCCESS)
    failed = splitter.next() is not None
    return Matches(
        studies=tuple(splitter.found),
        ending=ending if failed else Ending.SUCCESS,
        capped=not splitter.verified,
    )


async def _studies(client: Client, wanted: Wanted, part: DateRange | None) -> tuple[list[str], Ending]:
    finds = client.find(FIND, queries.study_query(wanted, part))
    found = [uid async for match in finds if (uid := match.get(queries.STUDY, "")) and _is_meant(match, wanted)]
    return list(dict.fromkeys(found)), ending_of(finds.status)


def _is_meant(match: Mapping[int, str], wanted: Wanted) -> bool:
    """Tell whether a match is one: a PACS that does not know a key passes over it, and gives all that it has."""
    asked = ((queries.STUDY, wanted.study), (queries.ACCESSION, wanted.accession), (queries.PATIENT, wanted.patient))
    return all(
        not value or match.get(tag, "").strip().casefold() in {"", value.strip().casefold()} for tag, value in asked
    )


async def listing_of(client: Client, study: str, find_limit: int = 0) -> Listing:
    """Ask for the instances of a study: all at once, or series by series where the PACS insists.

    `find_limit` is the PACS's cap where it is known, else 0.
    """
    about: Mapping[int, str] = {}
    finds = client.find(FIND, {queries.LEVEL: Level.STUDY, queries.STUDY: study, **_ABOUT})
    async for match in finds:
        if match.get(queries.STUDY, study) == study:
            about = match
    related = _number(about.get(queries.STUDY_INSTANCES, ""))
    availability = about.get(queries.AVAILABILITY, "")
    found, status = await _instances(client, queries.image_query(study))
    whole = ending_of(status) is Ending.SUCCESS
    is_capped = looks_like_a_limit(len(found)) or 0 < find_limit <= len(found)
    if is_capped or queries.insists_on_series(status, len(found), related):
        by_series, whole = await _by_series(client, study, find_limit)
        found = {**found, **by_series}
    return Listing(
        instances=tuple(found.values()),
        whole=whole and (related is None or related <= len(found)),
        availability=availability if availability in _AVAILABLE else "",
    )


_ABOUT: Final = {queries.AVAILABILITY: "", queries.STUDY_INSTANCES: ""}


async def _instances(client: Client, identifier: Mapping[int, str]) -> tuple[dict[str, Instance], int | None]:
    """Return the instances that match by their UIDs, and the final status."""
    finds = client.find(FIND, identifier)
    found: dict[str, Instance] = {}
    async for match in finds:
        uid = match.get(queries.SOP_INSTANCE, "")
        series = match.get(queries.SERIES, "") or identifier.get(queries.SERIES, "")
        if uid and _is_of(match, identifier[queries.STUDY]):
            found[uid] = Instance(sop_instance=uid, series=series, sop_class=match.get(queries.SOP_CLASS, ""))
    return found, finds.status


async def _by_series(client: Client, study: str, find_limit: int) -> tuple[dict[str, Instance], bool]:
    finds = client.find(FIND, queries.series_query(study))
    series = [match async for match in finds if match.get(queries.SERIES) and _is_of(match, study)]
    whole = ending_of(finds.status) is Ending.SUCCESS and bool(series) and not 0 < find_limit <= len(series)
    found: dict[str, Instance] = {}
    for match in series:
        some, status = await _instances(client, queries.image_query(study, match[queries.SERIES]))
        related = _number(match.get(queries.SERIES_INSTANCES, ""))
        is_counted = related == len(some) if related is not None else not 0 < find_limit <= len(some)
        whole = whole and ending_of(status) is Ending.SUCCESS and bool(some) and is_counted
        found |= some
    return found, whole


def _is_of(match: Mapping[int, str], study: str) -> bool:
    """Tell whether a match is of the study that was asked about; one that does not say is taken for it."""
    return match.get(queries.STUDY, "") in {"", study}


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None

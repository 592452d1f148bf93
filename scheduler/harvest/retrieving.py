"""Fetches one study: lists it, retrieves what is missing by C-GET or C-MOVE, waits for what is late, lists it again.

The rule of `verdicts` is what says whether it is complete; this gathers the facts for it. A PACS that takes C-GET sends
on the association that asks, which needs no port of ours; where it does not, and our title is known there, C-MOVE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from farm.errors import Reason, Unavailable
from farm.net import tls
from farm.net.client import Peer, Timeouts
from farm.net.query import Level
from farm.net.services import STUDY_ROOT_GET, STUDY_ROOT_MOVE
from scheduler.harvest import queries
from scheduler.harvest.asking import Listing, listing_of
from scheduler.harvest.line import Line, classes_of, offers
from scheduler.harvest.verdicts import Ending, Listed, StudyFacts, ending_of

if TYPE_CHECKING:
    from farm.ledger import Run
    from farm.net.client import Retrieval
    from scheduler.harvest.peers import Pacs
    from scheduler.harvest.receiving import Awaited, Receivers
    from scheduler.harvest.seals import HarvestSealer, Instance

_ROUNDS: Final = 2
"""A study that grew while it was fetched is fetched once more."""
_ABORTS: Final = 2
"""So often in a row an association that is asked by C-GET, and ends before anything comes, is a PACS that has none."""
PEER_REASONS: Final = frozenset({Reason.PEER_AWAY, Reason.PEER_REFUSED, Reason.PEER_ABORTED, Reason.PEER_PROTOCOL})
"""What the PACS, or the way to it, is to blame for."""
_POLITE: Final = 1.0  # seconds that an association gets for its answer beyond the configured ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What retrieving reads from and writes to the ledger, for one study."""

    expect: Callable[[Listing], Awaitable[None]]
    missing: Callable[[], Awaitable[list[Instance]]]
    arrived: Callable[[list[bytes]], Awaitable[set[bytes]]]
    admit: Callable[[int], Awaitable[None]]
    """Waits until so many instances may be asked for; raises `NotNow` where the time for it is over then."""


class NotNow(Exception):
    """A retrieval may not begin any more."""


def peer_of(pacs: Pacs) -> Peer:
    """Return a PACS as a peer of the client; raise `BadRecipe` where its TLS files cannot be used."""
    context = None
    if pacs.tls is not None:
        given = pacs.tls
        identification = (
            tls.Identification(certificate=Path(given.certificate), key=Path(given.key)) if given.certificate else None
        )
        authority = Path(given.ca) if given.ca else None
        context = tls.client_context(authority=authority, identification=identification, verify=given.verify)
    return Peer(
        host=pacs.host,
        port=pacs.port,
        ae_title=pacs.ae_title,
        calling_ae_title=pacs.calling_ae_title,
        tls=context,
        timeouts=Timeouts(connect=pacs.timeout_s, association=pacs.timeout_s, response=pacs.timeout_s + _POLITE),
    )


class Retriever:
    """Fetches from one PACS; it learns whether C-GET is to be had there."""

    def __init__(self, pacs: Pacs, receivers: Receivers, seals: HarvestSealer) -> None:
        self._pacs, self._receivers, self._seals = pacs, receivers, seals
        self.peer = peer_of(pacs)
        self._moves = pacs.retrieve != "get" and bool(pacs.move_destination)
        self._gets = pacs.retrieve != "move"
        self._aborts = 0
        self._moving: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def line(self) -> Line:
        """Return an association to be."""
        return Line(self.peer, gets=self._gets, moves=self._moves)

    async def fetch(self, line: Line, run: Run, study: str, books: Books) -> StudyFacts:
        """Return what is known of a study once nothing more comes; raise `Unavailable` where it was not listed."""
        first = last = await self._listing(line, study, books)
        retrieve = Ending.NOT_TRIED
        came = 0
        for _ in range(_ROUNDS):
            missing = await books.missing()
            if last.instances and last.whole and not missing:
                break
            await books.admit(len(missing) or 1)
            retrieve, some = await self._retrieve(line, run, study, last, missing)
            came += some
            again = await self._listed_again(line, study, books)
            if again is None or (again.whole, _keys(again, self._seals)) == (last.whole, _keys(last, self._seals)):
                break
            last = again
        before, after = (Listed(keys=_keys(one, self._seals), whole=one.whole) for one in (first, last))
        arrived = await books.arrived(sorted(before.keys | after.keys))
        return StudyFacts(
            query=Ending.SUCCESS,
            matches=1,
            availability=last.availability,
            before=before,
            after=after,
            retrieve=retrieve,
            arrived=frozenset(arrived) if before.keys | after.keys or not came else frozenset({b""}),
        )

    async def _listing(self, line: Line, study: str, books: Books) -> Listing:
        listing = await listing_of(await line.client(), study, self._pacs.find_limit)
        await books.expect(listing)
        return listing

    async def _listed_again(self, line: Line, study: str, books: Books) -> Listing | None:
        """List the study after its retrieval; None where that fails, since what came is what counts."""
        try:
            return await self._listing(line, study, books)
        except Unavailable as error:
            if error.reason not in PEER_REASONS:
                raise
            line.abort()
            return None

    async def _retrieve(
        self, line: Line, run: Run, study: str, listing: Listing, missing: list[Instance]
    ) -> tuple[Ending, int]:
        """Retrieve what is missing; return how that ended, and how many instances came."""
        identifiers = [queries.retrieve_study(study)]
        if listing.whole and len(missing) < len(listing.instances):
            identifiers = list(queries.retrieve_instances(study, [(one.series, one.sop_instance) for one in missing]))
        keys = [self._seals.key(one) for one in missing]
        awaited = self._receivers.coming(run, keys, whole=listing.whole)
        ending = Ending.NOT_TRIED
        if self._gets:
            ending = await self._get(line, listing, identifiers, awaited)
        if self._moves and not awaited.came and ending in {Ending.NOT_TRIED, Ending.FAILED, Ending.LOST}:
            async with self._moving.setdefault(study, asyncio.Lock()):  # two harvests may want one study
                ending = await self._move(line, keys, identifiers, awaited)
        return ending, awaited.came

    async def _get(
        self, line: Line, listing: Listing, identifiers: list[queries.Identifier], awaited: Awaited
    ) -> Ending:
        try:
            client = await line.client(classes_of([one.sop_class for one in listing.instances]))
            if not offers(client, STUDY_ROOT_GET):
                self._gets = not self._moves
                return Ending.NOT_TRIED if self._moves else Ending.FAILED
            ending = await _all(
                client.get(STUDY_ROOT_GET, Level(one[queries.LEVEL]), one, awaited) for one in identifiers
            )
        except Unavailable as error:
            line.abort()
            if error.reason not in PEER_REASONS:
                raise
            if error.reason is Reason.PEER_ABORTED and not awaited.came:
                self._aborts += 1
                self._gets = not self._moves or self._aborts < _ABORTS  # so does Orthanc where C-GET is not allowed
            return Ending.LOST
        self._aborts = 0
        return ending

    async def _move(
        self, line: Line, keys: list[bytes], identifiers: list[queries.Identifier], awaited: Awaited
    ) -> Ending:
        self._receivers.expect(awaited)
        title = self._pacs.move_destination
        try:
            client = await line.client()
            ending = await _all(
                client.move(STUDY_ROOT_MOVE, Level(one[queries.LEVEL]), one, title) for one in identifiers
            )
            if ending is not Ending.FAILED or awaited.came:
                await awaited.settled(self._pacs.settle_s)
        except Unavailable as error:
            line.abort()
            if error.reason not in PEER_REASONS:
                raise
            await awaited.settled(self._pacs.settle_s)
            return Ending.LOST
        finally:
            self._receivers.forget(awaited, keys)
        return ending


async def _all(retrievals: Iterable[Retrieval]) -> Ending:
    """Carry out the retrievals of one study; return how they ended."""
    endings = [ending_of(await retrieval.complete()) for retrieval in retrievals]
    order = (Ending.LOST, Ending.FAILED, Ending.CANCELLED, Ending.WARNING, Ending.SUCCESS)
    return next((one for one in order if one in endings), Ending.NOT_TRIED)


def _keys(listing: Listing, seals: HarvestSealer) -> frozenset[bytes]:
    return frozenset(seals.key(one) for one in listing.instances)

"""Fetches one study: lists it, retrieves what is missing by C-GET or C-MOVE, waits for what is late, lists it again.

The rule of `verdicts` is what says whether it is complete; this gathers the facts for it. A PACS that takes C-GET sends
on the association that asks, which needs no port of ours; where it does not, and our title is known there, C-MOVE.

Under a rate, what is listed is asked for in parts that the burst allows, each of them admitted before it is asked for.
What the PACS will only give as a whole pays as it comes. What comes and cannot be kept for want of space or the like
ends the retrieval: it says nothing of the PACS, and the rest would be sent in vain.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass, field
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
from scheduler.harvest.line import FIND, Line, classes_of, offers
from scheduler.harvest.senders import Senders
from scheduler.harvest.verdicts import Ending, Listed, StudyFacts, ending_of

if TYPE_CHECKING:
    from farm.ledger import Run
    from farm.net.client import Finds, Retrieval
    from scheduler.harvest.peers import Pacs
    from scheduler.harvest.receiving import Awaited, Receivers
    from scheduler.harvest.seals import HarvestSealer, Instance

_ROUNDS: Final = 2
"""A study that grew while it was fetched is fetched once more."""
_ABORTS: Final = 2
"""So often in a row an association that is asked by C-GET, and ends before anything comes, is a PACS that has none."""
OWN_REASONS: Final = frozenset({Reason.NO_SPACE, Reason.STORAGE_ERROR})
"""What has nothing to do with the PACS: what it sends cannot be kept."""
PEER_REASONS: Final = frozenset({Reason.PEER_AWAY, Reason.PEER_REFUSED, Reason.PEER_ABORTED, Reason.PEER_PROTOCOL})
"""What the PACS, or the way to it, is to blame for."""
_POLITE: Final = 1.0  # seconds that an association gets for its answer beyond the configured ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What retrieving reads from and writes to the ledger, for one study of a run."""

    run: Run
    study: str = field(repr=False)
    expect: Callable[[Listing], Awaitable[None]]
    missing: Callable[[], Awaitable[list[Instance]]]
    arrived: Callable[[list[bytes]], Awaitable[set[bytes]]]
    admit: Callable[[int], Awaitable[None]]
    """Waits until so many instances may be asked for; raises `NotNow` where the time for it is over then."""
    query: Callable[[], Awaitable[None]]
    """Waits until a query may be asked; raises `NotNow` likewise."""
    pay: Callable[[], Awaitable[None]]
    """Waits for one that came beyond those: for as long as a PACS may be left waiting for its answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What is asked for and admitted at a time: `instances`, as far as they are known; unless `whole`, others too."""

    identifiers: tuple[queries.Identifier, ...]
    instances: tuple[Instance, ...]
    whole: bool
    admitted: int


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
        self.senders = Senders(pacs)
        self._most = max(1, int(pacs.burst)) if pacs.rate else None
        self._moves = pacs.moves
        self._gets = pacs.retrieve != "move"
        self._aborts = 0
        self._moving: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def line(self) -> Line:
        """Return an association to be."""
        return Line(self.peer, gets=self._gets, moves=self._moves)

    async def fetch(self, line: Line, books: Books) -> StudyFacts:
        """Return what is known of a study once nothing more comes; raise `Unavailable` where it was not listed."""
        first = last = await self._listing(line, books)
        retrieve = Ending.NOT_TRIED
        came = 0
        brought: set[str] = set()
        for _ in range(_ROUNDS):
            missing = await books.missing()
            if last.instances and last.whole and not missing:
                break
            retrieve, some, uids = await self._retrieve(line, books, last, missing)
            came += some
            brought |= uids
            again = await self._listed_again(line, books)
            if again is None or (again.whole, _keys(again, self._seals)) == (last.whole, _keys(last, self._seals)):
                break
            last = again
        named = {one.sop_instance for listing in (first, last) for one in listing.instances}
        names_all = brought <= named  # what came and is not listed proves that the list is not whole
        before, after = (Listed(keys=_keys(one, self._seals), whole=one.whole and names_all) for one in (first, last))
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

    async def _listing(self, line: Line, books: Books) -> Listing:
        async def ask(identifier: queries.Identifier) -> Finds:
            await books.query()
            return (await line.client()).find(FIND, identifier)

        listing = await listing_of(ask, books.study, self._pacs.find_limit)
        await books.expect(listing)
        return listing

    async def _listed_again(self, line: Line, books: Books) -> Listing | None:
        """List the study after its retrieval; None where that fails, since what came is what counts."""
        try:
            return await self._listing(line, books)
        except Unavailable as error:
            if error.reason not in PEER_REASONS:
                raise
            line.abort()
            return None

    async def _retrieve(
        self, line: Line, books: Books, listing: Listing, missing: list[Instance]
    ) -> tuple[Ending, int, set[str]]:
        """Retrieve what is missing, part by part; return how that ended, how many were stored, and which came."""
        parts = deque(self._parts(books.study, listing, missing))
        classes = classes_of([one.sop_class for one in listing.instances])
        endings: list[Ending] = []
        came = 0
        brought: set[str] = set()
        while parts and Ending.LOST not in endings:
            part = parts.popleft()
            await books.admit(part.admitted)
            keys = [self._seals.key(one) for one in part.instances]
            awaited = self._receivers.coming(books.run, keys, whole=part.whole, paid=part.admitted, pay=books.pay)
            ending = await self._one(line, books.study, part, classes, awaited)
            if awaited.trouble is not None:
                raise Unavailable(awaited.trouble)
            came += awaited.came
            brought |= awaited.brought
            is_first = not came and len(missing) == len(listing.instances)
            if ending is Ending.FAILED and is_first and parts:  # there are PACS that take no less than a study
                parts = deque([_study(books.study, missing, whole=True)])
            else:
                endings.append(ending)
        return _worst(endings), came, brought

    def _parts(self, study: str, listing: Listing, missing: list[Instance]) -> Iterator[_Part]:
        """Yield what is to be asked for at a time: the study if it is all that is missing and the rate allows it."""
        most = self._most or len(missing)
        is_known = listing.whole and bool(listing.instances)  # an empty list says nothing: a study has instances
        if not is_known or len(missing) == len(listing.instances) <= most:
            yield _study(study, missing, whole=is_known, admitted=len(missing) if is_known else 1)
            return
        in_order = sorted(missing, key=lambda one: (one.series, one.sop_instance))
        for at in range(0, len(in_order), most):
            some = tuple(in_order[at : at + most])
            asked = queries.retrieve_instances(study, [(one.series, one.sop_instance) for one in some])
            yield _Part(identifiers=tuple(asked), instances=some, whole=True, admitted=len(some))

    async def _one(self, line: Line, study: str, part: _Part, classes: list[str], awaited: Awaited) -> Ending:
        """Retrieve one part, by C-GET or C-MOVE."""
        ending = Ending.NOT_TRIED
        if self._gets:
            ending = await self._get(line, classes, part, awaited)
        if self._moves and not awaited.came and ending in {Ending.NOT_TRIED, Ending.FAILED, Ending.LOST}:
            async with self._moving.setdefault(study, asyncio.Lock()):  # two harvests may want one study
                ending = await self._move(line, part, awaited)
        return ending

    async def _get(self, line: Line, classes: list[str], part: _Part, awaited: Awaited) -> Ending:
        try:
            client = await line.client(classes)
            if not offers(client, STUDY_ROOT_GET):
                self._gets = not self._moves
                return Ending.NOT_TRIED if self._moves else Ending.FAILED
            retrievals = (
                client.get(STUDY_ROOT_GET, Level(one[queries.LEVEL]), one, awaited) for one in part.identifiers
            )
            ending = await _while_kept(awaited, _all(retrievals, awaited))
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

    async def _move(self, line: Line, part: _Part, awaited: Awaited) -> Ending:
        await self.senders.look_up()
        keys = sorted(awaited.left)
        self._receivers.expect(awaited)
        title = self._pacs.move_destination
        try:
            client = await line.client()
            retrievals = (
                client.move(STUDY_ROOT_MOVE, Level(one[queries.LEVEL]), one, title) for one in part.identifiers
            )
            ending = await _while_kept(awaited, self._moved(retrievals, awaited))
        except Unavailable as error:
            line.abort()
            if error.reason not in PEER_REASONS:
                raise
            await awaited.settled(self._pacs.settle_s)
            return Ending.LOST
        finally:
            self._receivers.forget(awaited, keys)
        return ending

    async def _moved(self, retrievals: Iterable[Retrieval], awaited: Awaited) -> Ending:
        """Carry out retrievals by C-MOVE, and wait for what they bring."""
        ending = await _all(retrievals, awaited)
        if ending is not Ending.FAILED or awaited.came:
            await awaited.settled(self._pacs.settle_s)
        return ending


def _study(study: str, missing: list[Instance], *, whole: bool, admitted: int = 1) -> _Part:
    """Return a study as one part."""
    asked = (queries.retrieve_study(study),)
    return _Part(identifiers=asked, instances=tuple(missing), whole=whole, admitted=admitted)


async def _all(retrievals: Iterable[Retrieval], awaited: Awaited) -> Ending:
    """Carry out the retrievals of one part; return how they ended."""
    endings = []
    for retrieval in retrievals:
        awaited.asked = retrieval
        endings.append(ending_of(await retrieval.complete()))
    return _worst(endings)


async def _while_kept(awaited: Awaited, asking: Coroutine[None, None, Ending]) -> Ending:
    """Carry out retrievals as long as what comes can be kept; raise `Unavailable` with the reason why it cannot."""
    asked, hurt = asyncio.ensure_future(asking), asyncio.ensure_future(awaited.hurt())
    try:
        await asyncio.wait((asked, hurt), return_when=asyncio.FIRST_COMPLETED)
        if awaited.trouble is not None:
            raise Unavailable(awaited.trouble)
        return await asked
    finally:
        asked.cancel()
        hurt.cancel()
        await asyncio.gather(asked, hurt, return_exceptions=True)


def _worst(endings: list[Ending]) -> Ending:
    order = (Ending.LOST, Ending.FAILED, Ending.CANCELLED, Ending.WARNING, Ending.SUCCESS)
    return next((one for one in order if one in endings), Ending.NOT_TRIED)


def _keys(listing: Listing, seals: HarvestSealer) -> frozenset[bytes]:
    return frozenset(seals.key(one) for one in listing.instances)

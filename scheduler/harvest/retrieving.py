"""Fetches one study: lists it, retrieves what is missing by C-GET or C-MOVE, waits for what is late, lists it again.

The rule of `verdicts` is what says whether it is complete; this gathers the facts for it. A PACS that takes C-GET sends
on the association that asks, which needs no port of ours; where it does not, and our title is known there, C-MOVE.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farm.errors import Reason, Unavailable
from farm.net import tls
from farm.net.client import Client, Peer, Timeouts, connect, getting, service
from farm.net.peers import common_classes
from farm.net.query import Level
from farm.net.services import STUDY_ROOT_GET, STUDY_ROOT_MOVE
from scheduler.harvest import queries
from scheduler.harvest.asking import FIND, Listing, listing_of
from scheduler.harvest.verdicts import Ending, Listed, StudyFacts, ending_of

if TYPE_CHECKING:
    from farm.ledger import Run
    from scheduler.harvest.peers import Pacs
    from scheduler.harvest.receiving import Receivers
    from scheduler.harvest.seals import HarvestSealer, Instance

_ROUNDS: Final = 2
"""A study that grew while it was fetched is fetched once more."""
_LOOK: Final = 0.1  # seconds between looks at what a C-MOVE has brought
_POLITE: Final = 1.0  # seconds that an association gets for its answer beyond the configured ones


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """What retrieving reads from and writes to the ledger, for one study."""

    expect: Callable[[list[Instance]], Awaitable[None]]
    missing: Callable[[], Awaitable[list[Instance]]]
    arrived: Callable[[list[bytes]], Awaitable[set[bytes]]]
    admit: Callable[[int], Awaitable[None]]
    """Waits until so many instances may be asked for."""


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
        self._gets = pacs.retrieve != "move"
        self._moves = pacs.retrieve != "get" and bool(pacs.move_destination)

    async def fetch(self, run: Run, study: str, books: Books) -> StudyFacts:
        """Return what is known of a study once nothing more comes; raise `Unavailable` where it was not listed."""
        first = last = await self._listing(study, books)
        retrieve, brought = Ending.NOT_TRIED, False
        for _ in range(_ROUNDS):
            missing = await books.missing()
            if first.instances and not missing:
                break
            await books.admit(len(missing) or 1)
            retrieve, some = await self._retrieve(run, study, last, missing, books)
            brought = brought or some
            again = await self._listed_again(study, books)
            if again is None or _keys(again, self._seals) == _keys(last, self._seals):
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
            arrived=frozenset(arrived) if before.keys | after.keys or not brought else frozenset({b""}),
        )

    async def _listing(self, study: str, books: Books) -> Listing:
        async with connect(self.peer, service(FIND)) as client:
            listing = await listing_of(client, study)
        await books.expect(list(listing.instances))
        return listing

    async def _listed_again(self, study: str, books: Books) -> Listing | None:
        """List the study after its retrieval; None where that fails, since what came is what counts."""
        try:
            return await self._listing(study, books)
        except Unavailable as error:
            if error.reason is Reason.LEASE_LOST:
                raise
            return None

    async def _retrieve(
        self, run: Run, study: str, listing: Listing, missing: list[Instance], books: Books
    ) -> tuple[Ending, bool]:
        """Retrieve what is missing; return how that ended, and whether the PACS says that anything came."""
        whole = len(missing) == len(listing.instances)
        identifiers = [queries.retrieve_study(study)]
        if not whole:
            identifiers = list(queries.retrieve_instances(study, [(one.series, one.sop_instance) for one in missing]))
        ending, brought = Ending.NOT_TRIED, False
        if self._gets:
            ending, brought = await self._get(run, listing, identifiers)
        if self._moves and not brought and ending in {Ending.NOT_TRIED, Ending.FAILED, Ending.LOST}:
            ending, brought = await self._move(run, missing, identifiers, books)
        return ending, brought

    async def _get(self, run: Run, listing: Listing, identifiers: list[queries.Identifier]) -> tuple[Ending, bool]:
        classes = list(dict.fromkeys(one.sop_class for one in listing.instances if one.sop_class))
        brought = False
        try:
            async with connect(self.peer, getting(STUDY_ROOT_GET, classes or common_classes())) as client:
                if not _offers(client, STUDY_ROOT_GET):
                    self._gets = not self._moves
                    return (Ending.NOT_TRIED if self._moves else Ending.FAILED), False
                endings = []
                for identifier in identifiers:
                    retrieval = client.get(
                        STUDY_ROOT_GET, Level(identifier[queries.LEVEL]), identifier, self._receivers.of(run)
                    )
                    async for progress in retrieval:
                        brought = brought or bool(progress.completed)
                    brought = brought or bool(retrieval.progress.completed)
                    endings.append(ending_of(retrieval.status))
                return _worst(endings), brought
        except Unavailable as error:
            if error.reason in {Reason.PEER_AWAY, Reason.LEASE_LOST}:
                raise
            if error.reason is Reason.PEER_ABORTED and not brought and self._moves:
                self._gets = False  # so does Orthanc where C-GET is not allowed
            return Ending.LOST, brought

    async def _move(
        self, run: Run, missing: list[Instance], identifiers: list[queries.Identifier], books: Books
    ) -> tuple[Ending, bool]:
        keys = [self._seals.instance(one).key for one in missing]
        self._receivers.expect(run, keys)
        endings, brought = [], False
        try:
            async with connect(self.peer, service(STUDY_ROOT_MOVE)) as client:
                for identifier in identifiers:
                    retrieval = client.move(
                        STUDY_ROOT_MOVE, Level(identifier[queries.LEVEL]), identifier, self._pacs.move_destination
                    )
                    await retrieval.complete()
                    brought = brought or bool(retrieval.progress.completed)
                    endings.append(ending_of(retrieval.status))
        except Unavailable as error:
            if error.reason in {Reason.PEER_AWAY, Reason.LEASE_LOST}:
                raise
            endings.append(Ending.LOST)
        finally:
            await self._settled(books)
            self._receivers.forget(keys)
        return _worst(endings), brought

    async def _settled(self, books: Books) -> None:
        """Wait for what a C-MOVE sends: until all has arrived, or nothing has for a while."""
        loop = asyncio.get_running_loop()
        left, since = -1, loop.time()
        while loop.time() - since < self._pacs.settle_s:
            missing = len(await books.missing())
            if not missing and left != -1:
                return
            if missing != left:
                left, since = missing, loop.time()
            await asyncio.sleep(_LOOK)


def _offers(client: Client, model: str) -> bool:
    return any(context.abstract_syntax == model for context in client.contexts.values())


def _worst(endings: list[Ending]) -> Ending:
    """Return how several retrievals of one study ended."""
    order = (Ending.LOST, Ending.FAILED, Ending.CANCELLED, Ending.WARNING, Ending.SUCCESS)
    return next((one for one in order if one in endings), Ending.NOT_TRIED)


def _keys(listing: Listing, seals: HarvestSealer) -> frozenset[bytes]:
    return frozenset(seals.instance(one).key for one in listing.instances)

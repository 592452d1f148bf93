"""Where what a harvest fetches goes: into the spool of the run that its study belongs to.

One harvester fetches for all harvests of its PACS, and each of them has a run. What comes by C-GET belongs to the study
that was asked for. What comes by C-MOVE comes on an association of its own, and is known by its SOP Instance UID, which
the PACS has listed before. What nobody expects has no place here, whoever sends it.

What comes and cannot be kept is no fault of the PACS: why is noted, so that the retrieval ends there. And what comes
beyond what was admitted pays for itself before it is answered, which is what slows down a PACS that sends a whole
study at once.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farm.errors import Reason, Unavailable
from farm.net.acceptor import Service
from farm.net.negotiation import Offer
from farm.net.server import Port, Server
from farm.net.services import VERIFICATION, is_storage
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS
from farm.queue import Place
from farm.recipe.recipe import Recipe
from scheduler.ingest.committer import Committer
from scheduler.ingest.keeper import Keeper, clear
from scheduler.ingest.receiver import SpoolReceiver
from scheduler.ingest.spell import Spell
from scheduler.ingest.spool import Spool
from scheduler.routing import Router

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from farm.ledger import Ledger, Run
    from farm.net.operations import Retrieval
    from farm.net.storing import Arriving, Receiver, Sink
    from scheduler.campaign import Desk
    from scheduler.harvest.senders import Senders

_REMEMBERED: Final = 100_000
"""Instances that are still taken when they come too late for the verdict."""


async def free() -> None:
    """Pay for an instance where there is no limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms instances come: how many are paid for, how another one is, and why one was not kept."""

    paid: int = 0
    pay: Callable[[], Awaitable[None]] = free
    why: Callable[[], Reason] = lambda: Reason.STORAGE_ERROR


class Awaited:
    """What a retrieval is to bring: the keys that have not come, and whether anything is coming."""

    def __init__(
        self, run_id: int, receiver: Receiver, keys: Sequence[bytes], *, whole: bool, terms: Terms | None = None
    ) -> None:
        """Take the instances that are listed; unless that is the `whole`, others may come."""
        self.run_id, self._receiver = run_id, receiver
        self.left = set(keys)
        self.whole = whole
        self.came = 0
        """How many were stored."""
        self.brought: set[str] = set()
        """The SOP Instance UIDs that came, stored or not."""
        self.asked: Retrieval | None = None
        """The retrieval that is under way."""
        self.trouble: Reason | None = None
        """Why something that came could not be kept."""
        self._terms = terms or Terms()
        self._paid = self._terms.paid
        self._coming = 0
        self._changed = asyncio.Event()
        self._hurt = asyncio.Event()

    def begin(self, arriving: Arriving, key: bytes = b"") -> Sink:
        """Return the sink of one that is coming."""
        self.brought.add(arriving.sop_instance)
        try:
            sink = _Noted(self, key, self._receiver.begin(arriving))
        except Unavailable as error:
            self.failed(error.reason)
            raise
        self._coming += 1
        return sink

    def failed(self, reason: Reason | None = None) -> None:
        """Note that something could not be kept."""
        self.trouble = self.trouble or reason or self._terms.why()
        self._hurt.set()

    async def hurt(self) -> None:
        """Wait until something could not be kept."""
        await self._hurt.wait()

    async def pay(self) -> None:
        """Pay for one that came, unless that was done before it was asked for; it takes as long as the limits say."""
        if self._paid:
            self._paid -= 1
        else:
            await self._terms.pay()

    def ended(self, key: bytes, *, stored: bool) -> None:
        """Note the end of one that was coming."""
        self._coming -= 1
        self.came += stored
        if stored:
            self.left.discard(key)
        self._changed.set()

    async def settled(self, seconds: float) -> None:
        """Wait until all has come, or nothing has for a while."""
        while self._coming or self.left or not self.whole:
            self._changed.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                if not self._coming:
                    return


class _Noted:
    """A sink whose end is noted, once; a PACS sends the next instance when this one is answered."""

    __slots__ = ("_awaited", "_key", "_sink")

    def __init__(self, awaited: Awaited, key: bytes, sink: Sink) -> None:
        self._awaited: Awaited | None = awaited
        self._key, self._sink = key, sink

    def write(self, data: memoryview) -> None:
        try:
            self._sink.write(data)
        except Unavailable as error:
            if self._awaited is not None:
                self._awaited.failed(error.reason)
            raise

    async def end(self) -> int:
        awaited, status = self._awaited, None
        try:
            ended = self._sink.end()
            status = ended if isinstance(ended, int) else await ended
            if status == OUT_OF_RESOURCES and awaited is not None:
                awaited.failed()
        except Unavailable as error:
            if awaited is not None:
                awaited.failed(error.reason)
            raise
        finally:
            self._note(stored=status == SUCCESS)
        if awaited is not None:
            await awaited.pay()
        return status

    def abandon(self) -> None:
        self._sink.abandon()
        self._note(stored=False)

    def _note(self, *, stored: bool) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.ended(self._key, stored=stored)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where the instances of one run go."""

    spool: Spool
    committer: Committer
    receiver: SpoolReceiver
    keeper: Keeper


class Receivers:
    """A receiver for each run, and the one behind C-MOVE's port, which chooses among them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._sealer, self._spell = desk, desk.sealer, Spell()
        self._open: dict[int, _Place] = {}
        self._expected: dict[bytes, Awaited] = {}
        self._late: dict[bytes, Awaited] = {}
        self._unlisted: list[Awaited] = []
        self._originators: frozenset[str] = frozenset()

    def of(self, run: Run) -> SpoolReceiver:
        """Return the receiver of a run."""
        if run.id not in self._open:
            place = Place(key=run.source_key, sealed=run.source_sealed)
            spool = Spool(Path(os.fsdecode(self._sealer.open_source(place))))
            patience = self._desk.settings.ledger_patience_seconds
            session = self._desk.session(patience, deadline=patience)
            committer = Committer(spool, session, run.id, self._spell, patience=patience)
            router = Router.of(self._desk.settings, Recipe.from_json(run.recipe_json).wanted.syntax)
            receiver = SpoolReceiver(spool, committer, self._sealer, run.source_key, self._spell, router=router)
            keeper = Keeper(spool, run.id, self._desk.settings)
            self._open[run.id] = _Place(spool=spool, committer=committer, receiver=receiver, keeper=keeper)
        return self._open[run.id].receiver

    def clear(self, run: Run, ledger: Ledger) -> None:
        """Remove what a crash left in the spool of a run."""
        clear(self._open[run.id].spool, run.id, ledger)

    def keep(self, ledger: Ledger) -> None:
        """Close the studies of which nothing arrives any more, and sweep the spools, those of others' runs too."""
        for place in list(self._open.values()):
            place.keeper.keep(ledger)

    def coming(
        self,
        run: Run,
        keys: Sequence[bytes],
        *,
        whole: bool,
        paid: int = 0,
        pay: Callable[[], Awaitable[None]] = free,
    ) -> Awaited:
        """Return what notes the instances that a retrieval brings for a run; `paid`: so many are paid for."""
        terms = Terms(paid=paid, pay=pay, why=lambda: self._spell.reason or Reason.STORAGE_ERROR)
        return Awaited(run.id, self.of(run), keys, whole=whole, terms=terms)

    def expect(self, awaited: Awaited) -> None:
        """Let these come by C-MOVE."""
        self._expected |= dict.fromkeys(awaited.left, awaited)
        if not awaited.whole:
            self._unlisted.append(awaited)

    def forget(self, awaited: Awaited, keys: Sequence[bytes]) -> None:
        """Wait for these no longer; what still comes of them is taken, but no other."""
        for key in keys:
            if self._expected.get(key) is awaited:
                del self._expected[key]
                self._late[key] = awaited
        if awaited in self._unlisted:
            self._unlisted.remove(awaited)
        for key in list(self._late)[: max(0, len(self._late) - _REMEMBERED)]:
            del self._late[key]

    def begin(self, arriving: Arriving) -> Sink:
        """Return the sink of an instance that came by C-MOVE; what nobody expects has no place."""
        key = self._sealer.instance(arriving.sop_instance.encode())
        awaited = self._expected.get(key) or self._late.get(key)
        if awaited is None and len(self._unlisted) == 1 and self._is_asked_for(arriving, self._unlisted[0]):
            [awaited] = self._unlisted  # a PACS that cannot list what it sends
        if awaited is None:
            raise Unavailable(Reason.STORAGE_ERROR)
        return awaited.begin(arriving, key)

    def _is_asked_for(self, arriving: Arriving, awaited: Awaited) -> bool:
        """Tell whether the PACS says of no other C-MOVE that it has brought this (PS3.7 section 9.1.1.1).

        Of an instance that is listed its UID says more. Some PACS (pynetdicom) name themselves as the originator.
        """
        asked = awaited.asked.message_id if awaited.asked is not None else 0
        return arriving.originator in self._originators and (
            not arriving.originator_id or not asked or arriving.originator_id == asked
        )

    async def serve(self, listener: socket.socket, senders: Senders, stop: asyncio.Event) -> None:
        """Take what the PACS sends to our title, until `stop` is set."""
        self._originators = senders.originators
        offer = Offer(
            supports=lambda uid: uid == VERIFICATION or is_storage(uid, private=True),
            titles=frozenset({senders.called}),
        )
        service = Service(receiver=self, offer=offer, rules=senders.rules)
        await Server(service, Port(listener=listener, tls=senders.tls)).serve(stop)

    def close(self) -> None:
        """Commit what waits, and end."""
        for place in self._open.values():
            place.committer.close()
            place.spool.close()

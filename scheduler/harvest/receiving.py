"""Where what a harvest fetches goes: into the spool of the run that its study belongs to.

One harvester fetches for all harvests of its PACS, and each of them has a run. What comes by C-GET belongs to the study
that was asked for. What comes by C-MOVE comes on an association of its own, and is known by its SOP Instance UID, which
the PACS has listed before. What nobody expects has no place here, whoever sends it.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farm.errors import Reason, Unavailable
from farm.net.acceptor import Service
from farm.net.negotiation import Offer
from farm.net.server import Port, Server
from farm.net.services import VERIFICATION, is_storage
from farm.net.storing import SUCCESS
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
    from collections.abc import Awaitable, Sequence

    from farm.ledger import Ledger, Run
    from farm.net.storing import Arriving, Receiver, Sink
    from scheduler.campaign import Desk

_PATIENCE: Final = 2.0
_REMEMBERED: Final = 100_000
"""Instances that are still taken when they come too late for the verdict."""


class Awaited:
    """What a retrieval is to bring: the keys that have not come, and whether anything is coming."""

    def __init__(self, run_id: int, receiver: Receiver, keys: Sequence[bytes], *, whole: bool) -> None:
        """Take the instances that are listed; unless that is the `whole`, others may come."""
        self.run_id, self._receiver = run_id, receiver
        self.left = set(keys)
        self.whole = whole
        self.came = 0
        """How many were stored."""
        self._coming = 0
        self._changed = asyncio.Event()

    def begin(self, arriving: Arriving, key: bytes = b"") -> Sink:
        """Return the sink of one that is coming."""
        sink = _Noted(self, key, self._receiver.begin(arriving))
        self._coming += 1
        return sink

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
    """A sink whose end is noted, once."""

    __slots__ = ("_awaited", "_key", "_sink")

    def __init__(self, awaited: Awaited, key: bytes, sink: Sink) -> None:
        self._awaited: Awaited | None = awaited
        self._key, self._sink = key, sink

    def write(self, data: memoryview) -> None:
        self._sink.write(data)

    def end(self) -> int | Awaitable[int]:
        status = self._sink.end()
        if not isinstance(status, int):
            return self._later(status)
        self._note(stored=status == SUCCESS)
        return status

    async def _later(self, ending: Awaitable[int]) -> int:
        status = None
        try:
            status = await ending
        finally:
            self._note(stored=status == SUCCESS)
        return status

    def abandon(self) -> None:
        self._sink.abandon()
        self._note(stored=False)

    def _note(self, *, stored: bool) -> None:
        awaited, self._awaited = self._awaited, None
        if awaited is not None:
            awaited.ended(self._key, stored=stored)


class Receivers:
    """A receiver for each run, and the one behind C-MOVE's port, which chooses among them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._sealer, self._spell = desk, desk.sealer, Spell()
        self._open: dict[int, tuple[SpoolReceiver, Committer, Spool]] = {}
        self._keepers: dict[int, Keeper] = {}
        self._expected: dict[bytes, Awaited] = {}
        self._late: dict[bytes, Awaited] = {}
        self._unlisted: list[Awaited] = []

    def of(self, run: Run) -> SpoolReceiver:
        """Return the receiver of a run."""
        if run.id not in self._open:
            place = Place(key=run.source_key, sealed=run.source_sealed)
            spool = Spool(Path(os.fsdecode(self._sealer.open_source(place))))
            committer = Committer(spool, self._desk.session(_PATIENCE), run.id, self._spell)
            router = Router.of(self._desk.settings, Recipe.from_json(run.recipe_json).wanted.syntax)
            receiver = SpoolReceiver(spool, committer, self._sealer, run.source_key, self._spell, router=router)
            self._open[run.id] = (receiver, committer, spool)
        return self._open[run.id][0]

    def clear(self, run: Run, ledger: Ledger) -> None:
        """Remove what a crash left in the spool of a run; from now on it is kept (`keep`)."""
        _, _, spool = self._open[run.id]
        clear(spool, run.id, ledger)
        self._keepers[run.id] = Keeper(spool, run.id, self._desk.settings)

    def keep(self, ledger: Ledger) -> None:
        """Close the studies of which nothing arrives any more, and sweep the spool."""
        for keeper in list(self._keepers.values()):
            keeper.keep(ledger)

    def coming(self, run: Run, keys: Sequence[bytes], *, whole: bool) -> Awaited:
        """Return what notes the instances that C-GET brings for a run."""
        return Awaited(run.id, self.of(run), keys, whole=whole)

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
        if awaited is None and len(self._unlisted) == 1:  # a PACS that cannot list what it sends
            [awaited] = self._unlisted
        if awaited is None:
            raise Unavailable(Reason.STORAGE_ERROR)
        return awaited.begin(arriving, key)

    async def serve(self, listener: socket.socket, title: str, stop: asyncio.Event) -> None:
        """Take what the PACS sends to our title, until `stop` is set."""
        offer = Offer(
            supports=lambda uid: uid == VERIFICATION or is_storage(uid, private=True),
            titles=frozenset({title}),
        )
        service = Service(receiver=self, offer=offer)
        await Server(service, Port(listener=listener)).serve(stop)

    def close(self) -> None:
        """Commit what waits, and end."""
        for _, committer, spool in self._open.values():
            committer.close()
            spool.close()

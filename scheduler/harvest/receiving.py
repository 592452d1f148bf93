"""Where what a harvest fetches goes: into the spool of the run that its study belongs to.

One harvester fetches for all harvests of its PACS, and each of them has a run. What comes by C-GET belongs to the study
that was asked for. What comes by C-MOVE comes on an association of its own, and is known by its SOP Instance UID, which
the PACS has listed before.
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
from farm.queue import Place
from scheduler.ingest.committer import Committer
from scheduler.ingest.receiver import SpoolReceiver
from scheduler.ingest.spell import Spell
from scheduler.ingest.spool import Spool

if TYPE_CHECKING:
    import socket

    from farm.ledger import Run
    from farm.net.storing import Arriving, Sink
    from scheduler.campaign import Desk

_PATIENCE: Final = 2.0


class Receivers:
    """A receiver for each run, and the one behind C-MOVE's port, which chooses among them."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._sealer, self._spell = desk, desk.sealer, Spell()
        self._open: dict[int, tuple[SpoolReceiver, Committer, Spool]] = {}
        self._expected: dict[bytes, int] = {}

    def of(self, run: Run) -> SpoolReceiver:
        """Return the receiver of a run."""
        if run.id not in self._open:
            place = Place(key=run.source_key, sealed=run.source_sealed)
            spool = Spool(Path(os.fsdecode(self._sealer.open_source(place))))
            committer = Committer(spool, self._desk.session(_PATIENCE), run.id, self._spell)
            receiver = SpoolReceiver(spool, committer, self._sealer, run.source_key, self._spell)
            self._open[run.id] = (receiver, committer, spool)
        return self._open[run.id][0]

    def expect(self, run: Run, instance_keys: list[bytes]) -> None:
        """Note what is about to come by C-MOVE, and for which run."""
        self.of(run)
        self._expected |= dict.fromkeys(instance_keys, run.id)

    def forget(self, instance_keys: list[bytes]) -> None:
        """Expect these no longer."""
        for key in instance_keys:
            self._expected.pop(key, None)

    def begin(self, arriving: Arriving) -> Sink:
        """Return the sink of an instance that came by C-MOVE; what nobody expects has no place."""
        run_id = self._expected.get(self._sealer.instance(arriving.sop_instance.encode()))
        if run_id is None and len(self._open) == 1:  # a PACS that cannot list what it sends
            [run_id] = self._open
        if run_id is None:
            raise Unavailable(Reason.STORAGE_ERROR)
        return self._open[run_id][0].begin(arriving)

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

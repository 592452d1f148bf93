"""A Postgres that is there and does not answer: stopped by a signal, as a paused machine or a stuck disk stops it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
from fix_farm import visible
from fix_scp import Peer, instance, serving
from fix_stack import hanging

from farm.database import connect
from farm.embedded import Stack
from farm.ledger import Ledger
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS
from farm.recipe.recipe import preset
from farm.settings import Settings
from scheduler.campaign import open_run
from scheduler.ingest import Committer, Spell, Spool, SpoolReceiver
from scheduler.ingest.commitment import LedgerKeeper
from workers.handler import Handler

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.ledger import Run
    from scheduler.campaign import Desk

pytestmark = pytest.mark.servers

PATIENCE = 0.5
_SLACK = 3.0
"""Seconds that a busy machine may take beyond the patience; without an end to the wait it would be for ever."""
_STORE = range(12)


@pytest.fixture
def servers(made_home: Path) -> Iterator[Stack]:
    """Return servers that no other test uses."""
    with Stack(Settings(home=made_home)) as stack:
        yield stack


@pytest.fixture
def settings(settings: Settings, servers: Stack) -> Settings:
    """Return settings for these servers."""
    return replace(settings, database_url=servers.database_url)


@dataclass(frozen=True, kw_only=True)
class Intake:
    """What receives for one run, and its server of instances."""

    desk: Desk
    run: Run
    spool: Spool
    receiver: SpoolReceiver
    keeper: LedgerKeeper
    postgres: int
    destination: Path

    def work(self, ledger: Ledger) -> None:
        """Do everything that can be fed, each instance alone."""
        handler = Handler(self.desk.settings)
        while parcels := ledger.feed(self.run.id, max_messages=100, max_instances=1, max_bytes=1 << 30):
            for parcel in parcels:
                handler.handle(parcel.generation)
        handler.close()


@pytest.fixture
def intake(desk: Desk, servers: Stack, tmp_path: Path) -> Iterator[Intake]:
    """Return the receiving side of a run."""
    spool = Spool(tmp_path / "spool")
    run = open_run(desk, spool.root, tmp_path / "destination", preset("basic"))
    spell = Spell()
    committer = Committer(spool, desk.session(PATIENCE, PATIENCE), run.id, spell, patience=PATIENCE)
    keeper = LedgerKeeper(desk.session(PATIENCE, PATIENCE), desk.sealer, run.id)
    assert servers.postgres_pid is not None
    yield Intake(
        desk=desk,
        run=run,
        spool=spool,
        receiver=SpoolReceiver(spool, committer, desk.sealer, run.source_key, spell),
        keeper=keeper,
        postgres=servers.postgres_pid,
        destination=tmp_path / "destination",
    )
    committer.close()
    keeper.close()
    spool.close()


async def _stored(peers: list[Peer]) -> list[int]:
    """Send the instance of each peer's number, all at once; return the statuses."""
    return await asyncio.gather(*(peer.store(*instance(number)) for number, peer in enumerate(peers)))


def test_every_waiting_peer_is_told_to_come_again_and_what_it_sends_then_is_stored_once(intake: Intake) -> None:
    """Modalities would wait until they give up by themselves, and their users with them; or store it twice."""

    async def scenario() -> None:
        async with serving(intake.receiver) as running:
            peers = [await Peer.associated(running.port) for _ in _STORE]
            assert await peers[0].store(*instance(100)) == SUCCESS
            with hanging(intake.postgres):
                for _ in range(3):  # the first hangs in a statement, the others while connecting
                    async with asyncio.timeout(PATIENCE + _SLACK):
                        assert await _stored(peers) == [OUT_OF_RESOURCES] * len(peers)
                assert await peers[0].echo() == SUCCESS
            for number, peer in enumerate(peers):
                async with asyncio.timeout(60):
                    while await peer.store(*instance(number)) != SUCCESS:
                        pass  # it has only just gone on
                await peer.release()

    asyncio.run(scenario())
    with connect(intake.desk.settings.database_url) as connection:
        ledger = Ledger(connection)
        intake.work(ledger)
        progress, known = ledger.progress(intake.run.id), set(ledger.spooled(intake.run.id))
    assert (progress.done, progress.quarantined) == (len(_STORE) + 1, 0)
    assert len(visible(intake.destination)) == progress.done
    files = {path.name for path in intake.spool.root.iterdir()}
    assert known <= files
    assert len(files - known) <= len(_STORE)  # no more than what was in the statement is in doubt


def test_storage_commitment_is_answered_while_the_ledger_hangs(intake: Intake) -> None:
    """Who asks whether instances are safe would get no answer, and all that ask later would wait behind."""

    async def scenario() -> None:
        assert await intake.keeper.holds((("1.2", "1.2.3"),)) == [False]
        with hanging(intake.postgres):
            for _ in range(2):
                with pytest.raises(Exception, match="database-away"):
                    async with asyncio.timeout(PATIENCE + _SLACK):
                        await intake.keeper.holds((("1.2", "1.2.3"),))
        async with asyncio.timeout(60):
            while True:
                with suppress(Exception):
                    assert await intake.keeper.holds((("1.2", "1.2.3"),)) == [False]
                    return

    asyncio.run(scenario())

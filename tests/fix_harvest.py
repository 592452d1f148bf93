"""A harvest without the programs around it: a list, a PACS, the ledger, and the real Harvester; no worker."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from fix_pacs import Described, write_list

from farm.database import connect
from farm.errors import FarmError
from farm.recipe.recipe import preset
from scheduler.campaign import Desk, open_run
from scheduler.harvest.export import Result
from scheduler.harvest.harvester import Harvester
from scheduler.harvest.pace import Clock
from scheduler.harvest.peers import Pacs, load
from scheduler.harvest.seals import HarvestSealer
from scheduler.harvest.service import HarvestOrder, _opened, results
from scheduler.ingest.service import spool_of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command would say."""

    harvest_id: int
    complete: bool
    error: FarmError | None
    rows: dict[str, Result]
    """By the first column of the list."""
    arrivals: int
    """How many instances the ledger has of the run."""
    came: int
    """How many of them this call has brought, those that came again included."""

    def verdicts(self) -> dict[str, str]:
        """Return the verdicts by row."""
        return {row: result.verdict for row, result in self.rows.items()}


@dataclass(frozen=True, kw_only=True)
class Harvests:
    """Harvests into one run."""

    desk: Desk
    folder: Path

    def pacs(self, port: int, title: str = "SCRIPTED", **facts: object) -> Pacs:
        """Return a PACS of small times."""
        return load(Described(port=port, title=title, facts=facts).write(self.folder / "pacs.toml"), "PACS")

    def connection(self) -> psycopg.Connection:
        """Return a connection of one's own to the database."""
        return connect(self.desk.settings.database_url)

    def arrived(self, uids: Sequence[str]) -> set[str]:
        """Return those of these instances that the ledger has."""
        keys = {self.desk.sealer.instance(uid.encode()): uid for uid in uids}
        with self.connection() as connection:
            rows = connection.execute("SELECT instance_key FROM ledger.arrivals").fetchall()
        return {keys[bytes(key)] for (key,) in rows if bytes(key) in keys}

    def __call__(  # noqa: PLR0913 - a list, a PACS, and what a test may change of the rest
        self,
        pacs: Pacs,
        rows: Sequence[str],
        *,
        header: str = "row_id,study_instance_uid,accession_number",
        clock: Clock | None = None,
        retry: bool = False,
        until: threading.Event | None = None,
        after: Callable[[], object] = lambda: None,
    ) -> Outcome:
        """Harvest a list until its end, or until something ends it; with `retry` what is not complete once more.

        `after` is called once `until` is set, before the harvest is stopped.
        """
        order = HarvestOrder(
            list=write_list(self.folder / "list.csv", rows, header),
            pacs=pacs,
            destination=self.folder / "out",
            recipe=preset("basic"),
        )
        desk = self.desk
        run = open_run(desk, spool_of(desk.settings, order.destination, order.recipe), order.destination, order.recipe)
        with closing(desk.session()) as session:
            harvest = _opened(desk, session, run, order)
            if retry:
                session.call(lambda tables: tables.harvests.retry(harvest.id))
            before = session.call(lambda tables: tables.ledger.progress(run.id).total)
            error = _worked(Harvester(desk, harvest, pacs, clock), until or threading.Event(), after)
            _, found = results(session.call(lambda tables: tables.harvests), HarvestSealer(desk.sealer), harvest.id)
            told = {result.carried[0]: result for result in found}
            arrivals = session.call(
                lambda tables: tables.connection.execute("SELECT count(*) FROM ledger.arrivals").fetchone()
            )
            assert arrivals is not None
            return Outcome(
                harvest_id=harvest.id,
                complete=session.call(lambda tables: tables.harvests.harvest(harvest.id)).state == "complete",
                error=error,
                rows=told,
                arrivals=arrivals[0],
                came=session.call(lambda tables: tables.ledger.progress(run.id).total) - before,
            )


def _worked(harvester: Harvester, until: threading.Event, after: Callable[[], object]) -> FarmError | None:
    """Let it work as a campaign would; return what ended it."""
    harvester.start()
    try:
        while harvester._thread.is_alive() and not until.is_set():
            harvester.check()
            harvester._thread.join(0.05)
        harvester.check()
    except FarmError as error:
        return error
    finally:
        after()
        harvester.stop()
    return None


@pytest.fixture
def harvests(desk: Desk, tmp_path: Path) -> Iterator[Harvests]:
    """Return what harvests; nothing may go on when a test is at its end."""
    folder = tmp_path / "harvest"
    folder.mkdir()
    yield Harvests(desk=replace(desk, settings=replace(desk.settings, patience_seconds=2)), folder=folder)
    assert not [one for one in threading.enumerate() if one.name in {"harvest", "committer"}]

"""A run whose instances are fetched from a PACS by a list: what `farm harvest` does."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from scheduler.campaign import Campaign, Desk, Summary, check_apart, desk_of, open_run
from scheduler.harvest import export, lists
from scheduler.harvest.harvester import Harvester
from scheduler.harvest.retrieving import peer_of
from scheduler.harvest.seals import HarvestSealer
from scheduler.harvest.verdicts import Verdict, together
from scheduler.ingest.service import spool_of
from scheduler.ingest.spool import Spool

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from farm.ledger import Progress, Run
    from farm.ledger.harvest_values import Harvest, HarvestProgress, RowResult
    from farm.ledger.harvests import Harvests
    from farm.queue import Session
    from farm.recipe.recipe import Recipe
    from farm.settings import Settings
    from scheduler.harvest.export import Result
    from scheduler.harvest.peers import Pacs

_BATCH: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvested:
    """How a harvest and its run stand when the command returns."""

    harvest_id: int
    summary: Summary
    progress: HarvestProgress
    state: str
    """That of the harvest; `complete`: every row and study has its verdict, whatever that is."""

    @property
    def complete(self) -> bool:
        """Tell whether every row and study has its verdict."""
        return self.state == "complete"


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestOrder:
    """What is to be fetched, from where, into what."""

    list: Path
    pacs: Pacs
    destination: Path
    recipe: Recipe
    priority: int = 0


def run_harvest(
    settings: Settings,
    order: HarvestOrder,
    *,
    on_opened: Callable[[Harvest, Sequence[Harvest]], None],
    on_progress: Callable[[Progress], None],
    stop: threading.Event,
) -> Harvested:
    """Fetch what a list wants and de-identify it; return when every row has its verdict, or `stop` is set.

    The same order again goes on where it was left, and asks for what is missing alone; a harvest that is paused or
    cancelled stays so, and only what has arrived goes on. `on_opened` is told the harvest, and which others of its PACS
    are active: what those want is fetched too.
    """
    peer_of(order.pacs)
    source = spool_of(settings, order.destination, order.recipe)
    check_apart(source, order.destination)
    with desk_of(settings, stop) as (desk, servers):
        run = open_run(desk, source, order.destination, order.recipe)
        Spool(source).close()
        with closing(desk.session()) as session:
            harvest = _opened(desk, session, run, order)
            on_opened(harvest, _others(session, harvest))
            harvester = Harvester(desk, harvest, order.pacs)
            with closing(Campaign(desk, servers, run, harvester)) as campaign:
                summary = campaign.run(on_progress, stop)
            state = session.call(lambda tables: tables.harvests.harvest(harvest.id)).state
            return Harvested(
                harvest_id=harvest.id,
                summary=summary,
                progress=session.call(lambda tables: tables.harvests.progress(harvest.id)),
                state=state,
            )


def _opened(desk: Desk, session: Session, run: Run, order: HarvestOrder) -> Harvest:
    """Open the harvest of a list, anew or again, and bring its rows into the ledger."""
    seals = HarvestSealer(desk.sealer)
    key = seals.list_key(lists.digest_of(order.list))
    with lists.opened(order.list) as (header, rows):
        sealed = seals.header(key, header)
        harvest = session.call(
            lambda tables: tables.harvests.open(
                run_id=run.id,
                pacs=order.pacs.name,
                list_key=key,
                sealed=sealed,
                priority=order.priority,
                name_key=seals.name_key(order.list.name),
            )
        )
        if harvest.listed_at is None:
            while batch := [seals.row(key, wanted) for wanted in islice(rows, _BATCH)]:
                session.call(lambda tables, batch=batch: tables.harvests.add_rows(harvest.id, batch))  # type: ignore[misc]
            session.call(lambda tables: tables.harvests.listed(harvest.id))
    return session.call(lambda tables: tables.harvests.harvest(harvest.id))


def _others(session: Session, harvest: Harvest) -> list[Harvest]:
    """Return the active harvests of the same PACS, those of the highest priority first."""
    found = session.call(lambda tables: tables.harvests.harvests())
    active = [one for one in found if one.pacs == harvest.pacs and one.state == "active" and one.id != harvest.id]
    return sorted(active, key=lambda one: (-one.priority, one.id))


def results(harvests: Harvests, seals: HarvestSealer, harvest_id: int) -> tuple[list[str], Iterator[Result]]:
    """Return the columns of a harvest's list, and what came of each row. Identifying."""
    harvest = harvests.harvest(harvest_id)
    header = seals.open_header(harvest.list_key, harvest.sealed)
    return header, (_result(harvests, seals, harvest, row) for row in harvests.results(harvest_id))


def _result(harvests: Harvests, seals: HarvestSealer, harvest: Harvest, row: RowResult) -> Result:
    wanted = seals.open_row(harvest.list_key, row.row, row.sealed)
    missing: list[str] = []
    for study in row.studies:
        found = harvests.missing_of(harvest.id, study.study_key)
        missing += [seals.open_instance(one).sop_instance for one in found]
    said = [study.verdict for study in row.studies] + ([row.verdict] if row.verdict else [])
    verdict = together(said)
    expected = [study.expected for study in row.studies if study.expected is not None]
    reasons = [row.reason or "", *(study.reason or "" for study in row.studies)]
    shown = f"short by {len(missing)}" if verdict is Verdict.SHORT else verdict.value
    return export.Result(
        carried=wanted.carried,
        verdict=shown,
        expected=sum(expected) if expected else None,
        missing=missing,
        reason="; ".join(dict.fromkeys(reason for reason in reasons if reason)),
    )

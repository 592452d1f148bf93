"""`farm verify`: reads a run's outputs again, and names what is not as it was released.

The ledger's rows are paged through and handed to a pool; then the destination is crawled, and every name in it looked
up in the ledger. Neither list is ever held as a whole. What is then done about it, if anything, is another matter: see
verify_requeue.py.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import account, screen
from farm.cli.again import again
from farm.cli.differences import Difference, Kind, Notes
from farm.cli.interrupt import draining
from farm.cli.options import jobs_option, json_option, settings_with
from farm.cli.pool import Pool
from farm.cli.progress import Display, Standing
from farm.cli.tables import database, keys, ledger_in
from farm.cli.verify_batch import Order
from farm.cli.verify_requeue import Repair
from farm.cli.verify_told import Ended, emit, tell
from farm.errors import FarmError
from farm.ledger.outputs import Outputs
from farm.queue import Place, Sealer
from farm.registry import Registry
from farm.sources import Counters, FolderSource
from farm.stores import Owner

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    from farm.cli.statuses import Status
    from farm.cli.verify_batch import Tally
    from farm.ledger import Run

_NAMES = 1000
"""Names that are looked up at a time."""


@click.command()
@click.argument("run_id", metavar="RUN", type=int)
@click.option("--requeue", is_flag=True, help="Have made again what is missing or damaged, where its source is there.")
@jobs_option
@json_option
def verify(*, run_id: int, requeue: bool, jobs: int | None, as_json: bool) -> Status:
    """Read every output of the run RUN again, and tell what is not as it was released.

    Each is there, as long as it was, has its digest, transfer syntax and SOP Instance UID, and every frame of it can be
    decoded; and no file lies in the destination that no run of the project has released. What differs is named by its
    number in the ledger and its path, and the exit status is 3 then.

    Nothing is written, but by --requeue: an instance whose output has other bytes than were released, or none, waits
    again, and what is there in its place is set aside among the orphans.
    """
    settings = settings_with(workers=jobs)
    sealing = keys(settings)
    sealer = Sealer(*sealing)
    screen.show_log("WARNING")
    with database(settings) as connection, Notes() as notes, Notes() as judged:
        ledger, outputs = ledger_in(connection, settings), Outputs(connection)
        run, registry = ledger.run(run_id), Registry(connection, sealing[1], sealing[0])
        project = registry.project_name(run.project_id)
        place = Place(key=run.destination_key, sealed=run.destination_sealed)
        order = Order(
            settings=settings,
            destination=Path(os.fsdecode(sealer.open_destination(place))),
            owner=Owner.of(project, run.recipe_digest, sealing[0]),
        )
        order.check()
        ended = carry_out(order, outputs, run, ledger.progress(run_id).done, notes)
        if requeue and not (ended.trouble or ended.interrupted):
            repair = Repair(order, run, outputs, sealer, registry)
            ended = replace(ended, fates=repair.of(notes, judged), again=again(connection, settings, run_id))
        (emit if as_json else tell)(run_id, ended, judged if ended.fates is not None else notes)
    if ended.trouble:
        screen.say(f"farm: {ended.trouble}")
    return ended.status


def carry_out(order: Order, outputs: Outputs, run: Run, total: int, notes: Notes) -> Ended:
    """Verify the outputs of a run, then the names in its destination, showing how far it is."""
    pool = Pool(order, order.settings.worker_count)
    tally, counters = pool.tally, Counters()
    trouble: FarmError | None = None
    unseen = (0, 0)
    with Display() as display, draining() as stop:

        def on_tally(tally: Tally) -> None:
            notes.add(tally.differences)
            tally.differences.clear()
            display.show(
                Standing(
                    total=total,
                    counted=True,
                    done=tally.sound,
                    quarantined=tally.different,
                    skipped=0,
                    word="different",
                )
            )

        try:
            trouble = pool.run(outputs.of(run.id), stop, on_tally)
            for strays in () if trouble else _strays(order, outputs, run, counters, stop):
                tally.kinds[Kind.UNCLAIMED] += len(strays)
                notes.add(strays)
            unseen = order.unseen()
        except FarmError as error:
            trouble = error
    left_out = account.left_out(counters.to_dict() | {"farm_folders": 0})
    interrupted = stop.is_set()
    return Ended(
        tally=tally,
        total=total,
        files=counters.files,
        unseen=unseen,
        left_out=left_out,
        trouble=trouble,
        interrupted=interrupted,
    )


def _strays(
    order: Order, outputs: Outputs, run: Run, counters: Counters, stop: threading.Event
) -> Iterator[list[Difference]]:
    """Yield the files that no run has released, page by page, until `stop` is set."""
    entries = FolderSource(order.destination).crawl(counters)
    while not stop.is_set() and (names := [entry.locator for entry in islice(entries, _NAMES)]):
        unclaimed = outputs.unclaimed(run.destination_id, names)
        yield [Difference(kind=Kind.UNCLAIMED, path=os.fsdecode(name)) for name in unclaimed]

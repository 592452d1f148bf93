"""`farm deid`: a file or a folder through the same pipeline in a pool of processes, without any server.

There is no ledger: the destination itself says what is done, so the whole source is worked again each time, and what is
there already is left as it is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.account import Account, left_out, show
from farm.cli.batch import Batch, Order, Tally, project_key
from farm.cli.interrupt import draining
from farm.cli.options import (
    PLACE,
    json_option,
    make_keys,
    project_option,
    recipe_option,
    settings_with,
    strict_option,
)
from farm.cli.pool import Pool
from farm.cli.progress import Display, Standing
from farm.cli.recipe_files import chosen_recipe
from farm.cli.statuses import Status, status_of
from farm.errors import BadRecipe, FarmError, Reason
from farm.sources import Counters, FolderSource
from farm.stores import LocalStore
from scheduler.campaign import check_apart

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX = ".dcm"
_STALE = 24 * 3600.0
"""Seconds after which a temporary file of an earlier command is surely nobody's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the work ended."""

    tally: Tally
    found: int
    left_out: dict[str, int]
    trouble: FarmError | None = None
    interrupted: bool = False

    @property
    def account(self) -> Account:
        """Return the account of the command."""
        tally = self.tally
        reasons = {reason.value: count for reason, count in tally.quarantined.items()}
        if tally.skipped:
            reasons[Reason.DUPLICATE.value] = tally.skipped
        return Account(
            total=self.found,
            done=tally.done,
            quarantined=tally.quarantined.total(),
            skipped=tally.skipped,
            waiting=self.found - tally.ended,
            pixels_at_risk=tally.at_risk,
            output_bytes=tally.output_bytes,
            reasons=reasons,
            left_out=self.left_out,
        )

    def status(self, *, strict: bool) -> Status:
        """Return the exit status."""
        if self.trouble:
            return status_of(self.trouble)
        if self.interrupted:
            return Status.INTERRUPTED
        return Status.QUARANTINED if strict and self.tally.quarantined else Status.DONE

    def to_dict(self) -> dict[str, object]:
        """Return what `--json` prints."""
        facts = {"interrupted": self.interrupted, "trouble": self.trouble and self.trouble.reason.value}
        return facts | self.account.to_dict()


@click.command()
@click.argument("source", metavar="SRC", type=PLACE)
@click.argument("destination", metavar="DST", type=PLACE)
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Processes.  [default: one for each processor]")
@recipe_option
@project_option
@strict_option
@json_option
def deid(  # noqa: PLR0913 - one for each option
    *,
    source: Path,
    destination: Path,
    jobs: int | None,
    recipe: str,
    project: str | None,
    strict: bool,
    as_json: bool,
) -> Status:
    """De-identify the folder SRC into the folder DST, or the file SRC into the folder or the .dcm file DST.

    No server is started and no ledger kept. What is in DST already is left as it is. The keys are those of `farm run`,
    so both give the same pseudonyms and UIDs.
    """
    settings = settings_with(workers=jobs, project=project)
    order = Order(settings=settings, source=source, destination=destination, recipe=chosen_recipe(recipe))
    ended = carry_out(order)
    if as_json:
        screen.emit(ended.to_dict())
    else:
        _tell(ended, order)
    if ended.trouble:
        screen.say(f"farm: {ended.trouble}")
    return ended.status(strict=strict or source.is_file())


def carry_out(order: Order) -> Ended:
    """Do the work of an order, showing how far it is."""
    source = FolderSource(order.source)
    source.check()
    single = order.source.is_file()
    exact = single and _names_a_file(order.destination)
    check_apart(order.source, order.destination)
    make_keys(order.settings, "project")
    screen.show_log("WARNING")
    if exact:
        return _alone(order, source, exact=True)
    store = LocalStore(order.destination)
    store.open(order.settings.project, order.recipe.digest)
    store.sweep(_STALE)
    return _alone(order, source, exact=False) if single else _all(order, source)


def _names_a_file(destination: Path) -> bool:
    """Tell whether DST for a single SRC is a file; otherwise it is a folder."""
    if destination.is_dir() or not destination.suffix:
        return False
    if destination.suffix.lower() != _SUFFIX:
        raise BadRecipe(Reason.BAD_DESTINATION, f"name a folder, or a file that ends in {_SUFFIX}")
    if not destination.parent.is_dir():
        raise BadRecipe(Reason.BAD_DESTINATION, "the folder of the file does not exist")
    return True


def _alone(order: Order, source: FolderSource, *, exact: bool) -> Ended:
    """Work a single file in this process."""
    counters = Counters()
    [entry] = source.crawl(counters)
    batch = Batch(order, LocalStore(order.destination), project_key(order.settings))
    tally = batch.run_into(entry, order.destination) if exact else batch.run([entry])
    for place in tally.faults:
        screen.say(f"farm: {Reason.INTERNAL_ERROR.value}: {place}")
    return Ended(tally=tally, found=1, left_out={})


def _all(order: Order, source: FolderSource) -> Ended:
    """Work a folder in a pool."""
    counters = Counters()
    pool = Pool(order, order.settings.worker_count)
    with Display() as display, draining() as stop:
        count = _Count(source) if display.moves else None

        def on_tally(tally: Tally) -> None:
            total = count.total if count else None
            display.show(_standing(tally, counters.files if total is None else total, counted=total is not None))

        trouble = pool.run(source.crawl(counters), stop, on_tally)
    counts = counters.to_dict()
    interrupted = stop.is_set()
    return Ended(
        tally=pool.tally, found=counters.files, left_out=left_out(counts), trouble=trouble, interrupted=interrupted
    )


class _Count:
    """Counts a source beside the work, so that a bar can tell the time that is left; it has no other use."""

    def __init__(self, source: FolderSource) -> None:
        self.total: int | None = None
        self._source = source
        threading.Thread(target=self._run, name="count", daemon=True).start()

    def _run(self) -> None:
        try:
            self.total = sum(1 for _ in self._source.crawl(Counters()))
        except FarmError:
            return


def _standing(tally: Tally, total: int, *, counted: bool) -> Standing:
    return Standing(
        total=total,
        counted=counted,
        done=tally.done,
        quarantined=tally.quarantined.total(),
        skipped=tally.skipped,
    )


def _tell(ended: Ended, order: Order) -> None:
    """Print how it ended."""
    tally = ended.tally
    if ended.trouble:
        title = "Not all is done. The same command does the rest."
    elif ended.interrupted:
        title = "Interrupted. The same command does the rest."
    elif tally.skipped and not tally.done:
        title = "There was nothing to do: what can be de-identified is there already."
    else:
        title = "Every instance is accounted for."
    show(title, ended.account)
    facts = [("Output", screen.shown(order.destination)), ("Key", screen.shown(order.settings.project_key_path))]
    screen.tell_rows(("", ""), facts)

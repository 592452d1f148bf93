"""`farm run` and `farm demo`: a folder through the whole farm, with a bar, a clean end and an account.

Everything that matters is in the ledger. The same command given again finds its run there, brings in what is new in the
source, goes on with what is left, and says so when nothing is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pydicom.data

from farm.cli import account, screen
from farm.cli.interrupt import draining
from farm.cli.keys import make_keys
from farm.cli.options import PLACE, json_option, project_option, recipe_option, settings_with, strict_option
from farm.cli.progress import Display, Standing
from farm.cli.recipe_files import chosen_recipe
from farm.cli.statuses import Status
from farm.errors import MEANING
from farm.recipe import DEFAULT
from farm.recipe.recipe import preset
from farm.sources import FolderSource
from scheduler.campaign import check_apart, run_folder

if TYPE_CHECKING:
    from farm.ledger import Progress
    from farm.recipe.recipe import Recipe
    from farm.settings import Settings
    from scheduler.campaign import Summary

_workers_option = click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
_DEMO_FOLDER = Path("demo-output")
_DEMO_PROJECT = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done, and with which settings."""

    settings: Settings
    source: Path
    destination: Path
    recipe: Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a run stands after this command's part in it."""

    summary: Summary
    interrupted: bool
    idle: bool
    """It was complete before, and the source holds nothing new."""

    @property
    def changed(self) -> int:
        """Return how many instances came in, or came again, because their source changed after their end."""
        return self.summary.left_out.get("changed", 0)

    @property
    def account(self) -> account.Account:
        """Return the account of the run."""
        return account.Account.of(self.summary.progress, self.summary.left_out)

    def status(self, *, strict: bool) -> Status:
        """Return the exit status."""
        if not self.summary.complete:
            if self.interrupted:
                return Status.INTERRUPTED
            return Status.ORDER if self.summary.progress.state == "stopped" else Status.AWAY
        return Status.QUARANTINED if strict and self.summary.progress.quarantined else Status.DONE

    def to_dict(self) -> dict[str, object]:
        """Return what `--json` prints."""
        trouble = self.summary.trouble
        facts = {"run": self.summary.run_id, "state": self.summary.progress.state, "new": self.summary.is_new}
        facts |= {"found": self.summary.found, "changed": self.changed}
        facts |= {"nothing_to_do": self.idle, "trouble": trouble and trouble.value}
        return facts | self.account.to_dict()


@click.command()
@click.argument("source", metavar="SRC", type=PLACE)
@click.argument("destination", metavar="DST", type=PLACE)
@recipe_option
@_workers_option
@project_option
@strict_option
@json_option
def run(  # noqa: PLR0913 - one for each option
    *,
    source: Path,
    destination: Path,
    recipe: str,
    workers: int | None,
    project: str | None,
    strict: bool,
    as_json: bool,
) -> Status:
    """De-identify the folder (or file) SRC into the folder DST.

    The same command again does what is missing: after an interruption, or when SRC has new files. Ctrl-C finishes what
    is in hand; a second Ctrl-C stops at once.
    """
    settings = settings_with(workers=workers, project=project)
    order = Order(settings=settings, source=source, destination=destination, recipe=chosen_recipe(recipe))
    ended = carry_out(order)
    if as_json:
        screen.emit(ended.to_dict())
    else:
        _tell(ended, order)
    return ended.status(strict=strict)


@click.command()
@click.option("--into", type=PLACE, help="Output folder.  [default: a new one in demo-output]")
@_workers_option
@json_option
def demo(*, into: Path | None, workers: int | None, as_json: bool) -> Status:
    """De-identify the real DICOM files that come with pydicom, some of them broken on purpose.

    They go through the whole farm: embedded Postgres and Valkey, Celery workers, manifest. It belongs to a project of
    its own, `demo`.
    """
    settings = settings_with(workers=workers, project=_DEMO_PROJECT)
    into = into or _DEMO_FOLDER / datetime.now().astimezone().strftime("%Y-%m-%d-%H%M%S")
    order = Order(settings=settings, source=demo_source(), destination=into, recipe=preset(DEFAULT))
    if not as_json:
        screen.say("pydicom's own test files go through the farm. The first time, its database is made.")
    ended = carry_out(order)
    if as_json:
        screen.emit(ended.to_dict())
    else:
        _tell(ended, order)
    return ended.status(strict=False)


def demo_source() -> Path:
    """Return the folder of the instances that pydicom ships for its own tests."""
    return Path(pydicom.data.__file__).parent / "test_files"


def carry_out(order: Order) -> Ended:
    """Run the order to its end, or as far as it gets, showing how far it is."""
    FolderSource(order.source).check()
    check_apart(order.source, order.destination)
    make_keys(order.settings, "project", "vault")
    screen.show_log("WARNING")
    first: list[Progress] = []
    with Display() as display, draining() as stop:

        def on_progress(progress: Progress) -> None:
            if not first:
                first.append(progress)
            display.show(Standing.of(progress))

        summary = run_folder(
            order.settings, order.source, order.destination, order.recipe, on_progress=on_progress, stop=stop
        )
    ended = Ended(summary=summary, interrupted=stop.is_set(), idle=False)
    brought = summary.is_new or summary.found or ended.changed
    if summary.complete:
        account.say_if_empty(summary.left_out.get("files", 0), summary.progress.total)
    was_over = not brought and first[0].ended == summary.progress.ended
    return replace(ended, idle=was_over and summary.complete)


def _tell(ended: Ended, order: Order) -> None:
    """Print how the run stands and what to do next."""
    run_id, progress = ended.summary.run_id, ended.summary.progress
    if ended.idle:
        title = f"Run {run_id} was complete already: there was nothing to do."
    elif ended.summary.complete:
        title = f"Run {run_id} is complete: every instance is accounted for."
    else:
        title = f"Run {run_id} is not complete. {_why(ended)}"
    account.show(title, ended.account)
    if ended.changed:
        screen.tell(f"  {ended.changed:,} came again: their source has changed since the run was done with it.")
    facts = [
        ("Output", screen.shown(order.destination)),
        ("Keys", screen.shown(order.settings.project_key_path.parent)),
    ]
    facts.append(("Look at", f"farm status {run_id}"))
    if progress.quarantined:
        facts.append(("", f"farm quarantine list {run_id}"))
    facts.append(("", f"farm manifest {run_id} --out manifest.jsonl"))
    screen.tell_rows(("", ""), facts)


def _why(ended: Ended) -> str:
    trouble = ended.summary.trouble
    if ended.interrupted:
        return "The same command goes on with it."
    if trouble is None:
        return f"It is {ended.summary.progress.state}."
    again = "" if ended.summary.progress.state == "stopped" else " The same command goes on with it."
    return f"{trouble.value}: {MEANING[trouble]}{again}"

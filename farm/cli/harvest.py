"""`farm harvest`: what a list wants of a PACS, fetched gently, proved complete, and through the farm as it comes."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import account, screen
from farm.cli.interrupt import draining
from farm.cli.options import PLACE, json_option, make_keys, project_option, recipe_option, settings_with
from farm.cli.progress import Display, Standing
from farm.cli.recipe_files import chosen_recipe
from farm.cli.statuses import Status
from farm.cli.tables import database, keys
from farm.errors import MEANING, BadRecipe, Reason
from farm.ledger.harvests import Harvests
from farm.queue import Sealer
from scheduler.harvest import export, verdicts
from scheduler.harvest.peers import chosen, load
from scheduler.harvest.seals import HarvestSealer
from scheduler.harvest.service import Harvested, HarvestOrder, results, run_harvest
from scheduler.harvest.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.ledger.harvest_values import HarvestProgress
    from farm.settings import Settings
    from scheduler.harvest.peers import Pacs

_pacs_file = click.option(
    "--pacs-file",
    type=PLACE,
    metavar="FILE",
    help="Where the PACS are described.  [default: pacs.toml under FARM_HOME]",
)
_HARVEST = click.argument("harvest_id", metavar="HARVEST", type=int)


@click.group(invoke_without_command=True)
@click.option(
    "--list", "wanted", metavar="FILE.csv", type=PLACE, help="What is wanted: a CSV file, a row for each study."
)
@click.option("--pacs", "name", metavar="NAME", help="The PACS to fetch from, by its name in the PACS file.")
@click.option("--out", "destination", metavar="DIR", type=PLACE, help="Output folder.")
@_pacs_file
@click.option(
    "--priority", type=int, default=0, show_default=True, help="Before other harvests of this PACS: the higher."
)
@click.option(
    "--result", "result", metavar="FILE.csv", type=PLACE, help="Write the result when it ends, as `export` does."
)
@recipe_option
@click.option("--workers", type=click.IntRange(min=1), help="Worker processes.")
@project_option
@json_option
@click.pass_context
def harvest(  # noqa: PLR0913 - one for each option
    context: click.Context,
    *,
    wanted: Path | None,
    name: str | None,
    destination: Path | None,
    pacs_file: Path | None,
    priority: int,
    result: Path | None,
    recipe: str,
    workers: int | None,
    project: str | None,
    as_json: bool,
) -> Status:
    """Fetch the studies of a list from a PACS and de-identify them into a folder.

    Columns of the list: study_instance_uid, accession_number, or patient_id with from and to (days); row_id and any
    other column are carried through to the result. Each row ends with a verdict; `complete` means that every instance
    that the PACS lists has arrived. The same command goes on where it was left and asks for what is missing alone.
    """
    if context.invoked_subcommand is not None:
        return Status.DONE
    if wanted is None or name is None or destination is None:
        raise click.UsageError("--list, --pacs and --out are needed")
    settings = settings_with(workers=workers, project=project)
    order = HarvestOrder(
        list=wanted,
        pacs=_pacs_of(settings, pacs_file, name),
        destination=destination,
        recipe=chosen_recipe(recipe),
        priority=priority,
    )
    make_keys(settings, "project", "vault")
    screen.show_log("WARNING")
    with Display() as display, draining() as stop:
        ended = run_harvest(
            settings, order, on_progress=lambda progress: display.show(Standing.of(progress)), stop=stop
        )
    if result is not None:
        _export(settings, ended.harvest_id, result)
    if as_json:
        screen.emit(_facts(ended))
    else:
        _tell(ended, destination)
    if not ended.complete:
        return Status.INTERRUPTED if stop.is_set() else Status.AWAY
    return Status.DONE


@harvest.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show the harvests."""
    with _harvests() as harvests:
        found = harvests.harvests()
        progress = {one.id: harvests.progress(one.id) for one in found}
    if as_json:
        shown = [
            {"harvest": one.id, "run": one.run_id, "pacs": one.pacs, "state": one.state, "priority": one.priority}
            | {"verdicts": _verdicts(progress[one.id])}
            for one in found
        ]
        screen.emit({"harvests": shown})
        return
    if not found:
        screen.tell("There is no harvest yet.")
        return
    rows = [
        (one.id, one.pacs, one.state, one.priority, one.run_id, _counted(_verdicts(progress[one.id]))) for one in found
    ]
    screen.tell_rows(("Harvest", "PACS", "State", "Priority", "Run", "Verdicts"), rows, right=(0, 3, 4))


@harvest.command()
@_HARVEST
def pause(*, harvest_id: int) -> None:
    """Fetch nothing more for a harvest; what is on its way comes to its end."""
    with _harvests() as harvests:
        harvests.harvest(harvest_id)
        harvests.pause(harvest_id)
    screen.tell(f"Harvest {harvest_id} is paused.")


@harvest.command()
@_HARVEST
def resume(*, harvest_id: int) -> None:
    """Let a paused harvest go on."""
    with _harvests() as harvests:
        harvests.harvest(harvest_id)
        harvests.resume(harvest_id)
    screen.tell(f"Harvest {harvest_id} goes on, where its command runs.")


@harvest.command()
@_HARVEST
@click.argument("number", type=int)
def priority(*, harvest_id: int, number: int) -> None:
    """Put a harvest before all of its PACS that have a lower priority."""
    with _harvests() as harvests:
        harvests.harvest(harvest_id)
        harvests.prioritise(harvest_id, number)
    screen.tell(f"Harvest {harvest_id} has priority {number}.")


@harvest.command()
@_HARVEST
@click.option(
    "--verdict",
    "only",
    multiple=True,
    type=click.Choice([one.value for one in Verdict if one not in {Verdict.PENDING, Verdict.COMPLETE}]),
    help="Only what ended so; repeat.  [default: all but complete]",
)
def retry(*, harvest_id: int, only: tuple[str, ...]) -> None:
    """Ask again for what is not complete; only missing instances are fetched."""
    with _harvests() as harvests:
        harvests.harvest(harvest_id)
        freed = harvests.retry(harvest_id, list(only) or None)
    screen.tell(f"{freed:,} rows and studies are asked for again by the harvest's command.")


@harvest.command(name="export")
@_HARVEST
@click.option(
    "--out", "result", metavar="FILE.csv", type=PLACE, required=True, help="The result; - for standard output."
)
def export_(*, harvest_id: int, result: Path) -> None:
    """Write the result: the rows and columns of the list, and what came of each.

    It is as identifying as the list was, and names missing instances by their UIDs.
    """
    count = _export(settings_with(), harvest_id, result)
    screen.say(f"{count:,} rows")


def _export(settings: Settings, harvest_id: int, result: Path) -> int:
    to_screen = str(result) == "-"
    with database(settings, make=True) as connection:
        harvests = Harvests(connection)
        harvests.harvest(harvest_id)  # that there is none is said before a key is missed
        header, rows = results(harvests, HarvestSealer(Sealer(*keys(settings))), harvest_id)
        try:
            opened = nullcontext(sys.stdout) if to_screen else result.open("w", encoding="utf-8", newline="")
        except OSError:
            raise BadRecipe(Reason.BAD_DESTINATION, "The result cannot be written there") from None
        if not to_screen:
            result.chmod(0o600)
        with opened as out:
            return export.write(out, header, rows)


def _pacs_of(settings: Settings, file: Path | None, name: str) -> Pacs:
    return chosen(load(file or settings.home / "pacs.toml"), name)


@contextmanager
def _harvests() -> Iterator[Harvests]:
    """Give the harvests; a look or an order needs no broker."""
    with database(settings_with(), make=True) as connection:
        yield Harvests(connection)


def _verdicts(progress: HarvestProgress) -> dict[str, int]:
    """Return the verdicts of rows that have one of their own, and of studies."""
    both = {verdict: count for verdict, count in progress.rows.items() if verdict != "found"}
    for verdict, count in progress.studies.items():
        both[verdict] = both.get(verdict, 0) + count
    return both


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{found[one]:,} {one.value}" for one in Verdict if found.get(one))


def _facts(ended: Harvested) -> dict[str, object]:
    trouble = ended.summary.trouble
    facts: dict[str, object] = {"harvest": ended.harvest_id, "run": ended.summary.run_id, "complete": ended.complete}
    facts |= {"rows": ended.progress.rows, "studies": ended.progress.studies, "trouble": trouble and trouble.value}
    return facts | account.Account.of(ended.summary.progress, {}).to_dict()


def _tell(ended: Harvested, destination: Path) -> None:
    title = f"Harvest {ended.harvest_id} is {'complete' if ended.complete else 'not complete'}: "
    title += "every row has its verdict." if ended.complete else "the same command goes on with it."
    screen.tell(title, "bold")
    rows = [
        (f"  {verdict.value}", count, verdicts.MEANING[verdict])
        for verdict in Verdict
        if (count := _verdicts(ended.progress).get(verdict))
    ]
    screen.tell_rows(("", "", ""), rows, right=(1,))
    if ended.summary.trouble:
        screen.tell(f"  {ended.summary.trouble.value}: {MEANING[ended.summary.trouble]}")
    account.show(f"Run {ended.summary.run_id}", account.Account.of(ended.summary.progress, {}))
    facts = [
        ("Output", screen.shown(destination)),
        ("Result", f"farm harvest export {ended.harvest_id} --out result.csv"),
        ("Again", f"farm harvest retry {ended.harvest_id}, then the same command"),
    ]
    screen.tell_rows(("", ""), facts)

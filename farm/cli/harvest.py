"""`farm harvest`: what a list wants of a PACS, fetched gently, proved complete, and through the farm as it comes."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import account, screen
from farm.cli.harvest_named import meant
from farm.cli.harvest_window import Opening
from farm.cli.interrupt import draining
from farm.cli.keys import make_keys
from farm.cli.options import PLACE, json_option, project_option, recipe_option, settings_with
from farm.cli.progress import Display, Standing
from farm.cli.recipe_files import chosen_recipe
from farm.cli.statuses import Status
from farm.cli.tables import database, keys
from farm.errors import MEANING, BadRecipe, Reason
from farm.ledger.harvest_values import HELD_BACK
from farm.ledger.harvests import Harvests
from farm.queue import Sealer
from scheduler.harvest import export, verdicts
from scheduler.harvest.peers import load
from scheduler.harvest.seals import HarvestSealer
from scheduler.harvest.service import Harvested, HarvestOrder, results, run_harvest
from scheduler.harvest.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from farm.ledger.harvest_values import Harvest, HarvestProgress
    from farm.settings import Settings

_pacs_file = click.option(
    "--pacs-file",
    type=PLACE,
    metavar="FILE",
    help="Where the PACS are described.  [default: pacs.toml under FARM_HOME]",
)
_HARVEST = click.argument("name", metavar="HARVEST")
_ENDED = {
    "complete": "is complete: every row has its verdict.",
    "paused": "is paused: `farm harvest resume {id}` lets it go on.",
    "cancelled": "is cancelled: nothing more is fetched for it.",
}


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
        pacs=load(pacs_file or settings.home / "pacs.toml", name),
        destination=destination,
        recipe=chosen_recipe(recipe),
        priority=priority,
    )
    opening = Opening(order.pacs.open_windows())
    make_keys(settings, "project", "vault")
    screen.show_log("WARNING")
    with Display() as display, draining() as stop:
        ended = run_harvest(
            settings,
            order,
            on_opened=_say_others,
            on_progress=lambda progress: display.show(Standing.of(progress, note=opening.words())),
            stop=stop,
        )
    if result is not None:
        _export(settings, str(ended.harvest_id), result)
    if as_json:
        screen.emit(_facts(ended, opening))
    else:
        _tell(ended, destination, opening)
    if ended.state == "cancelled":
        return Status.ORDER
    if not ended.complete:
        return Status.INTERRUPTED if stop.is_set() else Status.AWAY
    return Status.DONE


def _say_others(opened: Harvest, others: Sequence[Harvest]) -> None:
    """Say what else is fetched from the PACS: a list that was corrected is another one, and the wrong one goes on."""
    if not others:
        return
    numbers = ", ".join(str(one.id) for one in others)
    screen.say(f"This is harvest {opened.id}. Active too, and fetched from this PACS: {numbers}.")
    screen.say("`farm harvest cancel HARVEST` ends one for good.")


@harvest.command(name="list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show the harvests."""
    with database(settings_with(), make=True) as connection:
        harvests = Harvests(connection)
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
@json_option
def pause(*, name: str, as_json: bool) -> None:
    """Fetch nothing more for a harvest until it is resumed; what is on its way comes to its end.

    HARVEST is its number, or the name of its PACS or of its list where only one can be meant.
    """
    with _harvests(name, "active") as (harvests, one):
        _tell_state(harvests.pause(one.id), as_json=as_json)


@harvest.command()
@_HARVEST
@json_option
def resume(*, name: str, as_json: bool) -> None:
    """Let a harvest go on that is paused or cancelled."""
    with _harvests(name, "paused", "cancelled") as (harvests, one):
        _tell_state(harvests.resume(one.id), as_json=as_json)


@harvest.command()
@_HARVEST
@json_option
def cancel(*, name: str, as_json: bool) -> None:
    """Fetch nothing more for a harvest, for good; what is on its way is given up within seconds.

    What has arrived stays and goes through the farm; `farm harvest export` shows for which rows that is.
    """
    with _harvests(name, "active", "paused") as (harvests, one):
        _tell_state(harvests.cancel(one.id), as_json=as_json)


@harvest.command()
@_HARVEST
@click.argument("number", type=int)
@json_option
def priority(*, name: str, number: int, as_json: bool) -> None:
    """Put a harvest before all of its PACS that have a lower priority."""
    with _harvests(name, "active", "paused") as (harvests, one):
        harvests.prioritise(one.id, number)
    if as_json:
        screen.emit({"harvest": one.id, "state": one.state, "priority": number})
    else:
        screen.tell(f"Harvest {one.id} has priority {number}.")


@harvest.command()
@_HARVEST
@click.option(
    "--verdict",
    "only",
    multiple=True,
    type=click.Choice([one.value for one in Verdict if one not in {Verdict.PENDING, Verdict.COMPLETE}]),
    help="Only what ended so; repeat.  [default: all but complete]",
)
@json_option
def retry(*, name: str, only: tuple[str, ...], as_json: bool) -> None:
    """Ask again for what is not complete, or came damaged; nothing else is fetched."""
    with _harvests(name) as (harvests, wanted):
        freed = harvests.retry(wanted.id, list(only) or None)
        one = harvests.harvest(wanted.id)
    if as_json:
        screen.emit({"harvest": one.id, "state": one.state, "asked_again": freed})
        return
    screen.tell(f"{freed:,} rows and studies are asked for again by the harvest's command.")
    if one.state in HELD_BACK:
        _tell_state(one, as_json=False)


@harvest.command(name="export")
@_HARVEST
@click.option(
    "--out", "result", metavar="FILE.csv", type=PLACE, required=True, help="The result; - for standard output."
)
@json_option
def export_(*, name: str, result: Path, as_json: bool) -> None:
    """Write the result: the rows and columns of the list, and what came of each.

    It is as identifying as the list was, and names missing instances by their UIDs.
    """
    if as_json and str(result) == "-":
        raise click.UsageError("--json prints on standard output too: name a file.")
    harvest_id, count = _export(settings_with(), name, result)
    if as_json:
        screen.emit({"harvest": harvest_id, "rows": count})
    else:
        screen.say(f"{count:,} rows")


def _export(settings: Settings, name: str, result: Path) -> tuple[int, int]:
    """Write the result; return the harvest's number, and how many rows it has."""
    to_screen = str(result) == "-"
    with database(settings, make=True) as connection:
        harvests = Harvests(connection)
        one = meant(harvests, settings, name)  # that there is none is said before a key is missed
        header, rows = results(harvests, HarvestSealer(Sealer(*keys(settings))), one.id)
        try:
            opened = nullcontext(sys.stdout) if to_screen else result.open("w", encoding="utf-8", newline="")
        except OSError:
            raise BadRecipe(Reason.BAD_DESTINATION, "The result cannot be written there") from None
        if not to_screen:
            result.chmod(0o600)
        with opened as out:
            return one.id, export.write(out, header, rows)


@contextmanager
def _harvests(name: str, *states: str) -> Iterator[tuple[Harvests, Harvest]]:
    """Give the harvests, and the one that is meant: an order needs no broker."""
    settings = settings_with()
    with database(settings, make=True) as connection:
        harvests = Harvests(connection)
        yield harvests, meant(harvests, settings, name, states)


def _tell_state(one: Harvest, *, as_json: bool) -> None:
    """Say how a harvest stands after an order, which may have come too late."""
    if as_json:
        screen.emit({"harvest": one.id, "state": one.state})
        return
    screen.tell(f"Harvest {one.id} {_ENDED.get(one.state, 'goes on, where its command runs.').format(id=one.id)}")


def _verdicts(progress: HarvestProgress) -> dict[str, int]:
    """Return the verdicts of rows that have one of their own, and of studies."""
    both = {verdict: count for verdict, count in progress.rows.items() if verdict != "found"}
    for verdict, count in progress.studies.items():
        both[verdict] = both.get(verdict, 0) + count
    return both


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{found[one]:,} {one.value}" for one in Verdict if found.get(one))


def _facts(ended: Harvested, opening: Opening) -> dict[str, object]:
    trouble, opens = ended.summary.trouble, opening.at()
    facts: dict[str, object] = {"harvest": ended.harvest_id, "run": ended.summary.run_id, "complete": ended.complete}
    facts |= {"state": ended.state, "trouble": trouble and trouble.value, "opens_at": opens and opens.isoformat()}
    facts |= {"rows": ended.progress.rows, "studies": ended.progress.studies}
    return facts | account.Account.of(ended.summary.progress, {}).to_dict()


def _tell(ended: Harvested, destination: Path, opening: Opening) -> None:
    otherwise = "is not complete: the same command goes on with it."
    if (words := opening.words()) and not ended.complete:
        otherwise += f" {words[0].upper()}{words[1:]}."
    screen.tell(f"Harvest {ended.harvest_id} {_ENDED.get(ended.state, otherwise).format(id=ended.harvest_id)}", "bold")
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

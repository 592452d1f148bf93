"""`farm status`, `farm quarantine` and `farm manifest`: what the ledger says, whether a run is going on or not.

Nothing here says where an instance came from, as that is sealed: but for `farm quarantine show --reveal`, which needs
the vault key and a reason, and is in the audit before it opens anything. So is `farm quarantine release`, by which a
person lets go what the release gate held back for review.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.account import Account, show
from farm.cli.options import json_option, settings_with
from farm.cli.tables import actor, database, keys
from farm.errors import MEANING, BadRecipe, Reason
from farm.ledger import Ledger
from farm.ledger.kinds import kinds
from farm.queue import Place, Sealer
from farm.recipe import tags
from farm.registry import Registry, project_names
from farm.stores.manifest import write_jsonl
from farm.stores.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import datetime

    import psycopg

    from farm.ledger import InQuarantine, Run

_PAGE = 1000
_WRITERS: dict[str, Callable[[Iterable[Mapping[str, object]], Path], int]] = {
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
_run_argument = click.argument("run_id", metavar="[RUN]", type=int, required=False)
_reason_option = click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]), metavar="CODE", help="Only this reason code."
)


_AGAIN = {"folder": "run", "scp": "scp", "harvest": "harvest"}
"""The command that brings instances in, and works what waits, by a run's kind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Standing:
    """A run, and what is told of it."""

    run: Run
    project: str
    kind: str | None
    """`folder`, `scp` or `harvest`; None: nothing has come yet."""
    account: Account

    @property
    def recipe(self) -> str:
        """The recipe's name, as it says itself."""
        return str(json.loads(self.run.recipe_json).get("name") or "")


@contextmanager
def _ledger() -> Iterator[Ledger]:
    """Give the ledger of the settings."""
    with _opened() as (_, ledger):
        yield ledger


@contextmanager
def _opened() -> Iterator[tuple[psycopg.Connection, Ledger]]:
    """Give the database of the settings, and the ledger in it."""
    settings = settings_with()
    with database(settings) as connection:
        yield connection, Ledger(connection, max_attempts=settings.max_attempts)


def _newest(ledger: Ledger, run_id: int | None) -> Run:
    """Return the run of this number, or the newest."""
    if run_id is not None:
        return ledger.run(run_id)
    for run in ledger.runs():
        return run
    raise BadRecipe(Reason.BAD_OPTION, "there is no run yet")


@click.command()
@_run_argument
@json_option
def status(*, run_id: int | None, as_json: bool) -> None:
    """Show how the run RUN stands, or all runs."""
    with _opened() as (connection, ledger):
        runs = ledger.runs() if run_id is None else [ledger.run(run_id)]
        standing = _standing(connection, ledger, runs)
        studies = ledger.studies(runs[0].id) if run_id is not None else None
    if studies is not None and not studies.open + studies.closed:
        studies = None  # nothing came from peers
    if as_json and run_id is None:
        screen.emit({"runs": [_facts(one) for one in standing]})
    elif as_json:
        arrived = studies and {"studies": {"open": studies.open, "closed": studies.closed}}
        screen.emit(_facts(standing[0]) | (arrived or {}))
    elif run_id is None:
        _show_all(standing)
    else:
        [one] = standing
        show(f"Run {one.run.id} is {one.run.state}.{_trouble(one.run)}", one.account)
        screen.tell(f"  project {one.project}, recipe {one.recipe}{f', kind {one.kind}' if one.kind else ''}")
        if studies:
            screen.tell(f"  studies: {studies.closed:,} closed, {studies.open:,} open, of those that came from peers")


def _standing(connection: psycopg.Connection, ledger: Ledger, runs: list[Run]) -> list[_Standing]:
    projects, known = project_names(connection), kinds(connection, [run.id for run in runs])
    return [
        _Standing(
            run=run,
            project=projects.get(run.project_id, ""),
            kind=known.get(run.id),
            account=Account.of(ledger.progress(run.id), run.counters),
        )
        for run in runs
    ]


def _facts(one: _Standing) -> dict[str, object]:
    run = one.run
    return {
        "run": run.id,
        "project": one.project,
        "kind": one.kind,
        "recipe": one.recipe,
        "state": run.state,
        "trouble": run.trouble,
        "recipe_digest": run.recipe_digest,
        "created_at": run.created_at.isoformat(),
        "finished_at": run.finished_at and run.finished_at.isoformat(),
    } | one.account.to_dict()


def _trouble(run: Run) -> str:
    return f" {run.trouble}: {MEANING[Reason(run.trouble)]}" if run.trouble else ""


def _show_all(standing: list[_Standing]) -> None:
    facts = ("run", "project", "kind", "recipe", "state", "begun")
    head = (*facts, "total", "done", "quarantined", "already there", "waiting", "trouble")
    rows = [
        (
            str(one.run.id),
            one.project,
            one.kind or "",
            one.recipe,
            one.run.state,
            _minute(one.run.created_at),
            one.account.total,
            one.account.done,
            one.account.quarantined,
            one.account.skipped,
            one.account.waiting,
            one.run.trouble or "",
        )
        for one in standing
    ]
    if rows:
        screen.tell_rows(head, rows, right=range(6, 11))
    else:
        screen.tell("There is no run yet.")


def _minute(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


@click.group()
def quarantine() -> None:
    """List what is quarantined, look at one instance, try it again, or let it go."""


@quarantine.command("list")
@_run_argument
@_reason_option
@json_option
def list_(*, run_id: int | None, reason: str | None, as_json: bool) -> None:
    """List what is quarantined in the run RUN (the newest if it is not given)."""
    with _ledger() as ledger:
        run = _newest(ledger, run_id)
        rows = [row for row in _quarantined(ledger, run.id) if reason is None or row.reason == reason]
    if as_json:
        screen.emit({"run": run.id, "quarantined": [_row(row) for row in rows]})
    elif rows:
        head = ("instance", "reason", "attempts", "bytes", "ended", "meaning")
        lines = [
            (str(row.id), row.reason, row.attempts, row.size, _minute(row.finished_at), MEANING[Reason(row.reason)])
            for row in rows[:_PAGE]
        ]
        screen.tell_rows(head, lines, right=(0, 2, 3))
        if len(rows) > _PAGE:
            screen.tell(f"... and {len(rows) - _PAGE:,} more: --json and the manifest have them all.")
    else:
        screen.tell(f"Nothing is quarantined in run {run.id}.")


def _quarantined(ledger: Ledger, run_id: int) -> Iterator[InQuarantine]:
    after_id = 0
    while page := ledger.quarantine(run_id, limit=_PAGE, after_id=after_id):
        yield from page
        after_id = page[-1].id


def _row(row: InQuarantine) -> dict[str, object]:
    found = {} if row.findings is None else {"findings": row.findings}
    return {
        "instance": row.id,
        "reason": row.reason,
        "attempts": row.attempts,
        "bytes": row.size,
        "finished_at": row.finished_at.isoformat(),
    } | found


@quarantine.command("show")
@click.argument("instance", metavar="ID", type=int)
@click.option("--reveal", is_flag=True, help="Say where it came from; needs the vault key, and is audited.")
@click.option("--why", metavar="TEXT", help="The reason, for the audit.")
@json_option
def show_one(*, instance: int, reveal: bool, why: str | None, as_json: bool) -> None:
    """Show why the instance ID is quarantined."""
    if reveal != bool(why and why.strip()):
        raise click.UsageError("--reveal and --why belong together.")
    settings = settings_with()
    sealing = keys(settings) if reveal else None
    with database(settings) as connection:
        run, row = _sought(Ledger(connection, max_attempts=settings.max_attempts), instance)
        facts = {"run": run.id} | _row(row)
        if sealing and why:
            project_key, vault = sealing
            registry = Registry(connection, vault, project_key)
            registry.project_name(run.project_id)
            fields: dict[str, str | int] = {"instance": row.id, "why": why}
            registry.note(run.project_id, actor(), "quarantine look-up", fields)
            facts["source"] = _origin(Sealer(project_key, vault), run, row)
    if as_json:
        screen.emit(facts)
        return
    facts.pop("findings", None)
    lines = [
        (name.replace("_", " "), screen.shown(Path(str(v))) if name == "source" else v) for name, v in facts.items()
    ]
    screen.tell_rows(("", ""), [*lines, ("meaning", MEANING[Reason(row.reason)]), *_found(row)])


def _found(row: InQuarantine) -> Iterator[tuple[str, str]]:
    """Yield a line for each finding of the release gate: its kind, and the attribute of the output it stands in."""
    if row.findings is None:
        return
    places = row.findings["places"]
    for place in places:
        written = [*place["path"], place["tag"]]
        where = "/".join(tags.named(tags.read(tag, "")) for tag in written if tag)
        yield "found", f"{place['kind']} in {where or 'the instance as a whole'}"
    if row.findings["count"] > len(places):
        yield "found", f"and {row.findings['count'] - len(places):,} more"


@quarantine.command()
@click.argument("instance", metavar="ID", type=int)
@click.option("--why", metavar="TEXT", required=True, help="Why it may go, for the audit.")
@json_option
def release(*, instance: int, why: str, as_json: bool) -> None:
    """Let go what was found in the instance ID for review, once you have looked at it.

    The instance is tried again. It is released if the source, the recipe and what is found are the same as now; the
    manifest then counts under `waived` what was let go. It needs the vault key, and is in the audit first.
    """
    if not why.strip():
        raise click.UsageError("--why wants a reason.")
    settings = settings_with()
    project_key, vault = keys(settings)
    with database(settings) as connection:
        ledger = Ledger(connection, max_attempts=settings.max_attempts)
        run, row = _sought(ledger, instance)
        if row.reason != Reason.GATE_REVIEW or row.findings is None:
            raise BadRecipe(Reason.BAD_OPTION, "only what is held back for review can be let go", instance=instance)
        registry = Registry(connection, vault, project_key)
        registry.project_name(run.project_id)
        told: dict[str, str | int] = {"instance": row.id, "findings": row.findings["count"], "why": why}
        registry.note(run.project_id, actor(), "quarantine release", told)
        _origin(Sealer(project_key, vault), run, row)  # `BadRecipe` for holders of another key
        if not ledger.release(run.id, row.id):
            raise BadRecipe(Reason.BAD_OPTION, "the instance is not quarantined any more", instance=instance)
    if as_json:
        screen.emit({"run": run.id, "released": row.id})
    else:
        screen.tell(f"Instance {row.id} of run {run.id} is back at work: give its `farm run` again, or `farm up`.")


def _sought(ledger: Ledger, instance: int) -> tuple[Run, InQuarantine]:
    """Return a quarantined instance by its id, and its run."""
    for run in ledger.runs():
        for row in ledger.quarantine(run.id, limit=1, after_id=instance - 1):
            if row.id == instance:
                return run, row
    raise BadRecipe(Reason.BAD_OPTION, "no such instance is quarantined", instance=instance)


def _origin(sealer: Sealer, run: Run, row: InQuarantine) -> str:
    """Return the path from which an instance was read."""
    root = os.fsdecode(sealer.open_source(Place(key=run.source_key, sealed=run.source_sealed)))
    locator = os.fsdecode(sealer.open_locator(Place(key=row.locator_key, sealed=row.locator_sealed)))
    # The locator of a source that is a single file is that file's name.
    single = Path(root).name == locator and not Path(root).is_dir()
    return root if single else str(Path(root) / locator)


@quarantine.command()
@_run_argument
@_reason_option
@json_option
def retry(*, run_id: int | None, reason: str | None, as_json: bool) -> None:
    """Put what is quarantined in the run RUN (the newest if it is not given) back to work.

    The work itself is done by the same `farm run`, `scp` or `harvest` given again, or by `farm up` while it is on.
    """
    with _opened() as (connection, ledger):
        run = _newest(ledger, run_id)
        kind = kinds(connection, [run.id]).get(run.id, "folder")
        count = ledger.retry(run.id, reason=None if reason is None else Reason(reason))
    if as_json:
        screen.emit({"run": run.id, "retried": count})
    elif count:
        again = f"give its `farm {_AGAIN[kind]}` again, or `farm up`"
        screen.tell(f"{count:,} instances of run {run.id} are back at work: {again}.")
    else:
        screen.tell(f"Nothing{' of that reason' if reason else ''} is quarantined in run {run.id}.")


@click.command()
@click.argument("run_id", metavar="RUN", type=int)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    required=True,
    help="The file to write; `-`: standard output.",
)
@click.option("--format", "format_", type=click.Choice(list(_WRITERS)), help="[default: by the file's suffix]")
@json_option
def manifest(*, run_id: int, out: Path, format_: str | None, as_json: bool) -> None:
    """Write one row for each instance of the run RUN that has ended, as JSON Lines or Parquet."""
    printed = str(out) == "-"
    write = _WRITERS.get(format_ or ("jsonl" if printed else out.suffix.removeprefix(".").lower()))
    if write is None:
        raise click.UsageError(f"Name a file that ends in .{' or .'.join(_WRITERS)}, or give --format.")
    if printed and as_json:
        raise click.UsageError("--json prints on standard output too: name a file.")
    if not out.parent.is_dir():
        raise click.UsageError("The folder of --out does not exist.")
    with _ledger() as ledger:
        ledger.run(run_id)
        if printed:
            _print(lambda path: write(ledger.manifest(run_id), path))
            return
        count = write(ledger.manifest(run_id), out)
    if as_json:
        screen.emit({"run": run_id, "rows": count})
    else:
        screen.tell(f"{count:,} rows in {screen.shown(out)}")


def _print(write: Callable[[Path], int]) -> None:
    """Print what is written to a file, all of it or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "manifest"
        write(path)
        with path.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)

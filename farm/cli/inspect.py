"""`farm status`, `farm quarantine` and `farm manifest`: what the ledger says, whether a run is going on or not.

Nothing here says where an instance came from, as that is sealed: but for `farm quarantine show --reveal`, which needs
the vault key and a reason, and is in the audit before it opens anything.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.account import Account, show
from farm.cli.options import json_option, settings_with
from farm.cli.tables import actor, database, keys
from farm.errors import MEANING, BadRecipe, Reason
from farm.ledger import Ledger
from farm.queue import Place, Sealer
from farm.registry import Registry
from farm.stores.manifest import write_jsonl
from farm.stores.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from farm.ledger import InQuarantine, Run

_PAGE = 1000
_WRITERS = {"jsonl": write_jsonl, "parquet": write_parquet}
_run_argument = click.argument("run_id", metavar="[RUN]", type=int, required=False)
_reason_option = click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]), metavar="CODE", help="Only this reason code."
)


@contextmanager
def _ledger() -> Iterator[Ledger]:
    """Give the ledger of the settings."""
    settings = settings_with()
    with database(settings) as connection:
        yield Ledger(connection, max_attempts=settings.max_attempts)


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
    with _ledger() as ledger:
        runs = ledger.runs() if run_id is None else [ledger.run(run_id)]
        standing = [(run, Account.of(ledger.progress(run.id), run.counters)) for run in runs]
        studies = ledger.studies(runs[0].id) if run_id is not None else None
    if studies is not None and not studies.open + studies.closed:
        studies = None  # nothing came from peers
    if as_json and run_id is None:
        screen.emit({"runs": [_facts(run) | account.to_dict() for run, account in standing]})
    elif as_json:
        arrived = studies and {"studies": {"open": studies.open, "closed": studies.closed}}
        screen.emit(_facts(standing[0][0]) | standing[0][1].to_dict() | (arrived or {}))
    elif run_id is None:
        _show_all(standing)
    else:
        run, account = standing[0]
        show(f"Run {run.id} is {run.state}.{_trouble(run)}", account)
        if studies:
            screen.tell(f"  studies: {studies.closed:,} closed, {studies.open:,} open, of those that came from peers")


def _facts(run: Run) -> dict[str, object]:
    return {
        "run": run.id,
        "state": run.state,
        "trouble": run.trouble,
        "recipe_digest": run.recipe_digest,
        "created_at": run.created_at.isoformat(),
        "finished_at": run.finished_at and run.finished_at.isoformat(),
    }


def _trouble(run: Run) -> str:
    return f" {run.trouble}: {MEANING[Reason(run.trouble)]}" if run.trouble else ""


def _show_all(standing: list[tuple[Run, Account]]) -> None:
    head = ("run", "state", "begun", "total", "done", "quarantined", "already there", "waiting", "trouble")
    rows = [
        (
            str(run.id),
            run.state,
            _minute(run.created_at),
            account.total,
            account.done,
            account.quarantined,
            account.skipped,
            account.waiting,
            run.trouble or "",
        )
        for run, account in standing
    ]
    if rows:
        screen.tell_rows(head, rows, right=range(3, 8))
    else:
        screen.tell("There is no run yet.")


def _minute(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M")


@click.group()
def quarantine() -> None:
    """List what is quarantined, look at one instance, or try it again."""


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
    return {
        "instance": row.id,
        "reason": row.reason,
        "attempts": row.attempts,
        "bytes": row.size,
        "finished_at": row.finished_at.isoformat(),
    }


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
    lines = [
        (name.replace("_", " "), screen.shown(Path(str(v))) if name == "source" else v) for name, v in facts.items()
    ]
    screen.tell_rows(("", ""), [*lines, ("meaning", MEANING[Reason(row.reason)])])


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

    The work itself is done by the same `farm run` given again, or by `farm up` while it is on.
    """
    with _ledger() as ledger:
        run = _newest(ledger, run_id)
        count = ledger.retry(run.id, reason=None if reason is None else Reason(reason))
    if as_json:
        screen.emit({"run": run.id, "retried": count})
    else:
        screen.tell(f"{count:,} instances of run {run.id} are back at work: give its `farm run` again, or `farm up`.")


@click.command()
@click.argument("run_id", metavar="RUN", type=int)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write.")
@click.option("--format", "format_", type=click.Choice(list(_WRITERS)), help="[default: by the file's suffix]")
@json_option
def manifest(*, run_id: int, out: Path, format_: str | None, as_json: bool) -> None:
    """Write one row for each instance of the run RUN that has ended, as JSON Lines or Parquet."""
    write = _WRITERS.get(format_ or out.suffix.removeprefix(".").lower())
    if write is None:
        raise click.UsageError(f"Name a file that ends in .{' or .'.join(_WRITERS)}, or give --format.")
    if not out.parent.is_dir():
        raise click.UsageError("The folder of --out does not exist.")
    with _ledger() as ledger:
        ledger.run(run_id)
        count = write(ledger.manifest(run_id), out)
    if as_json:
        screen.emit({"run": run_id, "rows": count})
    else:
        screen.tell(f"{count:,} rows in {screen.shown(out)}")

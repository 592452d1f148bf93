"""`farm status`, `farm quarantine` and `farm manifest`: what the ledger says, whether a run is going on or not.

Only Postgres is needed for that. If it does not run, it is started for the time of the look; so a look never meets the
broker. Nothing here says where an instance came from: that is sealed.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.account import Account, show
from farm.cli.options import json_option, settings_with
from farm.database import connect, migrate
from farm.embedded import Stack
from farm.errors import MEANING, BadRecipe, Reason
from farm.ledger import Ledger
from farm.stores.manifest import write_jsonl
from farm.stores.parquet import write_parquet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from farm.ledger import InQuarantine, Run

_PAGE = 1000
_NOT_WANTED = "redis://not-wanted"
_WRITERS = {"jsonl": write_jsonl, "parquet": write_parquet}
_run_argument = click.argument("run_id", metavar="[RUN]", type=int, required=False)
_reason_option = click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]), metavar="CODE", help="Only this reason code."
)


@contextmanager
def _ledger() -> Iterator[Ledger]:
    """Give the ledger of the settings."""
    settings = settings_with()
    if settings.database_url:
        with connect(settings.database_url) as connection:
            yield Ledger(connection, max_attempts=settings.max_attempts)
        return
    if not (settings.home / "embedded").is_dir():
        raise BadRecipe(Reason.BAD_OPTION, "there is no run yet in FARM_HOME")
    with Stack(replace(settings, broker_url=_NOT_WANTED)) as stack, connect(stack.database_url) as connection:
        for package in ("farm.registry", "farm.ledger"):
            migrate(connection, package, post=False)  # the first run may have ended before it made them
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
    if as_json and run_id is None:
        screen.emit({"runs": [_facts(run) | account.to_dict() for run, account in standing]})
    elif as_json:
        screen.emit(_facts(standing[0][0]) | standing[0][1].to_dict())
    elif run_id is None:
        _show_all(standing)
    else:
        run, account = standing[0]
        show(f"Run {run.id} is {run.state}.{_trouble(run)}", account)


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
    """List what is quarantined, or try it again."""


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

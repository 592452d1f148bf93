"""`farm quarantine`: what was held back and why, and what a person may do about it.

Nothing here says where an instance came from, as that is sealed: but for `--reveal`, which needs the vault key and a
reason, and is in the audit before it opens anything. So is `farm quarantine release`, by which a person lets go what
the release gate held back for review.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.again import again
from farm.cli.options import PLACE, json_option, settings_with
from farm.cli.origins import Origins, reveal_option, why_option
from farm.cli.tables import database, keys, ledger_in
from farm.errors import MEANING, BadRecipe, Reason
from farm.recipe import tags

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from farm.ledger import InQuarantine, Ledger, Run

_PAGE = 1000
_run_argument = click.argument("run_id", metavar="[RUN]", type=int, required=False)
_reason_option = click.option(
    "--reason", type=click.Choice([reason.value for reason in Reason]), metavar="CODE", help="Only this reason code."
)


@click.group()
def quarantine() -> None:
    """List what is quarantined, look at one instance, try it again, or let it go."""


@quarantine.command("list")
@_run_argument
@_reason_option
@reveal_option
@why_option
@click.option("--out", type=PLACE, metavar="FILE", help="Where to write what --reveal says; it must not exist.")
@json_option
def list_(  # noqa: PLR0913 - one for each option
    *, run_id: int | None, reason: str | None, reveal: bool, why: str | None, out: Path | None, as_json: bool
) -> None:
    """List what is quarantined in the run RUN (the newest if it is not given).

    With --reveal the paths of the sources are written to a file, for your eyes alone (mode 0600).
    """
    if len({reveal, bool(why and why.strip()), out is not None}) > 1:
        raise click.UsageError("--reveal, --why and --out belong together.")
    settings = settings_with()
    sealing = keys(settings) if reveal else None  # that there is none is said before a server is started
    with database(settings) as connection:
        ledger = ledger_in(connection, settings)
        run = _newest(ledger, run_id)
        rows = (row for row in _quarantined(ledger, run.id) if reason is None or row.reason == reason)
        if sealing is None or out is None or why is None:
            _show(run, list(rows), as_json=as_json)
            return
        origins = Origins.of(connection, *sealing)
        origins.note(run, "quarantine exported", {"run": run.id, "reason": reason or "", "why": why})
        count = origins.write(run, rows, out)
    if as_json:
        screen.emit({"run": run.id, "sources": count})
    else:
        screen.tell(f"{count:,} sources in {screen.shown(out)}: paths may say who they are.")


def _show(run: Run, rows: list[InQuarantine], *, as_json: bool) -> None:
    if as_json:
        screen.emit({"run": run.id, "quarantined": [_row(row) for row in rows]})
    elif rows:
        head = ("instance", "reason", "attempts", "bytes", "ended")
        lines = [
            (str(row.id), row.reason, row.attempts, row.size, screen.minute(row.finished_at))
            for row in islice(rows, _PAGE)
        ]
        screen.tell_rows(head, lines, right=(0, 2, 3))
        if len(rows) > _PAGE:
            screen.tell(f"... and {len(rows) - _PAGE:,} more: --json and the manifest have them all.")
        counts = Counter(row.reason for row in rows).most_common()
        screen.tell("")
        screen.tell_rows(("", "", ""), [(code, count, MEANING[Reason(code)]) for code, count in counts], right=(1,))
        screen.tell("")
        screen.tell_rows(("", ""), _next_steps(run, {code for code, _ in counts}))
    else:
        screen.tell(f"Nothing is quarantined in run {run.id}.")


def _next_steps(run: Run, reasons: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yield what people may do next, and the command for it."""
    yield "Look at one", "farm quarantine show ID"
    yield "See the sources", f"farm quarantine list {run.id} --reveal --why TEXT --out FILE"
    yield "Try again", f"farm quarantine retry {run.id} --reason CODE"
    if Reason.GATE_REVIEW in reasons:
        yield "Let one go", "farm quarantine release ID --why TEXT"


def _newest(ledger: Ledger, run_id: int | None) -> Run:
    """Return the run of this number, or the newest."""
    if run_id is not None:
        return ledger.run(run_id)
    for run in ledger.runs():
        return run
    raise BadRecipe(Reason.BAD_OPTION, "there is no run yet")


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
@reveal_option
@why_option
@json_option
def show_one(*, instance: int, reveal: bool, why: str | None, as_json: bool) -> None:
    """Show why the instance ID is quarantined."""
    if reveal != bool(why and why.strip()):
        raise click.UsageError("--reveal and --why belong together.")
    settings = settings_with()
    sealing = keys(settings) if reveal else None
    with database(settings) as connection:
        origins = Origins.of(connection, *sealing) if sealing else None
        run, row = _sought(ledger_in(connection, settings), instance)
        facts = {"run": run.id} | _row(row)
        if origins and why:
            origins.note(run, "quarantine look-up", {"instance": row.id, "why": why})
            facts["source"] = origins.of_one(run, row)
    if as_json:
        screen.emit(facts)
        return
    lines = [(name, facts[name]) for name in ("run", "instance", "reason", "attempts", "bytes")]
    lines.append(("ended", screen.minute(row.finished_at)))
    if source := facts.get("source"):
        lines.append(("source", screen.shown(Path(str(source)))))
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
    sealing = keys(settings)
    with database(settings) as connection:
        origins, ledger = Origins.of(connection, *sealing), ledger_in(connection, settings)
        run, row = _sought(ledger, instance)
        if row.reason != Reason.GATE_REVIEW or row.findings is None:
            raise BadRecipe(Reason.BAD_OPTION, "only what is held back for review can be let go", instance=instance)
        told: dict[str, str | int] = {"instance": row.id, "findings": row.findings["count"], "why": why}
        origins.note(run, "quarantine release", told)
        origins.of_one(run, row)  # `BadRecipe` for holders of another key
        if not ledger.release(run.id, row.id):
            raise BadRecipe(Reason.BAD_OPTION, "the instance is not quarantined any more", instance=instance)
        next_step = again(connection, settings, run.id)
    if as_json:
        screen.emit({"run": run.id, "released": row.id})
    else:
        screen.tell(f"Instance {row.id} of run {run.id} is back at work: {next_step}.")


def _sought(ledger: Ledger, instance: int) -> tuple[Run, InQuarantine]:
    """Return a quarantined instance by its id, and its run."""
    for run in ledger.runs():
        for row in ledger.quarantine(run.id, limit=1, after_id=instance - 1):
            if row.id == instance:
                return run, row
    raise BadRecipe(Reason.BAD_OPTION, "no such instance is quarantined", instance=instance)


@quarantine.command()
@_run_argument
@_reason_option
@json_option
def retry(*, run_id: int | None, reason: str | None, as_json: bool) -> None:
    """Put what is quarantined in the run RUN (the newest if it is not given) back to work.

    The work itself is done by the same `farm run`, `scp` or `harvest` given again, or by `farm up` while it is on.
    """
    settings = settings_with()
    with database(settings) as connection:
        ledger = ledger_in(connection, settings)
        run = _newest(ledger, run_id)
        count = ledger.retry(run.id, reason=None if reason is None else Reason(reason))
        next_step = again(connection, settings, run.id)
    if as_json:
        screen.emit({"run": run.id, "retried": count})
    elif count:
        screen.tell(f"{count:,} instances of run {run.id} are back at work: {next_step}.")
    else:
        screen.tell(f"Nothing{' of that reason' if reason else ''} is quarantined in run {run.id}.")

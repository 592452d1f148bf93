"""`farm status`: how the runs stand, whether one is going on or not.

The ledger's state of a run says what it waits for. Whether somebody is at it shows by who attends it: a run that was
left by a killed command is told from one that is at work. That what has come is at its end does not make a run complete
for people while a harvest has not fetched all that its list wants: then its state is that of the harvest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from farm.cli import screen
from farm.cli.account import Account, show
from farm.cli.again import again
from farm.cli.options import json_option, settings_with
from farm.cli.tables import database, ledger_in
from farm.errors import MEANING, Reason
from farm.ledger.harvests import Harvests
from farm.ledger.kinds import kinds
from farm.registry import project_names

if TYPE_CHECKING:
    import psycopg

    from farm.ledger import Ledger, Run, Studies

_COMING = {"folder": "crawling", "scp": "receiving", "harvest": "harvesting"}
"""What is called `crawling` in the ledger, by a run's kind, while somebody is at it."""
_OF_HARVESTS = ("active", "paused", "complete", "cancelled")
"""The states of harvests: of several the first speaks for their run, and what is cancelled only for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A run, and what is told of it."""

    run: Run
    project: str
    kind: str | None
    """`folder`, `scp` or `harvest`; None: nothing has come yet."""
    attended: bool
    """Somebody brings instances in, or is ready to."""
    moving: bool
    """Some are on their way to a worker, or in one's hands."""
    harvest: str | None
    """The state of a harvest that has not fetched all: active, paused or cancelled. None: there is none like that."""
    account: Account

    @property
    def recipe(self) -> str:
        """The recipe's name, as it says itself."""
        return str(json.loads(self.run.recipe_json).get("name") or "")

    @property
    def state(self) -> str:
        """The state, in a word for people."""
        if self.known not in {"crawling", "active"}:
            return self.known
        if self.attended:
            return _COMING.get(self.kind or "", self.run.state)
        if self.harvest == "active" or (
            self.run.state == "crawling" and (self.account.waiting or self.kind == "folder")
        ):
            return "interrupted"
        return ("active" if self.moving else "waiting") if self.account.waiting else self.harvest or "idle"

    @property
    def known(self) -> str:
        """The state as the ledger knows it, that of the harvest included."""
        return self.harvest or "complete" if self.run.state == "complete" else self.run.state

    @property
    def left(self) -> bool:
        """Tell whether something waits, and nobody is at it."""
        return self.state in {"interrupted", "waiting"} and not self.moving

    def to_dict(self) -> dict[str, object]:
        """Return what `--json` prints."""
        run = self.run
        return {
            "run": run.id,
            "project": self.project,
            "kind": self.kind,
            "recipe": self.recipe,
            "state": self.known,
            "attended": self.attended,
            "trouble": run.trouble,
            "recipe_digest": run.recipe_digest,
            "created_at": run.created_at.isoformat(),
            "finished_at": run.finished_at and run.finished_at.isoformat(),
        } | self.account.to_dict()


@click.command()
@click.argument("run_id", metavar="[RUN]", type=int, required=False)
@json_option
def status(*, run_id: int | None, as_json: bool) -> None:
    """Show how the run RUN stands, or all runs."""
    settings = settings_with()
    with database(settings) as connection:
        ledger = ledger_in(connection, settings)
        runs = ledger.runs() if run_id is None else [ledger.run(run_id)]
        standing = _standing(connection, ledger, runs)
        studies = None if run_id is None else ledger.studies(run_id)
        fetches = any(one.harvest == "active" for one in standing)
        next_step = "" if run_id is None else again(connection, settings, run_id, fetches=fetches)
    if studies is not None and not studies.open + studies.closed:
        studies = None  # nothing came from peers
    if as_json and run_id is None:
        screen.emit({"runs": [one.to_dict() for one in standing]})
    elif as_json:
        arrived = studies and {"studies": {"open": studies.open, "closed": studies.closed}}
        screen.emit(standing[0].to_dict() | (arrived or {}))
    elif run_id is None:
        _show_all(standing)
    else:
        _show_one(standing[0], studies, next_step)


def _standing(connection: psycopg.Connection, ledger: Ledger, runs: list[Run]) -> list[Standing]:
    ids = [run.id for run in runs]
    projects, known, busy = project_names(connection), kinds(connection, ids), ledger.attended(ids)
    harvests = _harvests(connection)
    return [
        Standing(
            run=run,
            project=projects.get(run.project_id, ""),
            kind=known.get(run.id),
            attended=run.id in busy,
            moving=progress.queued + progress.leased > 0,
            harvest=harvests.get(run.id),
            account=Account.of(progress, run.counters),
        )
        for run, progress in ((run, ledger.progress(run.id)) for run in runs)
    ]


def _harvests(connection: psycopg.Connection) -> dict[int, str]:
    """Return, by run, the state of its harvest where that has not fetched all."""
    states: dict[int, str] = {}
    for one in Harvests(connection).harvests():
        states[one.run_id] = min(one.state, states.get(one.run_id, one.state), key=_OF_HARVESTS.index)
    return {run_id: state for run_id, state in states.items() if state != "complete"}


def _show_one(one: Standing, studies: Studies | None, next_step: str) -> None:
    trouble = f" {one.run.trouble}: {MEANING[Reason(one.run.trouble)]}" if one.run.trouble else ""
    show(f"Run {one.run.id} is {one.state}.{trouble}", one.account)
    screen.tell(f"  project {one.project}, recipe {one.recipe}{f', kind {one.kind}' if one.kind else ''}")
    if studies:
        screen.tell(f"  studies: {studies.closed:,} closed, {studies.open:,} open, of those that came from peers")
    if one.left:
        screen.tell(f"To go on: {next_step}.")
    if one.account.quarantined:
        screen.tell(f"Look at  farm quarantine list {one.run.id}")


def _show_all(standing: list[Standing]) -> None:
    if not standing:
        screen.tell("There is no run yet.")
        return
    columns: dict[str, list[object]] = {
        "run": [str(one.run.id) for one in standing],
        "project": [one.project for one in standing],
        "kind": [one.kind or "" for one in standing],
        "recipe": [one.recipe for one in standing],
        "state": [one.state for one in standing],
        "begun": [screen.minute(one.run.created_at) for one in standing],
        "done": [one.account.done for one in standing],
        "quarantined": [one.account.quarantined for one in standing],
    }
    # What no run has costs the width of a screen.
    more: dict[str, list[object]] = {
        "already there": [one.account.skipped for one in standing],
        "waiting": [one.account.waiting for one in standing],
        "trouble": [one.run.trouble or "" for one in standing],
    }
    columns |= {name: values for name, values in more.items() if any(values)}
    numbers = [at for at, values in enumerate(columns.values()) if isinstance(values[0], int)]
    screen.tell_rows(tuple(columns), list(zip(*columns.values(), strict=True)), right=numbers)

"""What does the work on a run whose instances wait again: the command that brought them in, or `farm up`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.cli.kept_up import whoever_is_up
from farm.ledger.kinds import kinds

if TYPE_CHECKING:
    import psycopg

    from farm.settings import Settings

_AGAIN = {"folder": "run", "scp": "scp", "harvest": "harvest"}
"""The command that brings instances in, and works what waits, by a run's kind."""


def again(connection: psycopg.Connection, settings: Settings, run_id: int, *, fetches: bool = False) -> str:
    """Return, in words for people, what to do about what waits in a run; `fetches`: its harvest has to go on.

    `farm up` does the instances that have come, and harvests nothing.
    """
    if fetches:
        return "give its `farm harvest` again"
    if whoever_is_up(settings.home):
        return "`farm up` is on, and does them"
    kind = kinds(connection, [run_id]).get(run_id, "folder")
    return f"give its `farm {_AGAIN[kind]}` again, or `farm up`"

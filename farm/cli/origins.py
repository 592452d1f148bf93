"""Where quarantined instances come from: told to holders of the vault key, for a reason that is on record first.

Two keys that fit are not taken for granted: the project is asked for first, which knows the key it was begun with.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import click

from farm.cli.kept_apart import written
from farm.cli.tables import actor
from farm.queue import Place, Sealer
from farm.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

    from farm.deid.keys import ProjectKey
    from farm.ledger import InQuarantine, Run
    from farm.registry import Vault

COLUMNS = ("instance", "reason", "source")

reveal_option = click.option(
    "--reveal", is_flag=True, help="Say where it came from; needs the vault key, and is audited."
)
why_option = click.option("--why", metavar="TEXT", help="The reason, for the audit.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origins:
    """The way back to sources, whose every use is on record."""

    sealer: Sealer
    registry: Registry

    @classmethod
    def of(cls, connection: psycopg.Connection, project_key: ProjectKey, vault: Vault) -> Self:
        """Return the way back."""
        return cls(sealer=Sealer(project_key, vault), registry=Registry(connection, vault, project_key))

    def note(self, run: Run, action: str, fields: dict[str, str | int]) -> None:
        """Put an action on record; raise `BadRecipe` for holders of another project key."""
        self.registry.project_name(run.project_id)
        self.registry.note(run.project_id, actor(), action, fields)

    def of_one(self, run: Run, row: InQuarantine) -> str:
        """Return the path from which an instance was read."""
        return _joined(self._root(run), self._locator(row))

    def write(self, run: Run, rows: Iterable[InQuarantine], path: Path) -> int:
        """Write the paths of many into a new file; return how many."""
        root, count = self._root(run), 0
        with written(path) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(COLUMNS)
            for row in rows:
                writer.writerow((row.id, row.reason, _joined(root, self._locator(row))))
                count += 1
        return count

    def _root(self, run: Run) -> str:
        return os.fsdecode(self.sealer.open_source(Place(key=run.source_key, sealed=run.source_sealed)))

    def _locator(self, row: InQuarantine) -> str:
        return os.fsdecode(self.sealer.open_locator(Place(key=row.locator_key, sealed=row.locator_sealed)))


def _joined(root: str, locator: str) -> str:
    # The locator of a source that is a single file is that file's name.
    single = Path(root).name == locator and not Path(root).is_dir()
    return root if single else str(Path(root) / locator)

"""What a worker has to know about a run, looked up once and kept: recipe, source, destination, mapping."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.deid.keys import ProjectKey
from farm.pipeline import KeyedMapping
from farm.queue import Place, Sealer
from farm.recipe.recipe import Recipe
from farm.registry import Vault, load_or_create
from farm.sources import FolderSource
from farm.stores import LocalStore, Owner

if TYPE_CHECKING:
    from farm.ledger import Run
    from farm.pipeline import Mapping
    from farm.queue import Tables
    from farm.registry import Registry
    from farm.settings import Settings
    from farm.stores import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """Everything that is the same for all parcels of a run."""

    run_id: int
    project_id: int
    recipe: Recipe
    mapping: Mapping | None
    """What the recipe's scheme derives; None: the registry has to be asked for each parcel."""
    source: FolderSource
    store: Store


class Contexts:
    """The keys, and the contexts of the runs that this process has met."""

    def __init__(self, settings: Settings) -> None:
        self.key = ProjectKey(load_or_create(settings.project_key_path, "project").secret)
        self.vault = Vault(load_or_create(settings.vault_key_path, "vault").secret)
        self.sealer = Sealer(self.key, self.vault)
        self._known: dict[int, RunContext] = {}

    def of(self, run_id: int, tables: Tables) -> RunContext:
        """Return the context of a run; raise `BadRecipe` if this worker cannot carry it out."""
        if run_id not in self._known:
            self._known[run_id] = self._made(tables.ledger.run(run_id), tables.registry)
        return self._known[run_id]

    def _made(self, run: Run, registry: Registry) -> RunContext:
        # All workers of a home share the queues: a run's project is the run's, not the worker's own.
        project = registry.project_name(run.project_id)
        recipe = Recipe.from_json(run.recipe_json)
        source = self.sealer.open_source(Place(key=run.source_key, sealed=run.source_sealed))
        destination = self.sealer.open_destination(Place(key=run.destination_key, sealed=run.destination_sealed))
        store = LocalStore(Path(os.fsdecode(destination)))
        store.open(Owner.of(project, recipe.digest, self.key), create=False)
        return RunContext(
            run_id=run.id,
            project_id=run.project_id,
            recipe=recipe,
            mapping=None if recipe.scheme.in_registry else KeyedMapping(self.key, recipe.scheme),
            source=FolderSource(Path(os.fsdecode(source))),
            store=store,
        )

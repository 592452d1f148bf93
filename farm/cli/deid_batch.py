"""What `farm deid` does with instances: the pipeline, by a recipe and the project's key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.cli.batch import Batch, FolderOrder
from farm.cli.tally import Made
from farm.deid.keys import ProjectKey
from farm.pipeline import KeyedMapping, process
from farm.registry.keyfiles import load
from farm.stores import LocalStore, Owner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.dicom.elements import Data
    from farm.recipe.recipe import Recipe
    from farm.sources import Entry
    from farm.stores import Segment

AT_RISK = "pixels at risk"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order(FolderOrder):
    """A source that is to be de-identified."""

    recipe: Recipe

    def owner(self) -> Owner:
        """Return to whom the destination belongs."""
        return Owner.of(self.settings.project, self.recipe.digest, self.key())

    def key(self) -> ProjectKey:
        """Read the project key."""
        return ProjectKey(load(self.settings.project_key_path, "project"))

    def begun(self, threads: int = 0) -> Batch:
        """Return the work of a process."""
        return Deidentifying(self, threads)


class Deidentifying(Batch):
    """De-identifies instances, in a process whose codecs have one of their own."""

    def __init__(self, order: Order, threads: int = 0) -> None:
        """Take an order that is opened, and threads for the codecs."""
        settings, store = order.settings, LocalStore(order.destination)
        if not order.exact:
            store.open(order.owner(), create=False)
        super().__init__(settings, order.source, store, threads)
        self._recipe = order.recipe
        self._mapping = KeyedMapping(order.key(), order.recipe.scheme)

    def processed(self, entry: Entry, data: Data) -> tuple[Sequence[Segment], Made]:
        """Return the de-identified instance."""
        product = process(data, self._recipe, self._mapping, self.limits, transcoder=self.transcoder)
        report = product.report
        made = Made(
            path=report.path,
            digest=report.output_digest,
            input_bytes=entry.size,
            output_bytes=report.output_bytes,
            told=(AT_RISK,) if report.pixels_at_risk else (),
        )
        return product.segments, made

"""What `farm verify --requeue` does about outputs that are not as they were released: it has them made again.

The instance goes back to the backlog, and what is there in its place to the orphans. That is done only where the same
can come out again: the source is there as it was, by its digest, and what was released is not. Both are looked at while
the outcome is locked, so that of two who repair the second finds that there is nothing to do. The file goes first: a
command that is killed in between leaves an output that is missing, and is found to be so.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from blake3 import blake3

from farm.cli.differences import Fate
from farm.cli.tables import actor
from farm.errors import BadInput, Reason, Unavailable
from farm.queue import Place
from farm.sources import FolderSource
from farm.stores import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.cli.differences import Notes
    from farm.cli.verify_batch import Order
    from farm.ledger import Run
    from farm.ledger.outputs import Origin, Outputs
    from farm.queue import Sealer
    from farm.registry import Registry

_BATCH: Final = 500
"""Differences that are seen to in one transaction."""


class Repair:
    """Knows where a run's outputs lie, what they were made from, and who notes what is done about them."""

    def __init__(self, order: Order, run: Run, outputs: Outputs, sealer: Sealer, registry: Registry) -> None:
        """Take a destination that was checked, and the two tables on one connection."""
        self._order, self._run, self._outputs = order, run, outputs
        self._sealer, self._registry = sealer, registry
        self._store = LocalStore(order.destination)
        root = sealer.open_source(Place(key=run.source_key, sealed=run.source_sealed))
        self._source = FolderSource(Path(os.fsdecode(root)))

    def of(self, found: Notes, told: Notes) -> Counter[Fate]:
        """Have made again what can be; note each difference with its fate, and return how many outputs have which.

        Raise `Unavailable` where the destination is away: what was seen to before is at work then.
        """
        fates: dict[int, Fate] = {}
        counts: Counter[Fate] = Counter()
        differences = iter(found)
        while batch := list(islice(differences, _BATCH)):
            last, fates = fates, self._fates({one.instance for one in batch if one.instance is not None})
            counts.update(fate for instance, fate in fates.items() if instance not in last)
            told.add(replace(one, fate=fates.get(one.instance or 0)) for one in batch)
        return counts

    def _fates(self, instances: Iterable[int]) -> dict[int, Fate]:
        """Put back those outputs that can be made again; return what becomes of each."""
        wanted = list(instances)
        with self._outputs.held(self._run.id, wanted) as origins:
            # What is not done any more has been put back already.
            fates = dict.fromkeys(wanted, Fate.REQUEUED) | {one.id: self._fate(one) for one in origins}
            self._order.check()  # a destination that has gone away has lost nothing
            again = [one for one in origins if fates[one.id] is Fate.REQUEUED]
            if again:
                self._put_back(again)
        return fates

    def _put_back(self, again: list[Origin]) -> None:
        fields: dict[str, str | int] = {"run": self._run.id, "outputs": len(again)}
        self._registry.note(self._run.project_id, actor(), "outputs requeued", fields)
        store = self._store
        for one in again:
            store.set_aside(one.path)
        self._outputs.requeue(self._run.id, [one.id for one in again])

    def _fate(self, one: Origin) -> Fate:
        """Decide about one output by what is there now, of it and of its source."""
        try:
            if self._store.digest_of(one.path) == one.output_digest:
                return Fate.AS_RELEASED
        except Unavailable:
            pass  # it cannot be read, and a name can be taken from it all the same
        locator = self._sealer.open_locator(Place(key=one.locator_key, sealed=one.locator_sealed))
        limit = self._order.settings.read_limit_bytes
        try:
            with self._source.read(locator, size=one.size, mtime_ns=one.mtime_ns, limit=limit) as data:
                is_same = blake3(data).hexdigest() == one.input_digest
        except BadInput as error:
            return Fate.SOURCE_CHANGED if error.reason is Reason.SOURCE_CHANGED else Fate.SOURCE_GONE
        except Unavailable:
            return Fate.SOURCE_GONE
        return Fate.REQUEUED if is_same else Fate.SOURCE_CHANGED

"""What `farm deid` does with some instances of a source: the farm's publish protocol without servers.

read, process, stage each -> sync all -> release each -> settle all

It is the way of a parcel in `workers.handler`, with the destination in the ledger's place: a name that is taken by the
same bytes is an instance that is there already, a name taken by other bytes is a conflict. So the command may be given
again at any time, and may be killed at any time.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.cli import exactly
from farm.deid.keys import ProjectKey
from farm.errors import BadInput, FarmError, Reason, place_of
from farm.pipeline import KeyedMapping, Limits, process
from farm.registry.keyfiles import load_or_create
from farm.sources import FolderSource
from farm.stores import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from farm.pipeline import Product, Report
    from farm.recipe.recipe import Recipe
    from farm.settings import Settings
    from farm.sources import Entry
    from farm.stores import Staged, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done; it travels to the processes of the pool."""

    settings: Settings
    source: Path
    destination: Path
    recipe: Recipe


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many instances ended in which way."""

    done: int = 0
    skipped: int = 0
    at_risk: int = 0
    output_bytes: int = 0
    quarantined: Counter[Reason] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    """Places in the code where the farm itself failed."""

    @property
    def ended(self) -> int:
        """Return how many instances these are."""
        return self.done + self.skipped + self.quarantined.total()

    def add(self, other: Tally) -> None:
        """Count another tally in; its faults are told when they come, and not kept."""
        self.done += other.done
        self.skipped += other.skipped
        self.at_risk += other.at_risk
        self.output_bytes += other.output_bytes
        self.quarantined += other.quarantined

    def count(self, report: Report) -> None:
        """Count an instance that was released."""
        self.done += 1
        self.at_risk += report.pixels_at_risk
        self.output_bytes += report.output_bytes


class Batch:
    """The work of one process, batch after batch."""

    def __init__(self, order: Order, store: Store, key: ProjectKey) -> None:
        """Take an opened store and the project's key."""
        settings = order.settings
        self._source = FolderSource(order.source)
        self._store = store
        self._recipe = order.recipe
        self._mapping = KeyedMapping(key, order.recipe.scheme)
        self._limits = Limits(inflated_bytes=settings.inflate_limit_bytes, inflated_ratio=settings.inflate_ratio)
        self._read_limit = settings.read_limit_bytes

    @classmethod
    def of(cls, order: Order) -> Batch:
        """Return the work of an order whose destination is open and whose key was made."""
        store = LocalStore(order.destination)
        store.open(order.settings.project, order.recipe.digest, create=False)
        return cls(order, store, project_key(order.settings))

    def run(self, entries: Sequence[Entry], *, again: bool = False) -> Tally:
        """Bring every entry to its end; raise `Unavailable` or `BadRecipe` where the whole command has to stop.

        `again`: a process died with these in hand, so what is there already was most likely released by it.
        """
        tally = Tally()
        prepared: list[tuple[Staged, Report]] = []
        try:
            for entry in entries:
                with _counted(tally):
                    prepared.append(self._prepared(entry))
            self._store.sync([staged for staged, _ in prepared])
            for staged, report in prepared:
                self._release(staged, report, tally, again=again)
            self._store.settle([report.path for _, report in prepared])
        except BaseException:
            for staged, _ in prepared:
                with suppress(FarmError):
                    self._store.discard(staged)
            raise
        return tally

    def run_into(self, entry: Entry, target: Path) -> Tally:
        """De-identify one instance into exactly this file."""
        tally = Tally()
        with _counted(tally), exactly.place(target) as place:
            with self._processed(entry) as product:
                place.write(product.segments)
                report = product.report
            if place.take_name():
                tally.count(report)
            elif place.digest() == report.output_digest:
                tally.skipped += 1
            else:
                tally.quarantined[Reason.CONFLICT] += 1
        return tally

    def _prepared(self, entry: Entry) -> tuple[Staged, Report]:
        staged = None
        try:
            with self._processed(entry) as product:
                staged = self._store.stage(product.report.path, product.segments)
                return staged, product.report
        except BadInput:
            if staged:  # a mapped source changed, which shows at the end only
                self._store.discard(staged)
            raise

    @contextmanager
    def _processed(self, entry: Entry) -> Iterator[Product]:
        """Give the de-identified instance, whose segments are valid inside the block."""
        size, mtime_ns = entry.size, entry.mtime_ns
        with self._source.read(entry.locator, size=size, mtime_ns=mtime_ns, limit=self._read_limit) as data:
            yield process(data, self._recipe, self._mapping, self._limits)

    def _release(self, staged: Staged, report: Report, tally: Tally, *, again: bool) -> None:
        if self._store.release(staged):
            tally.count(report)
            return
        there = self._store.digest_of(report.path)
        self._store.discard(staged)
        if there != report.output_digest:
            tally.quarantined[Reason.CONFLICT] += 1
        elif again:
            tally.count(report)
        else:
            tally.skipped += 1


@contextmanager
def _counted(tally: Tally) -> Iterator[None]:
    """Count what keeps one instance from its end; what concerns the whole command goes on up."""
    try:
        yield
    except BadInput as error:
        tally.quarantined[error.reason] += 1
    except FarmError:
        raise
    except Exception as error:  # noqa: BLE001 - any fault of ours must cost one instance, and its text may carry a value
        tally.faults.append(place_of(error))
        tally.quarantined[Reason.INTERNAL_ERROR] += 1


def project_key(settings: Settings) -> ProjectKey:
    """Return the project's key."""
    return ProjectKey(load_or_create(settings.project_key_path, "project").secret)

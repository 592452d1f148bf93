"""What a command does with some instances of a source: the farm's publish protocol without servers.

read, process, stage each -> sync all -> release each -> settle all

It is the way of a parcel in `workers.handler`, with the destination in the ledger's place: a name that is taken by the
same bytes is an instance that is there already, a name taken by other bytes is a conflict. So the command may be given
again at any time, and may be killed at any time. What is made of an instance is the business of each command.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.cli import exactly
from farm.cli.tally import Tally
from farm.errors import BadInput, FarmError, Reason, place_of
from farm.host.making import host_of, limits_of
from farm.sources import FolderSource

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from farm.cli.tally import Made
    from farm.dicom.elements import Data
    from farm.settings import Settings
    from farm.sources import Entry
    from farm.stores import Segment, Staged, Store


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderOrder(ABC):
    """What is to be done with a source; it travels to the processes of the pool.

    `exact`: DST is the very file that a single SRC becomes.
    """

    settings: Settings
    source: Path
    destination: Path
    exact: bool = False

    @abstractmethod
    def begun(self, threads: int = 0) -> Batch:
        """Return the work of a process; `threads`: of its codecs, other than the settings'."""

    def none(self) -> Tally:
        """Return the tally of no work."""
        return Tally()

    def lost(self, entries: Sequence[Entry], reason: Reason) -> Tally:
        """Return the tally of instances that no attempt brought to an end."""
        tally = Tally()
        for entry in entries:
            tally.fail(entry, reason)
        return tally


class Batch(ABC):
    """The work of one process, batch after batch."""

    def __init__(self, settings: Settings, source: Path, store: Store, threads: int = 0) -> None:
        """Take an opened store, or one that is not used because there is a single file to write.

        `threads` of the codecs, other than the settings' where an instance is alone.
        """
        self._source = FolderSource(source)
        self._store = store
        self.transcoder = host_of(settings, threads)
        self.limits = limits_of(settings)
        self._read_limit = settings.read_limit_bytes

    @abstractmethod
    def processed(self, entry: Entry, data: Data) -> tuple[Sequence[Segment], Made]:
        """Return what is made of an instance; segments may be views of its bytes. Raise `BadInput` if nothing is."""

    def close(self) -> None:
        """End the codecs' process, if there is one."""
        self.transcoder.close()

    def run(self, entries: Sequence[Entry], *, again: bool = False) -> Tally:
        """Bring every entry to its end; raise `Unavailable` or `BadRecipe` where the whole command has to stop.

        `again`: a process died with these in hand, so what is there already was most likely released by it.
        """
        tally = Tally()
        prepared: list[tuple[Entry, Staged, Made]] = []
        try:
            for entry in entries:
                with _counted(tally, entry):
                    prepared.append((entry, *self._prepared(entry)))
            self._store.sync([staged for _, staged, _ in prepared])
            there = [one[-1].path for one in prepared if self._release(*one, tally, again=again)]
            self._store.settle(there)
        except BaseException:
            for _, staged, _ in prepared:
                with suppress(FarmError):
                    self._store.discard(staged)
            raise
        return tally

    def run_into(self, entry: Entry, target: Path) -> Tally:
        """Bring one instance into exactly this file."""
        tally = Tally()
        with _counted(tally, entry), exactly.place(target) as place:
            with self._read(entry) as (segments, made):
                place.write(segments)
            if place.take_name():
                tally.count(made)
            elif place.digest() == made.digest:
                tally.skipped += 1
            else:
                tally.fail(entry, Reason.CONFLICT)
        return tally

    def _prepared(self, entry: Entry) -> tuple[Staged, Made]:
        staged = None
        try:
            with self._read(entry) as (segments, made):
                staged = self._store.stage(made.path, segments)
                return staged, made
        except BadInput:
            if staged:  # a mapped source changed, which shows at the end only
                self._store.discard(staged)
            raise

    @contextmanager
    def _read(self, entry: Entry) -> Iterator[tuple[Sequence[Segment], Made]]:
        """Give what is made of an instance; its segments are valid inside the block."""
        size, mtime_ns = entry.size, entry.mtime_ns
        with self._source.read(entry.locator, size=size, mtime_ns=mtime_ns, limit=self._read_limit) as data:
            yield self.processed(entry, data)

    def _release(self, entry: Entry, staged: Staged, made: Made, tally: Tally, *, again: bool) -> bool:
        """Give an instance its name; tell whether it is there under it now."""
        if self._store.release(staged):
            tally.count(made)
            return True
        there = self._store.digest_of(made.path)
        self._store.discard(staged)
        if there != made.digest:
            tally.fail(entry, Reason.CONFLICT)
        elif again:
            tally.count(made)
        else:
            tally.skipped += 1
        return there == made.digest


@contextmanager
def _counted(tally: Tally, entry: Entry) -> Iterator[None]:
    """Count what keeps one instance from its end; what concerns the whole command goes on up."""
    try:
        yield
    except BadInput as error:
        tally.fail(entry, error.reason)
    except FarmError:
        raise
    except Exception as error:  # noqa: BLE001 - any fault of ours must cost one instance, and its text may carry a value
        tally.faults.append(place_of(error))
        tally.fail(entry, Reason.INTERNAL_ERROR)

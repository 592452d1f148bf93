"""How a command works a source without servers: a single file in this process, a folder in a pool of them.

There is no ledger: the destination itself says what is done, so the whole source is worked again each time, and what is
there already is left as it is.
"""

from __future__ import annotations

import os
import threading
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.cli import account, screen
from farm.cli.failed import failures
from farm.cli.interrupt import draining, dropping
from farm.cli.pool import Pool
from farm.cli.progress import Display, Frames, Standing
from farm.cli.statuses import Status, status_of
from farm.errors import BadRecipe, FarmError, Reason
from farm.sources import Counters, FolderSource
from scheduler.campaign import check_apart

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from farm.cli.batch import Batch, FolderOrder
    from farm.cli.failed import Failures
    from farm.cli.tally import Tally

STALE = 24 * 3600.0
"""Seconds after which a temporary file of an earlier command is surely nobody's."""
_SUFFIX = ".dcm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the work ended."""

    tally: Tally
    found: int
    left_out: dict[str, int]
    trouble: FarmError | None = None
    interrupted: bool = False

    def status(self, *, strict: bool) -> Status:
        """Return the exit status."""
        if self.trouble:
            return status_of(self.trouble)
        if self.interrupted:
            return Status.INTERRUPTED
        return Status.QUARANTINED if strict and self.tally.quarantined else Status.DONE

    def title(self, nothing: str) -> str:
        """Return the first line of the summary; `nothing`: where all was there already."""
        if self.trouble:
            return "Not all is done. The same command does the rest."
        if self.interrupted:
            return "Interrupted. The same command does the rest."
        if self.tally.skipped and not self.tally.done:
            return nothing
        return "Every instance is accounted for."


def is_exact(source: Path, destination: Path) -> bool:
    """Tell whether DST is the file that a single SRC becomes; otherwise it is a folder."""
    if not source.is_file() or destination.is_dir() or not destination.suffix:
        return False
    if destination.suffix.lower() != _SUFFIX:
        raise BadRecipe(Reason.BAD_DESTINATION, f"name a folder, or a file that ends in {_SUFFIX}")
    if not destination.parent.is_dir():
        raise BadRecipe(Reason.BAD_DESTINATION, "the folder of the file does not exist")
    return True


def carry_out(
    order: FolderOrder, opened: AbstractContextManager[None], *, failed: Path | None = None, word: str = "quarantined"
) -> Ended:
    """Do the work of an order, showing how far it is; `word` says what becomes of instances that cannot be done.

    `opened` makes what has to be there before, once source and destination are looked at, and tidies up behind;
    `failed` is the file that names the instances that cannot be done.
    """
    source = FolderSource(order.source)
    source.check()
    check_apart(order.source, order.destination)
    screen.show_log("WARNING")
    with opened, failures(failed) as which:
        return _alone(order, source, which) if order.source.is_file() else _all(order, source, which, word)


def _note(which: Failures, root: Path, tally: Tally) -> None:
    """Write down what has failed since the last time."""
    which.write((str(root / os.fsdecode(locator)), reason.value) for locator, reason in tally.taken())


def _alone(order: FolderOrder, source: FolderSource, which: Failures) -> Ended:
    """Work a single file in this process, with all processors at its frames; what is left undone leaves nothing."""
    [entry] = source.crawl(Counters())
    tally, interrupted = order.none(), True
    with suppress(KeyboardInterrupt), dropping(), Display() as display, closing(_begun(order, display)) as batch:
        tally = batch.run_into(entry, order.destination) if order.exact else batch.run([entry])
        interrupted = False
    _note(which, order.source.parent, tally)
    for place in tally.faults:
        screen.say(f"farm: {Reason.INTERNAL_ERROR.value}: {place}")
    return Ended(tally=tally, found=1, left_out={}, interrupted=interrupted)


def _begun(order: FolderOrder, display: Display) -> Batch:
    """Return the work of this process, which shows how far it is with an instance of many frames."""

    def show(done: int, count: int) -> None:
        if count > 1:
            display.show(Frames(total=count, ended=done))

    batch = order.begun(order.settings.worker_count)
    batch.transcoder.watch(show)
    return batch


def _all(order: FolderOrder, source: FolderSource, which: Failures, word: str) -> Ended:
    """Work a folder in a pool."""
    counters = Counters()
    pool = Pool(order, order.settings.worker_count)
    with Display() as display, draining() as stop:
        count = _Count(source) if display.moves else None

        def on_tally(tally: Tally) -> None:
            _note(which, order.source, tally)
            total = count.total if count else None
            standing = Standing(
                total=counters.files if total is None else total,
                counted=total is not None,
                done=tally.done,
                quarantined=tally.quarantined.total(),
                skipped=tally.skipped,
                word=word,
            )
            display.show(standing)

        trouble = pool.run(source.crawl(counters), stop, on_tally)
    if not (trouble or stop.is_set()):
        account.say_if_empty(counters.files)
    counts = counters.to_dict()
    return Ended(
        tally=pool.tally,
        found=counters.files,
        left_out=account.left_out(counts),
        trouble=trouble,
        interrupted=stop.is_set(),
    )


class _Count:
    """Counts a source beside the work, so that a bar can tell the time that is left; it has no other use."""

    def __init__(self, source: FolderSource) -> None:
        self.total: int | None = None
        self._source = source
        threading.Thread(target=self._run, name="count", daemon=True).start()

    def _run(self) -> None:
        try:
            self.total = sum(1 for _ in self._source.crawl(Counters()))
        except FarmError:
            return

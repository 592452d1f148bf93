"""Group commit: many associations, one wait for the disk.

A few threads bring the content of files to the disk, some at a time. One more takes all that is there, makes the names
stable and writes the rows in one statement; what is finished meanwhile is its next batch. So one association has the
latency of one commit, and a hundred share one. The promise, success only for what is durable, rests on the order:

    content on the disk (each file) -> names on the disk (once) -> rows on the disk (once) -> success

A file that fails fails alone. When names or rows fail, every instance of the batch is refused (0xA700, to be sent
again) and its file removed; but when the database goes away over the statement, the rows may be there all the same.
Then the files stay: with a row they are worked on, as a copy of what the peer sends again, and without one the next
start removes them.

A ledger that hangs answers nothing, and a peer must not wait for it until it gives up by itself. So each event loop
watches its own instances: one whose content is on the disk, and whose row is not there within the committer's patience,
is refused, whatever the thread is at. What had come too late for the thread is removed before a row is asked for; what
was in the statement is in doubt, as above. The session's own deadline frees the thread.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TYPE_CHECKING, Final

from farm.database import QueryFault
from farm.errors import Reason, Unavailable, place_of
from farm.ledger import Arrived
from farm.net.storing import OUT_OF_RESOURCES, SUCCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from farm.queue import Place, Session, Tables
    from scheduler.ingest.spell import Spell
    from scheduler.ingest.spool import Spool, Spooled, Whole

log = logging.getLogger(__name__)

_MOST: Final = 256
"""Instances in one batch: the statement's time stays within some milliseconds."""
PATIENCE: Final = 5.0
"""Seconds that a peer waits for the ledger, where nobody says otherwise."""
_SYNCS: Final = 8
"""Files that are brought to the disk at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Landed:
    """An instance all of whose fragments are written, and what the ledger is to know of it."""

    spooled: Spooled
    locator: Place
    instance_key: bytes
    study_key: bytes | None
    series_key: bytes | None
    route: Callable[[int], str]
    """Gives the route of so many bytes."""

    def arrived(self, whole: Whole) -> Arrived:
        """Return the ledger's row."""
        return Arrived(
            name=whole.name,
            size=whole.size,
            mtime_ns=whole.mtime_ns,
            locator_key=self.locator.key,
            locator_sealed=self.locator.sealed,
            instance_key=self.instance_key,
            study_key=self.study_key,
            series_key=self.series_key,
            route=self.route(whole.size),
        )


@dataclass(slots=True, eq=False)
class _Waiting:
    """Somebody who waits for an answer: until when, by the clock of event loops, once the content is on the disk."""

    answer: asyncio.Future[int]
    until: float = math.inf
    timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """Tell whether nobody waits any more."""
        return monotonic() >= self.until


@dataclass(frozen=True, slots=True)
class _Ready:
    """An instance whose content is on the disk."""

    arrived: Arrived
    waiting: _Waiting


class Committer:
    """Makes instances durable, many at a time, in a thread of its own."""

    def __init__(  # noqa: PLR0913 - where instances go, and how long that may take
        self,
        spool: Spool,
        session: Session,
        run_id: int,
        spell: Spell,
        *,
        patience: float = PATIENCE,
        durable: bool = True,
    ) -> None:
        """Take a session of little patience that nobody else uses; it is closed with the committer.

        `patience`: seconds until an instance is refused that the ledger has not taken. Without `durable` nothing waits
        for the spool's disk, which only a benchmark may want.
        """
        self._spool = spool
        self._session = session
        self._run_id = run_id
        self._spell = spell
        self._patience = patience
        self._durable = durable
        self._queue: SimpleQueue[_Ready | None] = SimpleQueue()
        self._pool = ThreadPoolExecutor(_SYNCS, thread_name_prefix="spool")
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._closed = False
        self._thread.start()

    async def commit(self, landed: Landed) -> int:
        """Return the DIMSE status: success when the instance is durable, else 0xA700 and nothing is kept.

        The instance is the committer's from the call on, even where the caller is cancelled.
        """
        if self._closed:
            landed.spooled.discard()
            return OUT_OF_RESOURCES
        waiting = _Waiting(asyncio.get_running_loop().create_future())
        self._watch(waiting)
        self._pool.submit(self._finish, landed, waiting)
        try:
            return await waiting.answer
        finally:
            if waiting.timer is not None:
                waiting.timer.cancel()

    def close(self) -> None:
        """Commit what waits, and end; what comes later is refused. Call it where `commit` is called."""
        if not self._closed:
            self._closed = True
            self._pool.shutdown()
            self._queue.put(None)
            self._thread.join()

    def _watch(self, waiting: _Waiting) -> None:
        """Refuse an instance once its time is over, which begins when its content is on the disk."""
        if waiting.is_over:
            self._spell.met(Reason.DATABASE_AWAY)
            _tell([waiting.answer], OUT_OF_RESOURCES)
        else:
            left = min(waiting.until - monotonic(), self._patience)
            waiting.timer = waiting.answer.get_loop().call_later(left, self._watch, waiting)

    def _finish(self, landed: Landed, waiting: _Waiting) -> None:
        """Bring one file's content to the disk and let it wait for the next batch."""
        try:
            arrived = landed.arrived(landed.spooled.finish(durable=self._durable))
        except Unavailable as error:
            self._spell.met(error.reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, the peer is waiting for an answer
            self._fault(error)
        else:
            waiting.until = monotonic() + self._patience
            self._queue.put(_Ready(arrived, waiting))
            return
        landed.spooled.discard()
        _answer([waiting], OUT_OF_RESOURCES)

    def _run(self) -> None:
        try:
            while batch := self._gathered():
                self._store(batch)
        finally:
            self._session.close()

    def _gathered(self) -> list[_Ready]:
        """Wait for one instance and take what else is there; nothing means the end."""
        batch: list[_Ready] = []
        with suppress(Empty):
            ready = self._queue.get()
            while ready is not None:
                batch.append(ready)
                if len(batch) == _MOST:
                    return batch
                ready = self._queue.get_nowait()
            if batch:
                self._queue.put(None)  # the end comes after this batch
        return batch

    def _store(self, batch: Sequence[_Ready]) -> None:
        """Bring names and rows to the disk, and tell; of what nobody waits for any more nothing is left."""
        is_settled = not self._durable or self._failed(self._spool.settle) is None
        wanted: list[_Ready] = []
        others: list[_Ready] = []
        for ready in batch:
            (wanted if is_settled and not ready.waiting.is_over else others).append(ready)
        self._spool.remove(ready.arrived.name for ready in others)
        _answer([ready.waiting for ready in others], OUT_OF_RESOURCES)
        if wanted:
            _answer([ready.waiting for ready in wanted], self._written([ready.arrived for ready in wanted]))

    def _written(self, arrived: Sequence[Arrived]) -> int:
        """Bring rows to the disk; return the status of all."""
        in_doubt = False

        def write(tables: Tables) -> None:
            nonlocal in_doubt
            in_doubt = True
            tables.ledger.arrive(self._run_id, arrived)

        failure = self._failed(lambda: self._session.call(write))
        if failure is None:
            self._spell.over()
            return SUCCESS
        if not in_doubt or isinstance(failure, QueryFault):  # which the server refused for certain
            self._spool.remove(item.name for item in arrived)
        return OUT_OF_RESOURCES

    def _failed(self, work: Callable[[], None]) -> Exception | None:
        """Do a piece of work; return what went wrong."""
        try:
            work()
        except Unavailable as error:
            self._spell.met(error.reason)
            return error
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the thread that all wait for
            self._fault(error)
            return error
        return None

    def _fault(self, error: Exception) -> None:
        log.error("what arrived was refused: %s", place_of(error))  # its text may carry a value
        self._spell.met(Reason.INTERNAL_ERROR)


def _answer(batch: Sequence[_Waiting], status: int) -> None:
    """Wake who waits, each event loop once; one that is closed has nobody left to tell."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[int]]] = {}
    for waiting in batch:
        loops.setdefault(waiting.answer.get_loop(), []).append(waiting.answer)
    for loop, told in loops.items():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell, told, status)


def _tell(answers: Sequence[asyncio.Future[int]], status: int) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_result(status)

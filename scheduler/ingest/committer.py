"""Group commit: many associations, one wait for the disk.

A few threads bring the content of files to the disk, some at a time. One more takes all that is there, makes the names
stable and writes the rows in one statement; what is finished meanwhile is its next batch. So one association has the
latency of one commit, and a hundred share one. The promise, success only for what is durable, rests on the order:

    content on the disk (each file) -> names on the disk (once) -> rows on the disk (once) -> success

A file that fails fails alone. When names or rows fail, every instance of the batch is refused (0xA700, to be sent
again) and its file removed; but when the database goes away over the statement, the rows may be there all the same.
Then the files stay: with a row they are worked on, as a copy of what the peer sends again, and without one the next
start removes them.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue
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


@dataclass(frozen=True, slots=True)
class _Waiting:
    arrived: Arrived
    answer: asyncio.Future[int]


class Committer:
    """Makes instances durable, many at a time, in a thread of its own."""

    def __init__(self, spool: Spool, session: Session, run_id: int, spell: Spell, *, durable: bool = True) -> None:
        """Take a session of little patience that nobody else uses; it is closed with the committer.

        Without `durable` nothing waits for the spool's disk, which only a benchmark may want.
        """
        self._spool = spool
        self._session = session
        self._run_id = run_id
        self._spell = spell
        self._durable = durable
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
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
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._pool.submit(self._finish, landed, answer)
        return await answer

    def close(self) -> None:
        """Commit what waits, and end; what comes later is refused. Call it where `commit` is called."""
        if not self._closed:
            self._closed = True
            self._pool.shutdown()
            self._queue.put(None)
            self._thread.join()

    def _finish(self, landed: Landed, answer: asyncio.Future[int]) -> None:
        """Bring one file's content to the disk and let it wait for the next batch."""
        try:
            whole = landed.spooled.finish(durable=self._durable)
        except Unavailable as error:
            self._spell.met(error.reason)
        except Exception as error:  # noqa: BLE001 - whatever it is, the peer is waiting for an answer
            self._fault(error)
        else:
            self._queue.put(_Waiting(landed.arrived(whole), answer))
            return
        landed.spooled.discard()
        _answer([answer], OUT_OF_RESOURCES)

    def _run(self) -> None:
        try:
            while batch := self._gathered():
                status = self._stored([waiting.arrived for waiting in batch])
                _answer([waiting.answer for waiting in batch], status)
        finally:
            self._session.close()

    def _gathered(self) -> list[_Waiting]:
        """Wait for one instance and take what else is there; nothing means the end."""
        batch: list[_Waiting] = []
        with suppress(Empty):
            waiting = self._queue.get()
            while waiting is not None:
                batch.append(waiting)
                if len(batch) == _MOST:
                    return batch
                waiting = self._queue.get_nowait()
            if batch:
                self._queue.put(None)  # the end comes after this batch
        return batch

    def _stored(self, arrived: Sequence[Arrived]) -> int:
        """Bring names and rows to the disk; return the status of all."""
        in_doubt = False

        def write(tables: Tables) -> None:
            nonlocal in_doubt
            in_doubt = True
            tables.ledger.arrive(self._run_id, arrived)

        try:
            if self._durable:
                self._spool.settle()
            self._session.call(write)
        except Unavailable as error:
            self._spell.met(error.reason)
        except Exception as error:  # noqa: BLE001 - a fault of ours must not end the thread that all wait for
            self._fault(error)
            in_doubt = in_doubt and not isinstance(error, QueryFault)  # which the server refused for certain
        else:
            self._spell.over()
            return SUCCESS
        if not in_doubt:
            self._spool.remove(item.name for item in arrived)
        return OUT_OF_RESOURCES

    def _fault(self, error: Exception) -> None:
        log.error("what arrived was refused: %s", place_of(error))  # its text may carry a value
        self._spell.met(Reason.INTERNAL_ERROR)


def _answer(answers: Sequence[asyncio.Future[int]], status: int) -> None:
    """Wake who waits, each event loop once; one that is closed has nobody left to tell."""
    loops: dict[asyncio.AbstractEventLoop, list[asyncio.Future[int]]] = {}
    for answer in answers:
        loops.setdefault(answer.get_loop(), []).append(answer)
    for loop, told in loops.items():
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_tell, told, status)


def _tell(answers: Sequence[asyncio.Future[int]], status: int) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_result(status)

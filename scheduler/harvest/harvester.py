"""Fetches what a list wants from one PACS, as gently as is asked: an `Intake` for a campaign.

An event loop in a thread of its own has a few workers, one for each association that the PACS may be given. A worker
resolves rows of a list, or fetches a study; what it has to remember is in the ledger, so a harvest may be cut off and
begun again for months. One process at a time asks a PACS, for all harvests that want something of it and by their
priority, so the limits hold whatever is started: the others wait until its own list is done. Who becomes that process
frees what the one before had in hand when it died.

A PACS with which there is no association is away, and nobody's attempt is lost: the harvest waits for it, as long as
patience lasts. What goes wrong once there was one counts as an attempt of the row or study that was asked for. Want of
space, or the like, on our side is nobody's attempt either: nothing is asked for until there may be space again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeVar

from farm.errors import BadRecipe, FarmError, Reason, Unavailable, place_of
from farm.ledger.harvest_values import HELD_BACK
from scheduler.harvest.pace import Clock, NotNow, Pace
from scheduler.harvest.receiving import Receivers
from scheduler.harvest.resolving import Asking, Resolver
from scheduler.harvest.retrieving import OWN_REASONS, PEER_REASONS, Books, Retriever
from scheduler.harvest.seals import HarvestSealer
from scheduler.harvest.throttle import Admission, TokenBucket
from scheduler.harvest.verdicts import Ending, Listed, StudyFacts, Verdict, judge_study
from scheduler.ingest.ports import listener
from scheduler.intake import Attendance

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from datetime import datetime

    from farm.ledger import Progress, Run
    from farm.ledger.harvest_values import Harvest, TakenStudy
    from farm.queue import Tables
    from scheduler.campaign import Desk
    from scheduler.harvest.asking import Listing
    from scheduler.harvest.line import Line
    from scheduler.harvest.peers import Pacs
    from scheduler.harvest.seals import Instance

log = logging.getLogger(__name__)

T = TypeVar("T")
_LEASE: Final = 60.0
_RENEW: Final = 15.0
_IDLE: Final = 0.5
_KEEP_EVERY: Final = 1.0
_PATIENCE: Final = 30.0
_DOUBLINGS: Final = 6
"""How often the rest is doubled while what comes cannot be kept: half a minute then."""


class _Did(Enum):
    """What a worker did."""

    NOTHING = auto()
    OWN = auto()
    OTHERS = auto()
    """It worked for another harvest of the PACS."""


class Harvester:
    """Works on one harvest, and on the others of its PACS as long as that lasts."""

    def __init__(self, desk: Desk, harvest: Harvest, pacs: Pacs, clock: Clock | None = None) -> None:
        """Take the harvest, and who the PACS is."""
        self._desk, self._harvest, self._pacs, self._clock = desk, harvest, pacs, clock or Clock()
        self._seals = HarvestSealer(desk.sealer)
        self._windows = pacs.open_windows()
        self._pace = Pace(TokenBucket(pacs.rate, pacs.burst), self._windows, self._clock)
        self._queries = Pace(TokenBucket(pacs.query_rate, max(1.0, pacs.query_rate)), self._windows, self._clock)
        self._admission = Admission(associations=pacs.associations, windows=self._windows, utilisation=pacs.utilisation)
        self._session = desk.session(_PATIENCE)
        self._attendance = Attendance(harvest.run_id)
        self._is_held_back = harvest.state in HELD_BACK
        self._last_id: int | None = None
        self._looked = 0.0
        self._held: object = None
        self._held_before = False
        self._database = ThreadPoolExecutor(1, thread_name_prefix="harvest")
        self._thread = threading.Thread(target=self._run, name="harvest", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._resolver = Resolver(
            pacs,
            self._seals,
            Asking(now=self._clock.now, may_ask=self._may_ask, heard=self._heard, call=self._call),
        )
        self._halt = threading.Event()
        self._halted = asyncio.Event()
        self._error: FarmError | None = None
        self._away: tuple[Reason, float] | None = None
        self._full: tuple[Reason, float] | None = None
        self._refused = 0
        self._runs: dict[int, Run] = {}

    # An intake.

    @property
    def new(self) -> int:
        """Return nothing: the ledger knows what has arrived."""
        return 0

    @property
    def counters(self) -> dict[str, int]:
        """Return nothing: a harvest leaves nothing out."""
        return {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def check(self) -> None:
        """Raise what has ended the harvest, or what has been away for longer than patience lasts."""
        if self._error is not None:
            raise self._error
        for away, hint in (
            (self._away, "The harvest cannot go on with the PACS. The same command does it later."),
            (self._full, "What the PACS sends cannot be kept. The same command goes on when it can."),
        ):
            if away is not None and time.monotonic() - away[1] > self._desk.settings.patience_seconds:
                raise Unavailable(away[0], hint)

    def over(self, tables: Tables, progress: Progress) -> bool:
        """Tell whether nothing more comes from here, and what came has ended, whatever others bring into the run."""
        last_id, run_id = self._last_id, self._harvest.run_id
        if last_id is None or progress.state == "complete" or time.monotonic() < self._looked + _KEEP_EVERY:
            return last_id is not None and progress.state == "complete"
        self._looked = time.monotonic()
        return bool(tables.ledger.attended([run_id])) and tables.ledger.is_through(run_id, last_id)

    def stop(self) -> None:
        """Give back what is being fetched, and end."""
        self._halt.set()
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._halted.set)
        if self._thread.ident is not None:
            self._thread.join()
        self._database.shutdown()
        self._session.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except FarmError as error:
            self._error = error
        except Exception as error:  # noqa: BLE001 - a thread's traceback would print values
            log.error("the harvest failed: %s", place_of(error))  # noqa: TRY400 - likewise
            self._error = BadRecipe(Reason.INTERNAL_ERROR, "The harvest failed; the log names the place in the code")

    # The loop.

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        receivers = Receivers(self._desk)
        try:
            self._retriever = Retriever(self._pacs, receivers, self._seals)
            await self._call(self._attendance.keep)
            run = await self._run_of(self._harvest.run_id)
            receivers.of(run)
            await self._call(lambda tables: receivers.clear(run, tables.ledger))
            if not self._is_held_back and await self._alone():
                async with self._serving(receivers):
                    workers = [asyncio.create_task(self._work()) for _ in range(self._pacs.associations)]
                    await self._until_done(workers, receivers)
        finally:
            await asyncio.to_thread(receivers.close)
        self._last_id = await self._call(lambda tables: self._attendance.leave(tables, {}))

    async def _halted_in(self, seconds: float) -> None:
        """Wait, but not for longer than until it is to stop."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._halted.wait()

    async def _alone(self) -> bool:
        """Wait until nobody else fetches from the PACS; False: there is nothing left to fetch, or it is to stop."""
        while not self._halt.is_set():
            if await self._call(self._holds_pacs):
                return True
            if await self._finished():
                return False
            await self._call(self._attendance.keep)
            await self._halted_in(_IDLE)
        return False

    async def _until_done(self, workers: list[asyncio.Task[None]], receivers: Receivers) -> None:
        """Wait until the workers are through, or it is time to stop; an error of one ends all."""
        halted = asyncio.create_task(self._halted.wait())
        kept = time.monotonic()
        try:
            while not all(worker.done() for worker in workers) and not self._halt.is_set():
                waits = [halted, *(worker for worker in workers if not worker.done())]
                await asyncio.wait(waits, timeout=_KEEP_EVERY, return_when=asyncio.FIRST_COMPLETED)
                for worker in workers:
                    if worker.done():
                        worker.result()
                if time.monotonic() - kept >= _KEEP_EVERY:
                    kept = time.monotonic()
                    with suppress(Unavailable):  # the campaign tells what is away
                        await self._call(lambda tables: self._keep(tables, receivers))
        finally:
            for task in (halted, *workers):
                task.cancel()
            await asyncio.gather(halted, *workers, return_exceptions=True)

    def _keep(self, tables: Tables, receivers: Receivers) -> None:
        self._attendance.keep(tables)
        receivers.keep(tables.ledger)

    @asynccontextmanager
    async def _serving(self, receivers: Receivers) -> AsyncIterator[None]:
        """Listen for what C-MOVE brings, where anything is moved."""
        if not self._pacs.moves:
            yield
            return
        stop = asyncio.Event()
        with closing(listener("", self._pacs.move_port)) as listening:  # the PACS is elsewhere, by IPv4 or IPv6
            task = asyncio.create_task(receivers.serve(listening, self._retriever.senders, stop))
            try:
                yield
            finally:
                stop.set()
                await task

    async def _work(self) -> None:
        """Do one thing after the other until the harvest is done."""
        line = self._retriever.line()
        did, wait = _Did.NOTHING, 0.0
        try:
            while did is _Did.OWN or not await self._finished():
                did, wait = await self._turn(line)
                if wait:
                    await line.close()
                    await self._clock.pause(wait)
        except BaseException:
            line.abort()
            raise
        finally:
            await line.close()

    async def _turn(self, line: Line) -> tuple[_Did, float]:
        """Do something, if it is time; return what was done, and how long to wait before another turn."""
        try:
            if not await self._call(self._holds_pacs):
                return _Did.NOTHING, _IDLE
            began = self._clock.now()
            if not self._admission.start(began):
                return _Did.NOTHING, self._closed(began)
            try:
                did = await self._one(line)
            finally:
                self._admission.ended(began, self._clock.now())
        except Unavailable as error:
            line.abort()
            return _Did.NOTHING, self._met(error)
        return did, _IDLE if did is _Did.NOTHING else 0.0

    def _closed(self, now: datetime) -> float:
        """Return how long to wait for admission; a PACS that is not asked is not away."""
        if not self._windows.open_at(now):
            self._away = self._full = None
        wait = self._admission.wait(now)
        return self._clock.bounded(wait if math.isfinite(wait) else _IDLE)

    def _met(self, error: Unavailable) -> float:
        """Note what is away, and return how long to rest; of the database the campaign keeps count."""
        if error.reason is Reason.DATABASE_AWAY:
            return _IDLE
        now = (error.reason, time.monotonic())
        if self._away is None and self._full is None:
            log.warning("the harvest from %s waits: %s", self._pacs.name, error.reason.value)
        if error.reason in OWN_REASONS:
            self._full = self._full or now
            self._refused += 1
            return self._clock.bounded(_IDLE * 2 ** min(self._refused - 1, _DOUBLINGS))
        self._away = self._away or now
        return _IDLE

    async def _finished(self) -> bool:
        """Tell whether every row and study of the harvest has its verdict, or it is cancelled."""
        try:
            return await self._call(lambda tables: tables.harvests.finish(self._harvest.id))
        except Unavailable:
            return False

    async def _one(self, line: Line) -> _Did:
        """Resolve some rows, or fetch a study."""
        rows = await self._call(self._resolver.take)
        if rows:
            if not await self._resolver.resolve(line, rows):
                return _Did.NOTHING
            return _Did.OWN if rows[0].harvest_id == self._harvest.id else _Did.OTHERS
        worker = f"{self._pacs.name}-{threading.get_native_id()}"
        study = await self._call(lambda tables: tables.harvests.take_study(self._pacs.name, worker, _LEASE))
        if study is None:
            await self._call(lambda tables: tables.harvests.reap())
            return _Did.NOTHING
        await self._fetch(line, study)
        return _Did.OWN if study.harvest_id == self._harvest.id else _Did.OTHERS

    # Rows.

    async def _may_ask(self, line: Line, harvest_id: int) -> bool:
        """Wait for a query; tell whether it may be asked for a harvest, whose turn may be over at any time."""
        may_ask = False
        try:
            await self._queries.query(line.close)
        except NotNow:
            return False
        try:
            may_ask = self._windows.open_at(self._clock.now()) and await self._call(
                lambda tables: self._holds_pacs(tables) and tables.harvests.first_in_line(self._pacs.name) == harvest_id
            )
        finally:
            if not may_ask:
                self._queries.put_back(1)
        return may_ask

    def _heard(self) -> None:
        """Note that the PACS has answered."""
        self._away = None

    # Studies.

    async def _fetch(self, line: Line, study: TakenStudy) -> None:
        """Fetch a study and note what is to be said of it, or let it wait."""
        is_back = False
        try:
            async with self._leased(study):
                await line.client()
                self._away = None
                await self._bring(line, study)
                is_back = True
        except NotNow:
            pass
        except (TimeoutError, Unavailable) as error:
            line.abort()
            is_back = isinstance(error, TimeoutError) or error.reason is Reason.LEASE_LOST
            if not is_back:
                raise
        finally:
            if not is_back:  # not its fault: something is away, or the harvest stops
                with suppress(Unavailable):
                    await self._call(lambda tables: tables.harvests.give_back(study, counts=False))

    @asynccontextmanager
    async def _leased(self, study: TakenStudy) -> AsyncIterator[None]:
        """Keep a study's lease; raise `TimeoutError` within when it, or the PACS, has become another's."""

        async def renew(scope: asyncio.Timeout) -> None:
            while True:
                await asyncio.sleep(_RENEW)
                with suppress(Unavailable):
                    if not await self._call(
                        lambda tables: self._holds_pacs(tables) and tables.harvests.renew(study, _LEASE)
                    ):
                        scope.reschedule(asyncio.get_running_loop().time())
                        return

        async with asyncio.timeout(None) as scope:
            renewing = asyncio.create_task(renew(scope))
            try:
                yield
            finally:
                renewing.cancel()

    async def _bring(self, line: Line, study: TakenStudy) -> None:
        """Fetch a study, and conclude from what came of it."""
        run = await self._run_of(study.run_id)
        try:
            facts, reason = await self._retriever.fetch(line, self._books(line, study, run)), None
        except Unavailable as error:
            if error.reason not in PEER_REASONS | {Reason.INTERNAL_ERROR}:
                raise
            line.abort()
            facts, reason = await self._call(lambda tables: _known(tables, study)), error.reason
        else:
            self._full, self._refused = None, 0
        await self._conclude(study, facts, reason)

    async def _conclude(self, study: TakenStudy, facts: StudyFacts, reason: Reason | None) -> None:
        """End a study with its verdict, or let it be tried again."""
        judged = judge_study(facts)
        verdict = judged.verdict
        if (judged.again or reason) and study.attempts < self._pacs.attempts:
            delay = self._pacs.backoff_s * 2 ** (study.attempts - 1)
            await self._call(lambda tables: tables.harvests.give_back(study, delay))
            return
        said = (Verdict.REFUSED if verdict is Verdict.PENDING else verdict).value
        await self._call(lambda tables: tables.harvests.end_study(study, said, reason and reason.value))

    def _books(self, line: Line, study: TakenStudy, run: Run) -> Books:
        """Return the ledger as retrieving sees it."""

        async def expect(listing: Listing) -> None:
            keyed = [self._seals.instance(one) for one in listing.instances]
            await self._call(lambda tables: tables.harvests.expect(study, keyed, whole=listing.whole))

        async def missing() -> list[Instance]:
            found = await self._call(lambda tables: tables.harvests.missing(study))
            return [self._seals.open_instance(one) for one in found]

        async def arrived(keys: list[bytes]) -> set[bytes]:
            return await self._call(lambda tables: tables.harvests.arrived(study.run_id, keys))

        async def admit(count: int) -> None:
            await self._admit(line, count, study.harvest_id)

        async def query() -> None:
            await self._queries.query(line.close)

        return Books(
            run=run,
            study=self._seals.open_study(study.study_key, study.sealed),
            expect=expect,
            missing=missing,
            arrived=arrived,
            admit=admit,
            query=query,
            pay=self._pace.pay,
        )

    async def _admit(self, line: Line, count: int, harvest_id: int) -> None:
        """Wait for the rate; raise `NotNow` where the window has closed by then, or the harvest is paused."""
        await self._pace.admit(count, line.close)
        try:
            if await self._call(lambda tables: tables.harvests.harvest(harvest_id).state != "active"):
                raise NotNow  # noqa: TRY301 - what was reserved is put back
        except BaseException:
            self._pace.put_back(count)
            raise

    # The ledger.

    async def _run_of(self, run_id: int) -> Run:
        if run_id not in self._runs:
            self._runs[run_id] = await self._call(lambda tables: tables.ledger.run(run_id))
        return self._runs[run_id]

    def _holds_pacs(self, tables: Tables) -> bool:
        """Tell whether this process is the one that fetches from the PACS: a lock that ends with the connection."""
        if self._held is not tables.connection:
            self._held = tables.connection if tables.harvests.hold_pacs(self._pacs.name) else None
            if self._held is not None and not self._held_before:
                self._held_before = True
                tables.harvests.reclaim(self._pacs.name)
        return self._held is tables.connection

    async def _call(self, work: Callable[[Tables], T]) -> T:
        """Run a statement in the harvest's own thread for them."""
        return await asyncio.get_running_loop().run_in_executor(self._database, self._session.call, work)


def _known(tables: Tables, study: TakenStudy) -> StudyFacts:
    """Return what the ledger knows of a study that the PACS would not answer for."""
    keys = frozenset(tables.harvests.expected(study.harvest_id, study.study_key))
    missing = {one.key for one in tables.harvests.missing(study)}
    return StudyFacts(
        before=Listed(keys=keys, whole=False) if keys else None, retrieve=Ending.FAILED, arrived=keys - missing
    )

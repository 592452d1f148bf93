"""Fetches what a list wants from one PACS, as gently as is asked: an `Intake` for a campaign.

An event loop in a thread of its own has a few workers, one for each association that the PACS may be given. A worker
resolves rows of the list, or fetches a study; what it has to remember is in the ledger, so a harvest may be cut off and
begun again for months. One process at a time fetches from a PACS, for all harvests that want something of it, so the
limits hold whatever is started: the others wait until its own list is done.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TypeVar

from farm.errors import BadRecipe, FarmError, Reason, Unavailable, place_of
from farm.net.client import connect, service
from scheduler.harvest.asking import FIND, matches_of
from scheduler.harvest.receiving import Receivers
from scheduler.harvest.retrieving import Books, Retriever
from scheduler.harvest.seals import HarvestSealer
from scheduler.harvest.throttle import Admission, TokenBucket
from scheduler.harvest.verdicts import StudyFacts, Verdict, judge_row, judge_study

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from farm.ledger import Run
    from farm.ledger.harvest_values import Harvest, TakenStudy
    from farm.net.client import Client
    from farm.queue import Tables
    from scheduler.campaign import Desk
    from scheduler.harvest.peers import Pacs
    from scheduler.harvest.seals import Instance

log = logging.getLogger(__name__)

T = TypeVar("T")
_ROWS: Final = 50
"""Rows resolved on one association."""
_LEASE: Final = 60.0
_RENEW: Final = 15.0
_IDLE: Final = 0.5
_LONGEST_WAIT: Final = 30.0
"""Seconds between looks at a window that is closed, in case somebody has changed the clock."""
_PATIENCE: Final = 30.0
_AGAIN: Final = frozenset({Verdict.SHORT, Verdict.CHANGED, Verdict.REFUSED, Verdict.PENDING})
"""What another attempt may better."""


class Harvester:
    """Works on one harvest, and on the others of its PACS as long as that lasts."""

    def __init__(self, desk: Desk, harvest: Harvest, pacs: Pacs, listener: socket.socket | None) -> None:
        """Take a socket that listens for what C-MOVE brings; None where nothing is moved."""
        self._desk, self._harvest, self._pacs, self._listener = desk, harvest, pacs, listener
        self._seals = HarvestSealer(desk.sealer)
        self._bucket = TokenBucket(pacs.rate, pacs.burst)
        self._admission = Admission(
            associations=pacs.associations,
            bucket=TokenBucket(0, 0),
            windows=pacs.open_windows(),
            utilisation=pacs.utilisation,
        )
        self._session = desk.session(_PATIENCE)
        self._held: object = None
        self._database = ThreadPoolExecutor(1, thread_name_prefix="harvest")
        self._thread = threading.Thread(target=self._run, name="harvest", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._halt = threading.Event()
        self._error: FarmError | None = None
        self._away_since: float | None = None
        self._tries: dict[int, int] = {}
        self._taken_rows: set[int] = set()
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
        """Raise what has ended the harvest, or that the PACS has been away for longer than patience lasts."""
        if self._error is not None:
            raise self._error
        since = self._away_since
        if since is not None and time.monotonic() - since > self._desk.settings.patience_seconds:
            raise Unavailable(Reason.PEER_AWAY, "The PACS does not answer. The same command goes on with it.")

    def stop(self) -> None:
        """Give back what is being fetched, and end."""
        self._halt.set()
        if self._loop is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(lambda: None)
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
            await self._call(lambda tables: tables.ledger.listening(self._harvest.run_id))
            receivers.of(await self._run_of(self._harvest.run_id))
            async with self._serving(receivers):
                workers = [asyncio.create_task(self._work()) for _ in range(self._pacs.associations)]
                await self._until_done(workers)
        finally:
            await asyncio.to_thread(receivers.close)
        await self._call(lambda tables: tables.ledger.crawled(self._harvest.run_id, {}))

    async def _until_done(self, workers: list[asyncio.Task[None]]) -> None:
        """Wait until the workers are through, or it is time to stop; an error of one ends all."""
        try:
            while any(not worker.done() for worker in workers) and not self._halt.is_set():
                done, _ = await asyncio.wait(workers, timeout=_IDLE, return_when=asyncio.FIRST_EXCEPTION)
                for worker in done:
                    worker.result()
                if done and len(done) == len(workers):
                    return
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    @asynccontextmanager
    async def _serving(self, receivers: Receivers) -> AsyncIterator[None]:
        """Listen for what C-MOVE brings, where anything is moved."""
        if self._listener is None:
            yield
            return
        stop = asyncio.Event()
        task = asyncio.create_task(receivers.serve(self._listener, self._pacs.move_destination, stop))
        try:
            yield
        finally:
            stop.set()
            await task

    async def _work(self) -> None:
        """Do one thing after the other until the harvest is done."""
        busy = False
        while not self._halt.is_set():
            try:
                if not busy and await self._call(lambda tables: tables.harvests.finish(self._harvest.id)):
                    return
                if not busy:
                    await asyncio.sleep(_IDLE)
                if not await self._call(self._holds_pacs):
                    busy = False
                    continue
                began = await self._admitted()
                if began is None:
                    return
                try:
                    busy = await self._one()
                finally:
                    self._admission.ended(began, _now())
            except Unavailable as error:
                busy = False
                self._met(error)

    def _met(self, error: Unavailable) -> None:
        """Note what is away."""
        if error.reason is Reason.PEER_AWAY and self._away_since is None:
            self._away_since = time.monotonic()
        log.warning("the harvest from %s waits: %s", self._pacs.name, error.reason.value)

    async def _admitted(self) -> datetime | None:
        """Wait for an association with the PACS; return when it began, None where the harvest is to stop."""
        while not self._halt.is_set():
            now = _now()
            if self._admission.start(now):
                return now
            wait = self._admission.wait(now)
            await asyncio.sleep(min(wait if math.isfinite(wait) else _IDLE, _LONGEST_WAIT, _IDLE))
        return None

    async def _one(self) -> bool:
        """Resolve some rows, or fetch a study; False: there is nothing to do."""
        rows = await self._call(self._rows)
        if rows:
            try:
                await self._resolve(rows)
            finally:
                self._taken_rows.clear()
            return True
        worker = f"{self._pacs.name}-{threading.get_native_id()}"
        study = await self._call(lambda tables: tables.harvests.take_study(self._pacs.name, worker, _LEASE))
        if study is None:
            await self._call(lambda tables: tables.harvests.reap())
            return False
        await self._fetch(study)
        return True

    # Rows.

    def _rows(self, tables: Tables) -> list[tuple[int, bytes]]:
        """Return rows that no other worker of this process has in hand."""
        if self._taken_rows:
            return []
        if tables.harvests.harvest(self._harvest.id).state == "paused":
            return []
        rows = tables.harvests.rows_to_resolve(self._harvest.id, _ROWS)
        self._taken_rows = {row for row, _ in rows}
        return rows

    async def _resolve(self, rows: list[tuple[int, bytes]]) -> None:
        """Ask the PACS what rows mean."""
        row = rows[0][0]
        try:
            async with connect(self._retriever.peer, service(FIND)) as client:
                self._away_since = None
                for row, sealed in rows:
                    if self._halt.is_set():
                        return
                    await self._resolve_one(client, row, sealed)
        except Unavailable as error:
            if error.reason not in {Reason.PEER_REFUSED, Reason.PEER_ABORTED, Reason.PEER_PROTOCOL}:
                raise
            await self._refused(row, error.reason)

    async def _resolve_one(self, client: Client, row: int, sealed: bytes) -> None:
        wanted = self._seals.open_row(self._harvest.list_key, row, sealed)
        found = await matches_of(client, wanted, _now().date(), self._pacs.find_limit)
        facts = StudyFacts(
            query=found.ending, matches=len(found.studies), capped=found.capped, means_many=wanted.means_many
        )
        verdict = judge_row(facts)
        keep = verdict in {None, Verdict.UNVERIFIED}
        studies = [self._seals.study(uid) for uid in found.studies] if keep else []
        await self._call(
            lambda tables: tables.harvests.resolved(
                self._harvest.id, row, studies=studies, verdict=None if verdict is None else verdict.value
            )
        )

    async def _refused(self, row: int, reason: Reason) -> None:
        """Note that the PACS would not answer for a row; after some tries that is the answer."""
        self._tries[row] = self._tries.get(row, 0) + 1
        if self._tries[row] < self._pacs.attempts:
            await asyncio.sleep(min(self._pacs.backoff_s, _IDLE))
            return
        await self._call(
            lambda tables: tables.harvests.resolved(
                self._harvest.id, row, verdict=Verdict.REFUSED.value, reason=reason.value
            )
        )

    # Studies.

    async def _fetch(self, study: TakenStudy) -> None:
        """Fetch a study and note what is to be said of it, or let it wait."""
        renewing = asyncio.create_task(self._renew(study))
        ended = False
        try:
            run = await self._run_of(study.run_id)
            uid = self._seals.open_study(study.study_key, study.sealed)
            facts = await self._retriever.fetch(run, uid, self._books(study))
            self._away_since = None
            await self._conclude(study, facts, None)
            ended = True
        except Unavailable as error:
            if error.reason is Reason.LEASE_LOST:
                ended = True
                return
            if error.reason is Reason.PEER_AWAY:
                self._met(error)
            elif error.reason in {Reason.PEER_REFUSED, Reason.PEER_ABORTED, Reason.PEER_PROTOCOL}:
                await self._conclude(study, StudyFacts(), error.reason)
                ended = True
            else:
                raise
        finally:
            renewing.cancel()
            if not ended:  # not its fault: something is away, or the harvest stops
                delay = 0.0 if self._halt.is_set() else self._pacs.backoff_s
                with suppress(Unavailable):
                    await asyncio.shield(
                        self._call(lambda tables: tables.harvests.give_back(study, delay, counts=False))
                    )

    async def _conclude(self, study: TakenStudy, facts: StudyFacts, reason: Reason | None) -> None:
        """End a study with its verdict, or let it be tried again."""
        verdict = judge_study(facts).verdict
        if verdict in _AGAIN and study.attempts < self._pacs.attempts:
            delay = self._pacs.backoff_s * 2 ** (study.attempts - 1)
            await self._call(lambda tables: tables.harvests.give_back(study, delay))
            return
        if verdict is Verdict.PENDING:
            verdict = Verdict.REFUSED
        said = verdict.value
        await self._call(lambda tables: tables.harvests.end_study(study, said, reason and reason.value))

    def _books(self, study: TakenStudy) -> Books:
        """Return the ledger as retrieving sees it."""

        async def expect(instances: list[Instance]) -> None:
            keyed = [self._seals.instance(one) for one in instances]
            await self._call(lambda tables: tables.harvests.expect(study, keyed))

        async def missing() -> list[Instance]:
            found = await self._call(lambda tables: tables.harvests.missing(study))
            return [self._seals.open_instance(one) for one in found]

        async def arrived(keys: list[bytes]) -> set[bytes]:
            return await self._call(lambda tables: tables.harvests.arrived(study.run_id, keys))

        async def admit(count: int) -> None:
            while not self._bucket.take(count, time.monotonic()):  # noqa: ASYNC110 - the bucket fills with time alone
                await asyncio.sleep(min(self._bucket.wait(count, time.monotonic()), _IDLE))

        return Books(expect=expect, missing=missing, arrived=arrived, admit=admit)

    async def _renew(self, study: TakenStudy) -> None:
        while True:
            await asyncio.sleep(_RENEW)
            with suppress(Unavailable):
                await self._call(lambda tables: tables.harvests.renew(study, _LEASE))

    # The ledger.

    async def _run_of(self, run_id: int) -> Run:
        if run_id not in self._runs:
            self._runs[run_id] = await self._call(lambda tables: tables.ledger.run(run_id))
        return self._runs[run_id]

    def _holds_pacs(self, tables: Tables) -> bool:
        """Tell whether this process is the one that fetches from the PACS: a lock that ends with the connection."""
        if self._held is not tables.connection:
            self._held = tables.connection if tables.harvests.hold_pacs(self._pacs.name) else None
        return self._held is tables.connection

    async def _call(self, work: Callable[[Tables], T]) -> T:
        """Run a statement in the harvest's own thread for them."""
        return await asyncio.get_running_loop().run_in_executor(self._database, self._session.call, work)


def _now() -> datetime:
    return datetime.now(UTC)

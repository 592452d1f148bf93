"""Makes the reports on storage commitment that are owed, on associations of its own (PS3.4 section J.3.3).

A modality that asks for commitment and hangs up waits for the answer at its own port, for hours or for ever, and keeps
its instances until then. Its address does not stand in any message, so it has to be told beforehand.

What is owed is in the ledger before the request is answered, and sealed, so that neither a restart nor a crash loses
it. While the association of the request lives, or a report is being made, this process renews its lease; when the
process dies, another one takes over where the lease ends. So a report is made once, unless a process dies, or the
ledger is away, in the moment after the peer has taken it.

One task speaks to the ledger, once a second and whenever something has changed, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final, Self, TypeVar

from farm.errors import FarmError, place_of
from farm.net.commitment import Asked
from farm.net.committing import Owed
from farm.net.reporting import report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from farm.ledger.reports import Report, Reports
    from farm.net.peers import Peer
    from farm.queue import Sealer, Session

log = logging.getLogger(__name__)

T = TypeVar("T")
_KEY_BYTES: Final = 16
_TABLE: Final = "reports"


@dataclass(frozen=True, slots=True, kw_only=True)
class Paces:
    """Seconds: before each attempt (the last again and again), until it is given up, of a lease, between two looks."""

    pauses: tuple[float, ...] = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0)
    longest: float = 3 * 86_400.0
    lease: float = 20.0
    look: float = 1.0


_PACES: Final = Paces()


class Reporter:
    """Notes and makes the reports of one receiving process, for one run."""

    def __init__(
        self, peers: Mapping[str, Peer], session: Session, sealer: Sealer, run_id: int, paces: Paces = _PACES
    ) -> None:
        """Take the peers by their application entity titles, and a session that nobody else uses."""
        self._peers, self._paces = peers, paces
        self._session, self._sealer, self._run_id = session, sealer, run_id
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reports")
        self._held: set[bytes] = set()  # whose leases are ours
        self._settled: set[bytes] = set()
        self._deferred: dict[bytes, tuple[int, float]] = {}  # with which attempt, and for how long
        self._making: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._kept = -paces.lease
        self._loop: asyncio.Task[None] | None = None
        self._ends = False

    async def __aenter__(self) -> Self:
        if self._peers:
            self._loop = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        """End: what is not made waits for the next start."""
        self._ends = True
        self._changed.set()
        if self._loop is not None:
            await self._loop  # cancelled, it would not learn what it has taken
        making = list(self._making)
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        for key in self._held:
            self._deferred.setdefault(key, (0, 0.0))
        if self._settled or self._deferred:
            await self._look()
        self._thread.shutdown()
        self._session.close()

    # What associations say.

    async def note(self, owed: Owed) -> bytes:
        """Note what is going to be reported; return what it is known by, empty where the peer is not known."""
        if owed.calling not in self._peers:
            return b""
        key = secrets.token_bytes(_KEY_BYTES)

        def noted(reports: Reports) -> None:
            sealed = self._sealer.seal(_TABLE, key, _packed(owed))
            reports.note(self._run_id, key, owed.calling, sealed, self._paces.lease)

        await self._call(noted)
        self._held.add(key)
        return key

    def settle(self, note: bytes) -> None:
        """Forget a report: the peer has it."""
        self._settled.add(note)
        self._changed.set()

    def owe(self, note: bytes) -> None:
        """Report soon."""
        self._defer(note, 0)

    # Within.

    def _defer(self, key: bytes, attempts: int, delay: float | None = None) -> None:
        """Let a report wait after so many attempts."""
        pauses = self._paces.pauses
        self._held.discard(key)
        self._deferred[key] = (attempts, pauses[min(attempts, len(pauses) - 1)] if delay is None else delay)
        self._changed.set()

    async def _run(self) -> None:
        while not self._ends:
            for due in await self._look(takes=True):
                self._held.add(due.report_key)
                making = asyncio.create_task(self._make(due))
                self._making.add(making)
                making.add_done_callback(self._making.discard)
            try:
                async with asyncio.timeout(self._paces.look):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _look(self, *, takes: bool = False) -> list[Report]:
        """Tell the ledger what has changed, and return what is due; while it is away all stays as it is."""
        self._changed.clear()
        settled, deferred, held = set(self._settled), dict(self._deferred), self._held - self._settled
        keeps = takes and monotonic() - self._kept >= self._paces.lease / 4

        def tell(reports: Reports) -> list[Report]:
            if settled:
                reports.settle(sorted(settled))
            for key, (attempts, delay) in deferred.items():
                reports.defer(key, attempts, delay)
            if keeps:
                reports.renew(sorted(held), self._paces.lease)
                for peer, count in Counter(reports.give_up(self._run_id, self._paces.longest)).items():
                    log.warning("%s gets no report on storage commitment (%d): it was tried too long", peer, count)
            return reports.take(self._run_id, sorted(self._peers), self._paces.lease) if takes else []

        try:
            due = await self._call(tell)
        except FarmError as error:
            log.debug("reports on storage commitment wait: %s", error.reason.value)
            return []
        except Exception as error:  # noqa: BLE001 - its text may carry a value, and the task has to go on
            log.error("reports on storage commitment fail: %s", place_of(error))  # noqa: TRY400 - likewise
            return []
        self._kept = monotonic() if keeps else self._kept
        self._held -= settled
        self._settled -= settled
        self._deferred = {key: wait for key, wait in self._deferred.items() if deferred.get(key) != wait}
        return due

    async def _make(self, due: Report) -> None:
        """Make one report, and note what became of it."""
        try:
            owed = _unpacked(due.calling, self._sealer.open(_TABLE, due.report_key, due.sealed))
            await report(self._peers[due.calling], owed)
        except FarmError as error:
            log.info("%s did not get a report on storage commitment: %s", due.calling, error.reason.value)
            self._defer(due.report_key, due.attempts)
        except Exception as error:  # noqa: BLE001 - as above
            log.error("a report on storage commitment fails: %s", place_of(error))  # noqa: TRY400 - likewise
            self._defer(due.report_key, due.attempts)
        except BaseException:
            self._defer(due.report_key, due.attempts, 0.0)
            raise
        else:
            self.settle(due.report_key)

    async def _call(self, work: Callable[[Reports], T]) -> T:
        """Run statements in the thread for them: an event loop must not wait for a database."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._session.call, lambda tables: work(tables.reports))


def _packed(owed: Owed) -> bytes:
    """Return a report as bytes, to be sealed."""
    instances = [[*pair, is_held] for pair, is_held in zip(owed.asked.instances, owed.held, strict=True)]
    return json.dumps([owed.called, owed.asked.transaction, instances], separators=(",", ":")).encode()


def _unpacked(calling: str, data: bytes) -> Owed:
    called, transaction, instances = json.loads(data)
    asked = Asked(transaction=transaction, instances=tuple((one, uid) for one, uid, _ in instances))
    return Owed(calling=calling, called=called, asked=asked, held=tuple(is_held for *_, is_held in instances))

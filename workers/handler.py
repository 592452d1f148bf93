"""What a worker does with a parcel; there is no Celery in here.

lease -> for each instance: read, process, stage -> registry -> sync, claim, release, settle -> commit

Frames are transcoded in a process of its own (`farm.host`), as many instances at once as that wants: one, or on a
device the whole parcel. So the way of each instance up to its staging is a generator that stops at the work on its
frames.

The class of an error decides an instance's fate. `BadInput` quarantines it. `Unavailable` gives the attempt back, to be
tried again later. `BadRecipe` stops the run. Anything else is the farm's own fault: it counts as an attempt and is
logged as a class and a place in the code, never with its text, which may carry a value. One instance's failure never
touches the others of the parcel.
"""

from __future__ import annotations

import logging
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.errors import BadRecipe, FarmError, Reason, Unavailable, place_of
from farm.host.making import host_of, limits_of
from farm.ledger import Failed, GivenBack
from farm.pipeline import needs, steps
from farm.queue import Place, Session
from workers.context import Contexts
from workers.keeper import Keeper
from workers.release import Prepared, release
from workers.ways import Way, go

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import AbstractContextManager

    from farm.dicom.elements import Data
    from farm.frames.work import Result, Work
    from farm.ledger import Lease, Leased, Outcome
    from farm.pipeline import Mapping, Needs
    from farm.settings import Settings
    from workers.context import RunContext

log = logging.getLogger(__name__)

_WAIT = 5.0
"""Seconds until an attempt that was given back, because something is away, starts again."""


class Handler:
    """The work of one process, parcel after parcel."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._worker = worker_name(os.getpid())
        self._contexts = Contexts(settings)
        self._transcoder = host_of(settings)
        self._limits = limits_of(settings)
        self._session = self._new_session(settings.lease_seconds)
        self._keeper = Keeper(self._new_session(0), every=settings.renew_seconds, seconds=settings.lease_seconds)

    def handle(self, generation: int) -> None:
        """Lease the parcel and end each of its instances, one way or another; return when nothing is left to do."""
        seconds = self._settings.lease_seconds
        try:
            lease = self._session.call(lambda tables: tables.ledger.lease(generation, self._worker, seconds))
            if lease is not None:
                with self._keeper.holding(lease.token):
                    self._finish(lease)
        except Unavailable as error:
            # Nothing more can be said to the ledger: the lease ends by itself and the reaper takes the rows.
            log.warning("parcel %d was dropped: %s", generation, error.reason.value)

    def close(self) -> None:
        """Drop what the process holds."""
        self._transcoder.close()
        self._keeper.close()
        self._session.close()

    def _finish(self, lease: Lease) -> None:
        """Work the leased instances and commit what became of them."""
        try:
            outcomes = self._worked(lease)
        except Unavailable as error:
            if error.reason is Reason.LEASE_LOST:
                raise
            outcomes = _all_back(lease, _WAIT, error.reason)
        except BadRecipe as error:
            reason = error.reason
            log.error("run %d stops: %s", lease.run_id, error)  # noqa: TRY400 - a traceback adds nothing to a code
            self._session.call(lambda tables: tables.ledger.stop(lease.run_id, reason))
            outcomes = _all_back(lease)
        except SystemExit:
            self._hand_back(lease)
            raise
        except Exception as error:  # noqa: BLE001 - Celery would log and send its text; each instance goes on alone
            log.error("parcel %d: %s", lease.token, place_of(error))  # noqa: TRY400 - the text may carry a value
            outcomes = [Failed(id=row.id, reason=Reason.INTERNAL_ERROR) for row in lease.rows]
        self._session.call(lambda tables: tables.ledger.commit(lease.token, outcomes))

    def _hand_back(self, lease: Lease) -> None:
        """Give the parcel back, uncounted, because a cold shutdown ends this process at once.

        The signal may have come in the middle of a statement, so a connection of its own says it.
        """
        session = self._new_session(0)
        with suppress(FarmError):
            session.call(lambda tables: tables.ledger.commit(lease.token, _all_back(lease)))
        session.close()

    def _worked(self, lease: Lease) -> list[Outcome]:
        context = self._session.call(lambda tables: self._contexts.of(lease.run_id, tables))
        prepared: list[Prepared] = []
        try:
            mapping = context.mapping or self._asked(context, lease.rows)
            outcomes = self._prepare(context, mapping, lease.rows, prepared)
            if not prepared:
                return outcomes
            self._record(context, prepared)
            return outcomes + release(
                prepared,
                context.store,
                lambda wanted: self._session.call(lambda tables: tables.ledger.claim(lease.token, wanted)),
            )
        except BaseException:
            for item in prepared:
                with suppress(FarmError):
                    context.store.discard(item.staged)
            raise

    def _asked(self, context: RunContext, rows: Sequence[Leased]) -> Mapping:
        """Survey the parcel's instances and ask the registry for all that they need, in one round trip."""
        surveyed: list[Needs] = []
        for row in rows:
            self._keeper.check()
            try:
                with self._reading(context, row) as data:
                    surveyed.append(needs(data, context.recipe, self._limits))
            except Unavailable:
                raise
            except Exception:  # noqa: BLE001, S112 - the work itself meets it again, and says what becomes of the instance
                continue
        scheme = context.recipe.scheme
        return self._session.call(lambda tables: tables.registry.resolve(context.project_id, scheme, surveyed))

    def _prepare(
        self, context: RunContext, mapping: Mapping, rows: Sequence[Leased], prepared: list[Prepared]
    ) -> list[Outcome]:
        """Read, de-identify and stage each row into `prepared`; return the outcomes of those that cannot go on."""
        outcomes: list[Outcome] = []
        batch = self._transcoder.batch
        for at in range(0, len(rows), batch):
            self._keeper.check()
            ways = [Way(row.id, self._steps(context, mapping, row)) for row in rows[at : at + batch]]
            try:
                go(ways, self._transcoder)
            except Unavailable as error:
                prepared += [way.prepared for way in ways if way.prepared]
                ended = {way.id for way in ways if way.ended}
                back = [
                    GivenBack(id=row.id, delay_s=_WAIT, trouble=error.reason)
                    for row in rows[at:]
                    if row.id not in ended
                ]
                return outcomes + [way.outcome for way in ways if way.outcome] + back
            finally:
                for way in ways:
                    way.close()
            prepared += [way.prepared for way in ways if way.prepared]
            outcomes += [way.outcome for way in ways if way.outcome]
        return outcomes

    def _reading(self, context: RunContext, row: Leased) -> AbstractContextManager[Data]:
        """Give an instance's bytes."""
        locator = self._contexts.sealer.open_locator(Place(key=row.locator_key, sealed=row.locator_sealed))
        limit = self._settings.read_limit_bytes
        return context.source.read(locator, size=row.size, mtime_ns=row.mtime_ns, limit=limit)

    def _steps(self, context: RunContext, mapping: Mapping, row: Leased) -> Generator[Work, Result, Prepared]:
        """Bring a row to its staging, with a stop at the work on its frames."""
        staged = None
        try:
            with self._reading(context, row) as data:
                product = yield from steps(data, context.recipe, mapping, self._limits, waived=row.waived)
                report = product.report
                staged = context.store.stage(report.path, product.segments)
                del product  # its segments point into `data`, which may be a mapping that ends with the block
        except BaseException:
            if staged is not None:  # a mapped source is known to have changed only when the block ends
                context.store.discard(staged)
            raise
        return Prepared(id=row.id, staged=staged, report=report)

    def _record(self, context: RunContext, prepared: Sequence[Prepared]) -> None:
        """Write the parcel's mapping to the registry, before any of it is released."""
        mapped = [item.report.mapped for item in prepared]
        self._session.call(lambda tables: tables.registry.record(context.project_id, mapped))

    def _new_session(self, patience: float) -> Session:
        contexts, settings = self._contexts, self._settings
        return Session(
            settings.database_url,
            contexts.vault,
            contexts.key,
            max_attempts=settings.max_attempts,
            patience=patience,
        )


def worker_name(pid: int) -> str:
    """Return the name under which a process of this host holds its leases."""
    return f"{socket.gethostname()}/{pid}"


def _all_back(lease: Lease, delay: float = 0.0, trouble: Reason | None = None) -> list[Outcome]:
    return [GivenBack(id=row.id, delay_s=delay, trouble=trouble) for row in lease.rows]

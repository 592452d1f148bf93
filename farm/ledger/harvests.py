"""Harvests in the ledger: what is wanted of a PACS, what it lists, and what is still missing.

    row: pending --resolved--> its studies, or a verdict; pending again, for a while, when the PACS would not answer
    study: found --expect--> listed --end--> a verdict; fetching while it is leased

A study's token is drawn anew with every lease: whoever ends the lease (end, give back, reap) takes the token off, and
who still holds the old one can do nothing with it. What is missing is what was expected less what has arrived in the
run, by whatever way, so that a harvest that goes on after a restart, or a retry, asks for that alone.

Time is the server's clock; every method is one statement or one transaction; when the server is away it raises
`Unavailable(DATABASE_AWAY)`.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from farm.database import Database, load_queries
from farm.errors import BadRecipe, Reason, Unavailable
from farm.ledger.harvest_values import (
    Harvest,
    HarvestProgress,
    Keyed,
    ListRow,
    RowResult,
    StudyResult,
    TakenStudy,
    WaitingRow,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

_QUERIES: Final = load_queries("farm.ledger", "harvests.sql")
_STAGED: Final = ["int4", "text", "text", "bytea"]
_PAGE: Final = 1000
_DAMAGED: Final = [
    reason.value
    for reason in (
        Reason.NOT_DICOM,
        Reason.EMPTY_FILE,
        Reason.TRUNCATED,
        Reason.BAD_STRUCTURE,
        Reason.BAD_DEFLATE,
        Reason.PIXEL_LENGTH,
        Reason.PIXELS_UNDECODABLE,
        Reason.SOURCE_CHANGED,
        Reason.SOURCE_GONE,
    )
]
"""Why an instance is quarantined that may come whole another time."""


class Harvests:
    """The harvests through one connection; not for use by two threads at a time."""

    def __init__(self, conn: psycopg.Connection) -> None:
        """Take an autocommit connection."""
        self._db = Database(conn, _QUERIES)

    # The list.

    def open(  # noqa: PLR0913 - the facts that make a harvest
        self,
        *,
        run_id: int,
        pacs: str,
        list_key: bytes,
        sealed: bytes,
        priority: int = 0,
        name_key: bytes | None = None,
    ) -> Harvest:
        """Return the harvest of this list from this PACS into this run: new, or the one there was, as it stands."""
        facts = {"run_id": run_id, "pacs": pacs, "list_key": list_key, "sealed": sealed, "priority": priority}
        return self.harvest(self._db.value("open", facts | {"name_key": name_key}))

    def harvest(self, harvest_id: int) -> Harvest:
        """Return a harvest; raise `BadRecipe(BAD_OPTION)` when there is none of this number."""
        for harvest in self._db.objects(Harvest, "harvest", {"harvest_id": harvest_id}):
            return harvest
        raise BadRecipe(Reason.BAD_OPTION, "there is no such harvest", harvest=harvest_id)

    def harvests(self) -> list[Harvest]:
        """Return all harvests, the newest first."""
        return self._db.objects(Harvest, "harvests")

    def add_rows(self, harvest_id: int, rows: Sequence[ListRow]) -> int:
        """Add the rows that the harvest does not know yet, some thousand at a time; return how many those were."""
        with self._db.transaction():
            self._db.run("make_staging")
            self._db.run("lock", {"harvest_id": harvest_id})
            self._db.copy("fill_staging", _STAGED, ((one.row, one.verdict, one.reason, one.sealed) for one in rows))
            return int(self._db.value("add_rows", {"harvest_id": harvest_id}))

    def listed(self, harvest_id: int) -> None:
        """Note that every row of the list has been added."""
        self._db.run("listed", {"harvest_id": harvest_id})

    def first_in_line(self, pacs: str) -> int | None:
        """Return the harvest of a PACS whose turn it is: of those with a row or study to ask for now, by priority."""
        return next((harvest_id for (harvest_id,) in self._db.rows("first_in_line", {"pacs": pacs})), None)

    def rows_to_resolve(self, harvest_id: int, most: int) -> list[WaitingRow]:
        """Return rows that the PACS is to be asked for now, in the order of the list; those that failed come last.

        They are not leased: who holds the PACS (`hold_pacs`) resolves them.
        """
        return self._db.objects(WaitingRow, "rows_to_resolve", {"harvest_id": harvest_id, "most": most})

    def defer_row(self, row: WaitingRow, delay_s: float, *, counts: bool = True) -> None:
        """Let a row wait for another attempt; `counts`: this one does."""
        held = {"harvest_id": row.harvest_id, "row": row.row, "attempts": row.attempts}
        self._db.run("defer_row", held | {"delay": delay_s, "counts": counts})

    def resolved(
        self,
        harvest_id: int,
        row: int,
        *,
        studies: Sequence[Keyed] = (),
        verdict: str | None = None,
        reason: str | None = None,
    ) -> int:
        """Note what a row means: studies, a verdict of its own, or both; return how many studies are new.

        A row that is resolved already stays as it is.
        """
        distinct = {study.key: study.sealed for study in studies}
        values = {"harvest_id": harvest_id, "row": row, "verdict": verdict, "reason": reason, **_columns(distinct)}
        [(new, _)] = self._db.rows("resolve", values)
        return int(new)

    # The studies.

    def take_study(self, pacs: str, worker: str, seconds: float) -> TakenStudy | None:
        """Lease the next study of a PACS, the harvest of the highest priority first; None: nothing waits."""
        values = {"pacs": pacs, "worker": worker, "seconds": seconds}
        return next(iter(self._db.objects(TakenStudy, "take_study", values)), None)

    def renew(self, study: TakenStudy, seconds: float) -> bool:
        """Prolong the lease; False: someone has ended it, so stop working on the study."""
        return self._db.run("renew", _held(study) | {"seconds": seconds}) > 0

    def expect(self, study: TakenStudy, instances: Sequence[Keyed], *, whole: bool = True) -> None:
        """Note the instances that the PACS lists, instead of those noted before; beside them where it lists not all.

        Raise `Unavailable(LEASE_LOST)` when the lease has ended.
        """
        distinct = {instance.key: instance.sealed for instance in instances}
        held = _held(study)
        with self._db.transaction():
            known = self.expected(study.harvest_id, study.study_key)
            count = len(distinct) if whole else len(known | distinct.keys())
            if not self._db.run("hold", held | {"expected": count}):
                raise Unavailable(Reason.LEASE_LOST)
            if whole and (gone := known - distinct.keys()):
                self._db.run("forget", held | {"keys": sorted(gone)})
            if new := {key: sealed for key, sealed in distinct.items() if key not in known}:
                self._db.run("expect", held | _columns(new))

    def expected(self, harvest_id: int, study_key: bytes) -> set[bytes]:
        """Return the keys of the instances that were noted last."""
        return {key for (key,) in self._db.rows("expected", {"harvest_id": harvest_id, "study_key": study_key})}

    def missing_of(self, harvest_id: int, study_key: bytes) -> list[Keyed]:
        """Return the instances of a study that are expected and have not arrived in the run, in the order of keys."""
        rows = self._db.rows("missing", {"harvest_id": harvest_id, "study_key": study_key})
        return [Keyed(key=key, sealed=sealed) for key, sealed in rows]

    def missing(self, study: TakenStudy) -> list[Keyed]:
        """Return what is missing of a study that is leased."""
        return self.missing_of(study.harvest_id, study.study_key)

    def arrived(self, run_id: int, keys: Sequence[bytes]) -> set[bytes]:
        """Return those of these instances that have arrived in the run."""
        return {key for (key,) in self._db.rows("arrived", {"run_id": run_id, "keys": list(keys)})}

    def end_study(self, study: TakenStudy, verdict: str, reason: str | None = None) -> None:
        """Note what is said of a study, and end the lease; raise `Unavailable(LEASE_LOST)` when it has ended."""
        if not self._db.value("end_study", _held(study) | {"verdict": verdict, "reason": reason}):
            raise Unavailable(Reason.LEASE_LOST)

    def give_back(self, study: TakenStudy, delay_s: float = 0.0, *, counts: bool = True) -> bool:
        """End the lease, and let the study wait; `counts`: the attempt does. False: the lease had ended."""
        return self._db.run("give_back", _held(study) | {"delay": delay_s, "counts": counts}) > 0

    def hold_pacs(self, pacs: str) -> bool:
        """Become the one that fetches from a PACS, for as long as the connection lasts; False: another is."""
        return bool(self._db.value("hold_pacs", {"pacs": pacs}))

    def reclaim(self, pacs: str) -> int:
        """End the leases of all studies of a PACS; return how many. Who holds the PACS alone may do it, once.

        Who held them has died, or lost the PACS: that is no attempt of the study's.
        """
        return self._db.run("reclaim", {"pacs": pacs})

    def reap(self) -> int:
        """End the leases that have expired; return how many studies. The attempts count."""
        return self._db.run("reap")

    # What people ask and order.

    def retry(self, harvest_id: int, verdicts: Sequence[str] | None = None) -> int:
        """Ask again for rows and studies with these verdicts; return how many.

        None: all but complete and bad rows, and what is complete where an instance of it has arrived damaged.
        """
        values = {"harvest_id": harvest_id, "verdicts": None if verdicts is None else list(verdicts)}
        with self._db.transaction():
            self._db.run("lock", values)
            freed = int(self._db.value("retry_rows", values)) + int(self._db.value("retry_studies", values))
            if verdicts is None:
                freed += int(self._db.value("retry_damaged", values | {"reasons": _DAMAGED}))
            if freed:
                self._db.run("reopen", values)
        return freed

    def pause(self, harvest_id: int) -> Harvest:
        """Begin nothing more; what is asked for already comes. One that is complete or cancelled stays so."""
        return self._turned(harvest_id, "paused", ["active"])

    def resume(self, harvest_id: int) -> Harvest:
        """Let a harvest that is paused or cancelled go on."""
        return self._turned(harvest_id, "active", ["paused", "cancelled"])

    def cancel(self, harvest_id: int) -> Harvest:
        """Begin nothing more, for good, and end what is leased. One that is complete stays so."""
        with self._db.transaction():
            cancelled = self._turned(harvest_id, "cancelled", ["active", "paused"])
            if cancelled.state == "cancelled":
                self._db.run("take_away", {"harvest_id": harvest_id})
            return cancelled

    def _turned(self, harvest_id: int, state: str, before: list[str]) -> Harvest:
        """Return the harvest, in another state if it was in one of those before."""
        self._db.run("set_state", {"harvest_id": harvest_id, "state": state, "before": before})
        return self.harvest(harvest_id)

    def prioritise(self, harvest_id: int, priority: int) -> None:
        """Put a harvest before all that have a lower priority."""
        self._db.run("set_priority", {"harvest_id": harvest_id, "priority": priority})

    def finish(self, harvest_id: int) -> bool:
        """Set the harvest complete when its list is in and every row and study has a verdict.

        Tell whether that, or that it is cancelled, is its end. What is said to be complete is on the disk.
        """
        with self._db.transaction():
            self._db.run("durable")
            return self._db.run("finish", {"harvest_id": harvest_id}) > 0 or (
                self.harvest(harvest_id).state in {"complete", "cancelled"}
            )

    def progress(self, harvest_id: int) -> HarvestProgress:
        """Return the counts by verdict; it costs the same for ten rows and for 10^7."""
        progress = HarvestProgress()
        kinds = {"row": progress.rows, "study": progress.studies}
        for kind, verdict, count in self._db.rows("tallies", {"harvest_id": harvest_id}):
            if count:
                kinds[kind][verdict] = count
        return progress

    def results(self, harvest_id: int) -> Iterator[RowResult]:
        """Yield every row with what is said of it and its studies, in the order of the list, a page at a time."""
        after_row = -1
        while rows := self._db.rows("results", {"harvest_id": harvest_id, "after_row": after_row, "most": _PAGE}):
            studies = self._studies(harvest_id, after_row, rows[-1][0])
            for row, sealed, verdict, reason in rows:
                found = tuple(studies.get(row, ()))
                yield RowResult(row=row, sealed=sealed, verdict=verdict, reason=reason, studies=found)
            after_row = rows[-1][0]

    def _studies(self, harvest_id: int, after_row: int, last_row: int) -> dict[int, list[StudyResult]]:
        """Return the studies of a page of rows by row."""
        values = {"harvest_id": harvest_id, "after_row": after_row, "last_row": last_row}
        rows = self._db.rows("result_studies", values)
        return {row: [_study(*facts) for _, *facts in some] for row, some in groupby(rows, key=lambda one: one[0])}


def _study(study_key: bytes, sealed: bytes, verdict: str, reason: str | None, expected: int | None) -> StudyResult:
    return StudyResult(study_key=study_key, sealed=sealed, verdict=verdict, reason=reason, expected=expected)


def _held(study: TakenStudy) -> dict[str, Any]:
    return {"harvest_id": study.harvest_id, "study_key": study.study_key, "token": study.token}


def _columns(distinct: dict[bytes, bytes]) -> dict[str, list[bytes]]:
    """Return keys and seals as columns, in one order everywhere, so that two statements never wait for each other."""
    keys = sorted(distinct)
    return {"keys": keys, "seals": [distinct[key] for key in keys]}

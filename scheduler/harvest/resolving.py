"""Resolves rows: asks a PACS which studies the rows of its harvests' lists mean, the most urgent harvest first.

Who holds the PACS asks for the rows of all its harvests, whichever process brought them, for a list that is urgent
cannot wait until somebody else's is through. One worker at a time has rows in hand, so they need no lease. A row that
the PACS would not answer waits and is asked again, as a study is; after some attempts that is its verdict. Where a part
of it was answered meanwhile, it has got on, and that attempt does not count.

A row of dates may take thousands of queries. Before each of them it is asked whether the time for it is over: the
window has closed, the harvest is paused, another one is more urgent. The row then goes on later where it was, and from
its beginning where the process has ended meanwhile.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from farm.errors import Unavailable
from scheduler.harvest.asking import Question
from scheduler.harvest.retrieving import PEER_REASONS
from scheduler.harvest.verdicts import Ending, StudyFacts, Verdict, judge_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from farm.errors import Reason
    from farm.ledger.harvest_values import WaitingRow
    from farm.queue import Tables
    from scheduler.harvest.asking import Matches
    from scheduler.harvest.line import Line
    from scheduler.harvest.peers import Pacs
    from scheduler.harvest.seals import HarvestSealer

T = TypeVar("T")
_ROWS: Final = 50
"""Rows that a worker takes at once."""
_MOST_BEGUN: Final = 100
"""Rows that go on where they were; what more are broken off begin anew."""
_REFUSED: Final = frozenset({Ending.FAILED, Ending.LOST})


class Call(Protocol):
    """Runs a statement in the thread for them."""

    def __call__(self, work: Callable[[Tables], T]) -> Awaitable[T]:
        """Return what the statement does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What a resolver needs of the harvester that it is a part of."""

    now: Callable[[], datetime]
    may_ask: Callable[[Line, int], Awaitable[bool]]
    """Whether the PACS may be asked one query more for a harvest; waits, the line perhaps closed, for its rate."""
    heard: Callable[[], None]
    """Is told that the PACS has answered."""
    call: Call


class Resolver:
    """Resolves the rows of all harvests of one PACS."""

    def __init__(self, pacs: Pacs, seals: HarvestSealer, asking: Asking) -> None:
        self._pacs, self._seals, self._asking = pacs, seals, asking
        self._is_in_hand = False
        self._begun: dict[tuple[int, int], Question] = {}

    def take(self, tables: Tables) -> list[WaitingRow]:
        """Return rows of the harvest whose turn it is; none while a worker has some. `resolve` has to follow."""
        if self._is_in_hand or (harvest_id := tables.harvests.first_in_line(self._pacs.name)) is None:
            return []
        rows = tables.harvests.rows_to_resolve(harvest_id, _ROWS)
        self._is_in_hand = bool(rows)
        return rows

    async def resolve(self, line: Line, rows: list[WaitingRow]) -> bool:
        """Ask the PACS what rows mean, as long as it may be asked and answers; tell whether it has for all.

        Raise `Unavailable` when there is no association, which is nobody's attempt.
        """
        try:
            for row in rows:
                if not await self._resolve_one(line, row):
                    return False
        finally:
            self._is_in_hand = False
        return True

    async def _resolve_one(self, line: Line, row: WaitingRow) -> bool:
        question = self._question(row)
        before, reason = question.answers, None
        matches: Matches | None = None
        while matches is None:
            if not await self._asking.may_ask(line, row.harvest_id):
                return False
            client = await line.client()
            try:
                matches = await question.ask(client)
            except Unavailable as error:
                if error.reason not in PEER_REASONS:
                    raise
                line.abort()
                matches, reason = question.so_far(Ending.LOST), error.reason
            else:
                self._asking.heard()
                self._keep(row, question)
        got_on = question.answers > before
        if matches.ending in _REFUSED and (got_on or row.attempts + 1 < self._pacs.attempts):
            delay = self._pacs.backoff_s * 2**row.attempts
            await self._asking.call(lambda tables: tables.harvests.defer_row(row, delay, counts=not got_on))
        else:
            await self._conclude(row, matches, reason)
        return reason is None

    def _question(self, row: WaitingRow) -> Question:
        """Return what a row asks for, from where it was broken off if it was."""
        begun = self._begun.get((row.harvest_id, row.row))
        if begun is not None:
            return begun
        wanted = self._seals.open_row(row.list_key, row.row, row.sealed)
        return Question(wanted, self._asking.now().date(), self._pacs.find_limit)

    def _keep(self, row: WaitingRow, question: Question) -> None:
        """Let a row that has got on be broken off, whatever for."""
        if question.answers:
            self._begun[row.harvest_id, row.row] = question
        for oldest in list(self._begun)[: max(0, len(self._begun) - _MOST_BEGUN)]:
            del self._begun[oldest]

    async def _conclude(self, row: WaitingRow, found: Matches, reason: Reason | None) -> None:
        """Note the studies that a row means, or what is to be said of it."""
        query = Ending.FAILED if found.ending in _REFUSED else found.ending
        wanted = self._seals.open_row(row.list_key, row.row, row.sealed)
        facts = StudyFacts(query=query, matches=len(found.studies), capped=found.capped, means_many=wanted.means_many)
        verdict = judge_row(facts)
        studies = [self._seals.study(uid) for uid in found.studies] if verdict in {None, Verdict.UNVERIFIED} else []
        await self._asking.call(
            lambda tables: tables.harvests.resolved(
                row.harvest_id,
                row.row,
                studies=studies,
                verdict=None if verdict is None else verdict.value,
                reason=reason and reason.value,
            )
        )
        self._begun.pop((row.harvest_id, row.row), None)

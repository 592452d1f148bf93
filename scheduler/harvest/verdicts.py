"""What may be said of a row or a study when a harvest is done with it: a closed list, and the one rule that says it.

A PACS's own word is not proof: a C-MOVE may end with success before, or without, the data having arrived. So a study is
complete by the instances that arrived against those that an IMAGE level query listed, and by nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable


class Verdict(StrEnum):
    """What is said of a row or a study. `MEANING` says when."""

    PENDING = "pending"
    COMPLETE = "complete"
    SHORT = "short"
    CHANGED = "changed"
    OFFLINE = "offline"
    NOT_FOUND = "not-found"
    AMBIGUOUS = "ambiguous"
    REFUSED = "refused"
    UNVERIFIED = "unverified"
    BAD_ROW = "bad-row"


MEANING: dict[Verdict, str] = {
    Verdict.PENDING: "It has not been asked for yet, or is on its way.",
    Verdict.COMPLETE: "Every instance that the PACS lists has arrived.",
    Verdict.SHORT: "Instances that the PACS lists have not arrived; the result names them.",
    Verdict.CHANGED: "What the PACS lists changed during the retrieval, and what arrived is neither list.",
    Verdict.OFFLINE: "Nothing arrived, and the PACS says that the study is not online.",
    Verdict.NOT_FOUND: "The PACS knows no study that the row means.",
    Verdict.AMBIGUOUS: "The PACS knows several studies where the row means one; none was retrieved.",
    Verdict.REFUSED: "The PACS refused the query or the retrieval, and nothing arrived.",
    Verdict.UNVERIFIED: "The PACS cannot say which instances or studies there are, so nothing proves that all arrived.",
    Verdict.BAD_ROW: "The row of the list cannot be used.",
}

# What another attempt may better.
_AGAIN: Final = frozenset({Verdict.SHORT, Verdict.CHANGED, Verdict.REFUSED, Verdict.PENDING})
_NEARLINE: Final = "NEARLINE"
_NOT_ONLINE: Final = frozenset({_NEARLINE, "OFFLINE", "UNAVAILABLE"})

# Of the studies of one row, the one that people have to look at first speaks for the row.
_WORST_FIRST: Final = (
    Verdict.PENDING,
    Verdict.BAD_ROW,
    Verdict.AMBIGUOUS,
    Verdict.REFUSED,
    Verdict.OFFLINE,
    Verdict.SHORT,
    Verdict.CHANGED,
    Verdict.NOT_FOUND,
    Verdict.UNVERIFIED,
    Verdict.COMPLETE,
)


class Ending(StrEnum):
    """How a query or a retrieval ended."""

    NOT_TRIED = "not-tried"
    LOST = "lost"
    """The association ended before a final response."""
    SUCCESS = "success"
    WARNING = "warning"
    CANCELLED = "cancelled"
    FAILED = "failed"
    """Any other status, or an association that was rejected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """The instances (their keys) that IMAGE level queries gave; `whole`: every answer ended in success, uncapped."""

    keys: frozenset[bytes]
    whole: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyFacts:
    """All that is known of a row and of the study that it means."""

    query: Ending = Ending.NOT_TRIED
    matches: int = 0
    """Studies that match the row."""
    capped: bool = False
    """There may be more that match."""
    means_many: bool = False
    """Several studies are what the row means."""
    availability: str = ""
    """Instance Availability: ONLINE, NEARLINE, OFFLINE, UNAVAILABLE, or empty where the PACS does not say."""
    before: Listed | None = None
    after: Listed | None = None
    """The instances that were expected, and those that were when they were asked for again; None: no answer."""
    retrieve: Ending = Ending.NOT_TRIED
    arrived: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, the instances that are known to be missing, and whether another attempt may better it."""

    verdict: Verdict
    missing: frozenset[bytes] = frozenset()
    again: bool = False


def ending_of(status: int | None) -> Ending:
    """Return what a final DIMSE status says (PS3.7 annex C, PS3.4 sections C.4.1 to C.4.3); None: there was none."""
    match status:
        case None:
            return Ending.LOST
        case 0x0000:
            return Ending.SUCCESS
        case 0xFE00:
            return Ending.CANCELLED
        case 0x0001 | 0x0107 | 0x0116:
            return Ending.WARNING
    return Ending.WARNING if status >> 12 == 0xB else Ending.FAILED


def judge_row(facts: StudyFacts) -> Verdict | None:
    """Return what is said of a row before anything is retrieved; None: its studies say all.

    Where a row that matched is unverified (there may be more that match), its studies are retrieved all the same.
    """
    is_whole = facts.query is Ending.SUCCESS and not facts.capped
    table: tuple[tuple[bool, Verdict], ...] = (
        (facts.query in {Ending.NOT_TRIED, Ending.LOST}, Verdict.PENDING),
        (facts.matches > 1 and not facts.means_many, Verdict.AMBIGUOUS),
        (facts.matches == 0 and facts.query is Ending.FAILED and not facts.capped, Verdict.REFUSED),
        (facts.matches == 0 and is_whole, Verdict.NOT_FOUND),
        (not is_whole, Verdict.UNVERIFIED),
    )
    return next((verdict for holds, verdict in table if holds), None)


def judge_study(facts: StudyFacts) -> Judgement:
    """Return what is said of a study: the first line of the table that holds.

    What is NEARLINE comes from slower media (PS3.3 section C.4.23.1.1), and a retrieval is what has it fetched: another
    one may find it. What is OFFLINE waits for a person, and what is UNAVAILABLE for nothing.
    """
    expected, is_whole = _expected(facts)
    missing = expected - facts.arrived
    nothing = not expected & facts.arrived if expected else not facts.arrived
    not_tried = facts.retrieve is Ending.NOT_TRIED
    table: tuple[tuple[bool, Verdict], ...] = (
        (is_whole and bool(expected) and not missing, Verdict.COMPLETE),
        (nothing and facts.availability in _NOT_ONLINE, Verdict.OFFLINE),
        (not_tried, Verdict.PENDING),
        (nothing and facts.retrieve is Ending.FAILED, Verdict.REFUSED),
        (_has_changed(facts), Verdict.CHANGED),
        (bool(missing), Verdict.SHORT),
        (True, Verdict.UNVERIFIED),
    )
    verdict = next(verdict for holds, verdict in table if holds)
    comes_late = verdict is Verdict.OFFLINE and facts.availability == _NEARLINE
    return Judgement(verdict=verdict, missing=missing, again=comes_late or verdict in _AGAIN)


def _expected(facts: StudyFacts) -> tuple[frozenset[bytes], bool]:
    """Return the instances that are expected, and whether those are all: by the newest list that is whole.

    What a newer list that is not whole names is expected as well. An empty list says nothing: a study has instances.
    """
    expected: frozenset[bytes] = frozenset()
    for listed in (facts.after, facts.before):
        if listed is not None:
            expected |= listed.keys
            if listed.whole:
                return expected, bool(listed.keys)
    return expected, False


def _has_changed(facts: StudyFacts) -> bool:
    """Tell whether two whole lists differ, and what arrived of their instances is neither."""
    before, after = facts.before, facts.after
    if before is None or after is None or not (before.whole and after.whole) or before.keys == after.keys:
        return False
    return facts.arrived & (before.keys | after.keys) not in {before.keys, after.keys}


def together(verdicts: Iterable[str]) -> Verdict:
    """Return what is said of a row by what is said of its studies and of itself: the worst; none at all is pending."""
    return min((Verdict(one) for one in verdicts), key=_WORST_FIRST.index, default=Verdict.PENDING)

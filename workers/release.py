"""The publish protocol: how a parcel's staged instances get their names, each exactly once.

1. All are on stable storage (`sync`).
2. The ledger records which instance owns which path, with which digest (`claim`), if the lease still stands.
3. The owner links its file to the name, never replacing one. A taken name is either an earlier attempt's release (the
   same digest: adopt it) or a file that no row of the ledger claims (it goes to the orphans).
4. The names are on stable storage (`settle`); only then may the ledger say `done`.

A crash between any two steps leaves at worst a file that the next attempt adopts. What this module decides it returns
as outcomes; the handler commits them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import Reason
from farm.ledger import Done, GivenBack, Quarantined, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from farm.ledger import Claim, Outcome
    from farm.pipeline import Report
    from farm.stores import Staged, Store

    Claimer = Callable[[Sequence[tuple[int, str, str]]], Mapping[int, Claim]]

_NEXT_ROUND = 1.0
"""Seconds until an instance whose path another one is just releasing looks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """An instance that is de-identified and staged."""

    id: int
    staged: Staged
    report: Report


def release(prepared: Sequence[Prepared], store: Store, claim: Claimer) -> list[Outcome]:
    """Give every prepared instance its name, or say why not; nothing stays staged."""
    first, later = _one_per_path(prepared)
    store.sync([item.staged for item in first])
    claims = claim([_wanted(item) for item in first])
    outcomes: list[Outcome] = [_settled(item, claims[item.id], store, claim) for item in first]
    store.settle([item.report.path for item in first if claims[item.id].mine])
    for item in later:
        store.discard(item.staged)
    return outcomes + [GivenBack(id=item.id, delay_s=_NEXT_ROUND) for item in later]


def _one_per_path(prepared: Sequence[Prepared]) -> tuple[list[Prepared], list[Prepared]]:
    """Separate the first instance for each path from those that must wait for its outcome."""
    first: dict[str, Prepared] = {}
    later = [item for item in prepared if first.setdefault(item.report.path, item) is not item]
    return list(first.values()), later


def _settled(item: Prepared, claimed: Claim, store: Store, claim: Claimer) -> Outcome:
    if claimed.mine:
        _take_name(item, store, claim)
        return Done(id=item.id, report=item.report)
    store.discard(item.staged)
    if claimed.owner_state != "done":
        return GivenBack(id=item.id, delay_s=_NEXT_ROUND)
    if claimed.digest == item.report.output_digest:
        return Skipped(id=item.id, reason=Reason.DUPLICATE)
    return Quarantined(id=item.id, reason=Reason.CONFLICT)


def _take_name(item: Prepared, store: Store, claim: Claimer) -> None:
    while not store.release(item.staged):
        if store.digest_of(item.report.path) == item.report.output_digest:
            store.discard(item.staged)
            return
        # Asked again, because a worker that was held up since its claim must not move what the next owner released.
        claim([_wanted(item)])
        store.set_aside(item.report.path)


def _wanted(item: Prepared) -> tuple[int, str, str]:
    return item.id, item.report.path, item.report.output_digest

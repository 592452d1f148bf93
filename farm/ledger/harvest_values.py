"""The values of harvests: what goes into the ledger and what comes out, with no SQL and no connection.

As with instances, everything keyed or sealed is computed by the caller. By convention the header of a list is sealed
for table `harvests` with the list's key as context, a row for `harvest_rows` with its list's key and number, a study
for `harvest_studies` with its key, an instance for `harvest_instances` with its key. A verdict is a word to the ledger,
of which it knows `pending`, `complete` and `bad-row`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

HELD_BACK: Final = frozenset({"paused", "cancelled"})
"""The states in which nothing is fetched, whatever is missing, until people say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Harvest:
    """A list that is fetched from one PACS into one run. `state` is active, paused, cancelled or complete.

    `name_key` is the keyed name of the list's file, by which people call it.
    """

    id: int
    run_id: int
    pacs: str
    list_key: bytes
    sealed: bytes
    state: str
    priority: int
    created_at: datetime
    listed_at: datetime | None
    name_key: bytes | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether something of it may still be fetched without another order."""
        return self.state in {"active", "paused"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListRow:
    """A row of a list. With a verdict it has ended at once, and is never asked for."""

    row: int
    sealed: bytes
    verdict: str = "pending"
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRow:
    """A row that the PACS is to be asked for; `attempts` are those that failed. `list_key` opens what is sealed."""

    harvest_id: int
    list_key: bytes
    row: int
    sealed: bytes
    attempts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Keyed:
    """A study or an instance: its key, by which it is found again, and what it is, sealed."""

    key: bytes
    sealed: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class TakenStudy:
    """The right to fetch a study. `attempts` counts this one; `expected` is None until its instances were listed."""

    harvest_id: int
    run_id: int
    study_key: bytes
    sealed: bytes
    token: int
    attempts: int
    expected: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What is said of a study."""

    study_key: bytes
    sealed: bytes
    verdict: str
    reason: str | None
    expected: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What is said of a row: `verdict` is its own, None where its studies say all."""

    row: int
    sealed: bytes
    verdict: str | None
    reason: str | None
    studies: tuple[StudyResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HarvestProgress:
    """How many rows and studies have which verdict; of rows, `found` are those whose studies say all."""

    rows: dict[str, int] = field(default_factory=dict)
    studies: dict[str, int] = field(default_factory=dict)

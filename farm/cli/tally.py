"""How many instances of a source ended in which way, counted where they are worked and added up where it is told."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.errors import Reason
    from farm.sources import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What was made of one instance: where it belongs, its digest (BLAKE3, hex), and what is to be told of it."""

    path: str
    digest: str
    input_bytes: int
    output_bytes: int
    told: Sequence[str] = ()


@dataclass(slots=True, kw_only=True)
class Tally:
    """How many instances ended in which way; `told` counts what each command tells of those that are done."""

    done: int = 0
    skipped: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    told: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[Reason] = field(default_factory=Counter)
    failed: list[tuple[bytes, Reason]] = field(default_factory=list)
    """Locators of those in `quarantined`, until they are taken."""
    faults: list[str] = field(default_factory=list)
    """Places in the code where the farm itself failed."""

    @property
    def ended(self) -> int:
        """Return how many instances these are."""
        return self.done + self.skipped + self.quarantined.total()

    def add(self, other: Tally) -> None:
        """Count another tally in; its faults are told when they come, and not kept."""
        self.done += other.done
        self.skipped += other.skipped
        self.input_bytes += other.input_bytes
        self.output_bytes += other.output_bytes
        self.told += other.told
        self.quarantined += other.quarantined
        self.failed += other.failed

    def fail(self, entry: Entry, reason: Reason) -> None:
        """Count an instance that cannot be done."""
        self.quarantined[reason] += 1
        self.failed.append((entry.locator, reason))

    def taken(self) -> list[tuple[bytes, Reason]]:
        """Return which have failed since this was asked the last time; they are not kept."""
        failed, self.failed = self.failed, []
        return failed

    def count(self, made: Made) -> None:
        """Count an instance that was released."""
        self.done += 1
        self.input_bytes += made.input_bytes
        self.output_bytes += made.output_bytes
        self.told.update(made.told)

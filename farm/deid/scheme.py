"""The scheme: by which rules a recipe replaces UIDs and subjects, and finds each subject's date shift.

Some rules derive what they give from the project key: any process can, at any time. The others need the registry, as
what they give is drawn, numbered or imported, and the first who writes it down is right. A project follows one rule of
each kind for good, else one subject would get two pseudonyms; `rules` is what the registry binds a project to.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from farm.deid.dates import Strategy, anchor_shift, pick_shift
from farm.deid.subjects import is_prefix
from farm.deid.uids import UUID_ROOT, check_root
from farm.errors import BadRecipe, Reason


class Uids(StrEnum):
    """Where a new UID comes from."""

    KEYED = "keyed"  # derived from the project key
    RECORDED = "recorded"  # drawn at random


class Pseudonyms(StrEnum):
    """Where a pseudonym comes from."""

    KEYED = "keyed"  # derived from the project key
    NUMBER = "number"  # the next number after a prefix
    CROSSWALK = "crosswalk"  # given by an imported table, or not at all


_DERIVED = frozenset({Strategy.SUBJECT, Strategy.WEEKS})
_RECORDED = frozenset({Strategy.RANDOM, Strategy.ANCHOR, Strategy.CROSSWALK})
_RANGED = frozenset({Strategy.SUBJECT, Strategy.WEEKS, Strategy.RANDOM})
_ANY_DAY = b"19000101"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme:
    """How a recipe maps; `lowest` and `highest` are the range in days of drawn and derived date shifts.

    `dates` without a shift of the subject's own (fixed, month, year, remove) asks the mapping for none. Raise
    `BadRecipe` with the dotted path of what cannot be.
    """

    uids: Uids = Uids.KEYED
    root: str = UUID_ROOT
    pseudonyms: Pseudonyms = Pseudonyms.KEYED
    prefix: str = "PRJ-"
    dates: Strategy = Strategy.SUBJECT
    lowest: int = -3650
    highest: int = -1
    anchor: str = ""

    def __post_init__(self) -> None:
        """Check each rule, and that they go together."""
        check_root(self.root)
        if self.pseudonyms is Pseudonyms.NUMBER and not is_prefix(self.prefix):
            raise BadRecipe(Reason.BAD_RECIPE, "subject.prefix: 1 to 32 letters, digits, '.', '_' and '-'")
        if self.dates in _RANGED:
            pick_shift(0, self.lowest, self.highest, weeks=self.dates is Strategy.WEEKS)
        if self.dates is Strategy.ANCHOR and anchor_shift(_ANY_DAY, self.anchor.encode()) is None:
            raise BadRecipe(Reason.BAD_RECIPE, "dates.anchor: must be a day, as YYYYMMDD")
        if self.dates is Strategy.CROSSWALK and self.pseudonyms is not Pseudonyms.CROSSWALK:
            raise BadRecipe(Reason.BAD_RECIPE, "dates.strategy: crosswalk needs subject.pseudonym crosswalk")

    @property
    def shifts(self) -> bool:
        """Tell whether every subject has a date shift of its own."""
        return self.derives_shifts or self.dates in _RECORDED

    @property
    def derives_shifts(self) -> bool:
        """Tell whether date shifts derive from the project key."""
        return self.dates in _DERIVED

    @property
    def subjects_in_registry(self) -> bool:
        """Tell whether what stands for a subject has to be asked for."""
        return self.pseudonyms is not Pseudonyms.KEYED or self.dates in _RECORDED

    @property
    def in_registry(self) -> bool:
        """Tell whether instances are surveyed and the registry asked before they can be processed."""
        return self.subjects_in_registry or self.uids is Uids.RECORDED

    def rules(self) -> dict[str, str]:
        """Return the rule of each kind as text; empty where the scheme has none."""
        subject = f"number {self.prefix}" if self.pseudonyms is Pseudonyms.NUMBER else self.pseudonyms.value
        shift = self.dates.value if self.shifts else ""
        if self.dates in _RANGED:
            shift = f"{shift} {self.lowest} {self.highest}"
        elif self.dates is Strategy.ANCHOR:
            shift = f"{shift} {self.anchor}"
        return {"uids": f"{self.uids} {self.root}", "subjects": subject, "shifts": shift}

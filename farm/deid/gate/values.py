"""What the gate is given and what it answers. A verdict says where something is wrong and of which kind, never what."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum

from farm.deid.gate.reading import Reading
from farm.dicom.elements import Data, Dialect

Segment = bytes | memoryview


class Outcome(StrEnum):
    """What is to become of an output."""

    RELEASE = "release"
    REVIEW = "review"  # something weak was found: a person has to look
    WITHHOLD = "withhold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The data set before: `data` from `start` on (File Meta Information stands before), inflated where it was not."""

    data: Data = field(repr=False)
    start: int
    dialect: Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The file after: segments that are not deflated; the data set starts at `start` of all of them joined."""

    segments: Sequence[Segment] = field(repr=False)
    start: int
    dialect: Dialect


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is to be true of one instance's output.

    `new_uids` are those that stand for originals here; `original_uids` those they stand for, without padding. `days` is
    how far dates were moved. `pixels_changed`: the recipe redacted or transcoded them, so the bytes say nothing.
    """

    reading: Reading = field(repr=False)
    pseudonym: bytes
    new_uids: AbstractSet[bytes] = field(repr=False)
    original_uids: AbstractSet[bytes] = field(default=frozenset(), repr=False)
    days: int = field(default=0, repr=False)
    pixels_changed: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something wrong: its kind, the attribute of the output, the sequences around that. It holds no value.

    `tag` is None where the output as a whole or its File Meta Information is meant.
    """

    kind: str
    tag: int | None = None
    path: tuple[int, ...] = ()
    strong: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """The gate's answer for one instance."""

    outcome: Outcome
    findings: tuple[Finding, ...] = ()

    @classmethod
    def of(cls, findings: Sequence[Finding]) -> Verdict:
        """Return the verdict that follows from findings: one strong one withholds."""
        if not findings:
            return _RELEASED
        strong = any(finding.strong for finding in findings)
        return cls(Outcome.WITHHOLD if strong else Outcome.REVIEW, tuple(dict.fromkeys(findings)))


_RELEASED = Verdict(Outcome.RELEASE)

"""What an instance says of itself, and what the treatment of its other attributes depends on.

A date in group 0008 moves by the subject in group 0010, a description is cleaned of a name that stands behind it. So
these facts have to be known before the first element is edited. The instances of a series say the same: those of the
one before are taken for granted, the walk notes what is true, and only where that differs is the walk done again. For
the first one, and where that walk fails, a short walk over the top level goes before; it ends behind the identifiers of
study and series and enters no sequence.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from farm.dicom.editor import Onlooker
from farm.dicom.elements import Dialect
from farm.dicom.grammar import Noting, Plan, Span
from farm.dicom.part10 import Part10
from farm.dicom.splice import Walk
from farm.errors import BadInput, Reason

CHARSET = 0x00080005
SOP_CLASS, SOP_INSTANCE, STUDY, SERIES = 0x00080016, 0x00080018, 0x0020000D, 0x0020000E
STUDY_DATE = 0x00080020
PATIENT_NAME, PATIENT_ID, ISSUER = 0x00100010, 0x00100020, 0x00100021
STUDY_ID = 0x00200010
PRIVATE_DATA = 0x00080300
IDENTIFYING = frozenset(
    {
        0x00080050,  # Accession Number
        0x00080080,  # Institution Name
        0x00080081,
        0x00080090,  # Referring Physician's Name
        0x0008009C,
        0x00081010,  # Station Name
        0x00081040,
        0x00081048,
        0x00081050,
        0x00081060,
        0x00081070,
        PATIENT_NAME,
        PATIENT_ID,
        0x00100030,  # Patient's Birth Date
        0x00101000,
        0x00101001,
        0x00101005,
        0x00101040,
        0x00101060,
        0x00102154,
        STUDY_ID,
    }
)
"""Attributes whose values identify, and may be repeated in descriptions: names, numbers, places."""
PLAIN = frozenset({SOP_CLASS, SOP_INSTANCE, STUDY, SERIES, PATIENT_NAME, PATIENT_ID, ISSUER})
"""The facts that every policy needs."""
ALL = PLAIN | IDENTIFYING | {CHARSET, STUDY_DATE, PRIVATE_DATA}
_PASSING = frozenset({SOP_INSTANCE, SERIES, STUDY_DATE})
"""Facts that no other attribute depends on."""


@dataclass(frozen=True, slots=True)
class Facts:
    """The values of top-level attributes, by tag, without padding; the first one counts. Identifying."""

    values: dict[int, bytes] = field(repr=False)

    def __getitem__(self, tag: int) -> bytes:
        """Return a value; empty where the attribute is absent."""
        return self.values.get(tag, b"")

    def same(self, other: Facts) -> bool:
        """Tell whether all that other attributes depend on is alike."""
        keys = (self.values.keys() | other.values.keys()) - _PASSING
        return all(self.values.get(tag) == other.values.get(tag) for tag in keys)

    def identifying(self) -> list[tuple[int, bytes]]:
        """Return the values that must not survive in any description."""
        return [(tag, value) for tag, value in self.values.items() if tag in IDENTIFYING and value]


@cache
def _plan(dialect: Dialect) -> Plan:
    return Plan(Noting(ALL, STUDY_ID), dialect)


def facts(source: Part10, wanted: frozenset[int] = ALL) -> Facts:
    """Note what an instance says of itself; raise `BadInput` where it says too little to be de-identified."""
    walk = Walk(source.data, _plan(source.dialect), Onlooker())
    broken: BadInput | None = None
    try:
        walk.run(source.start, len(source.data))
    except BadInput as error:  # behind all that is needed, it is the second walk's to judge
        broken = error
    try:
        return noted(source, walk.notes, wanted)
    except BadInput as error:
        raise (broken or error) from None


def noted(source: Part10, notes: list[Span], wanted: frozenset[int]) -> Facts:
    """Return the wanted facts from what a walk noted; raise `BadInput` where those are missing that must be there."""
    found: dict[int, bytes] = {}
    data = source.data
    for tag, _, start, value, end, _ in notes:
        if tag in wanted and tag not in found:
            found[tag] = data[start:end] if tag == PRIVATE_DATA else data[value:end].strip(b"\0 ")
    for tag, meta in ((SOP_CLASS, source.sop_class), (SOP_INSTANCE, source.sop_instance)):
        if found.get(tag) == b"":  # File Meta Information says it too
            found[tag] = meta
    known = Facts(found)
    _check(known)
    return known


def _check(known: Facts) -> None:
    if known[SOP_CLASS].strip(b"0123456789.") or not known[SOP_CLASS]:
        raise BadInput(Reason.NO_SOP_CLASS)
    for tag in (SOP_INSTANCE, STUDY, SERIES):
        if not known[tag]:
            raise BadInput(Reason.NO_UID)
        if b"\\" in known[tag]:
            raise BadInput(Reason.BAD_UID)

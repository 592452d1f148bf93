"""How the gate reads a recipe: its own view of what must have become of each attribute.

The only thing taken from the rest of the package is table E.1-1 as facts. From a row's Basic action, the letters of its
options, the rule for what the table does not list and the recipe's own rules follows one `Fate`; from the fate and the
VR the `Heap` that a value is put on: what has to be gone goes on a heap to search for, what may be there on a heap to
search in. Only a rough answer is needed (gone, or not), so compound actions need no IOD.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Literal

from farm.deid.standard.e1_1 import ROWS


class Fate(StrEnum):
    """What the recipe does with an attribute's value, as roughly as the gate needs to know."""

    KEPT = "K"
    GONE = "X"  # removed, emptied or replaced
    MAPPED = "U"
    CLEANED = "C"  # some of it may stay


class Heap(IntEnum):
    """Where a walk puts a value. Of a source those from NAMES to MOVED had to go or to change, the others are kept."""

    NOTHING = 0
    NAMES = 1
    IDENTIFIERS = 2  # text of attributes that the standard lists for identifying someone
    DESCRIPTIONS = 3  # other text that had to go
    NUMBERS = 4
    DATES = 5
    TIMES = 6
    UIDS = 7  # of the output: those that must be new
    BYTES = 8
    CLEANED = 9
    MOVED = 10  # dates and times that were shifted
    TEXT = 11  # what is kept
    PRODUCTS = 12  # what is kept and names a product
    KEPT_UIDS = 13
    KEPT_DATES = 14
    CHARSETS = 15  # of the source and of items that stay
    GONE_CHARSETS = 16  # of items that go: to be read by, and to be searched for


class Place(IntEnum):
    """What the sequences around an attribute say: nothing, that all of it is gone, or that concepts decide."""

    PLAIN = 0
    GONE = 1
    CONCEPTS = 2


TEXT_VRS = frozenset({"AE", "AS", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
DATE_VRS = frozenset({"DA", "DT"})
_DAY_VRS = DATE_VRS | {"TM"}
BYTE_VRS = frozenset({"OB", "OW", "OF", "OD", "OL", "OV", "UN"})
_CHARSET = 0x00080005
_CONTENT_UID = 0x0040A124  # the UID that a content item says (PS3.3 table C.18.6-1): its concept decides on it
MARKERS = frozenset({0x00120062, 0x00120063, 0x00120064, 0x00280303})
CAN_IDENTIFY = TEXT_VRS | DATE_VRS | {"PN", "TM", "UN", "OB"}  # VRs by which `unlisted: remove` goes
_CODES = frozenset({0x00080100, 0x00080102, 0x00080104, 0x00080119, 0x00080120})
_CLEANED = _CODES | {0x00281054, 0x00282000, 0x00283004, 0x00420012, 0x00420014}
"""What stays where it is known to be safe though nothing lists it: codes of public vocabularies, ICC profiles."""
# Text that is a term by its meaning: what makes up a code (PS3.3 table 8.8-1), Rescale Type, MIME types.
_TERMS = frozenset(0x00080100 + n for n in (0x00, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x0F, 0x19, 0x20))
_TERMS |= {0x00281054, 0x00283004, 0x00420012, 0x00420014}
_SAMPLES = frozenset({0x54000110, 0x54000112, 0x54001010})  # of waveforms
_PRODUCTS = frozenset({0x00080070, 0x00081090})  # Manufacturer, Manufacturer's Model Name
_NEVER_IN_A_DATA_SET = frozenset({0x0000, 0x0002, 0x0004})
_STRUCTURED = "clean_structured_content"
_DATES = "retain_longitudinal_full_dates"
# Rows with a letter in one of these say something of the study, the device or the body, not of who a person is.
_DESCRIBING = frozenset(
    {"clean_descriptors", "clean_graphics", _STRUCTURED, "retain_device_identity", "retain_patient_characteristics"}
)

_ROWS: dict[int, tuple[str, dict[str, str]]] = {}
_GROUPS: dict[int, tuple[str, dict[str, str]]] = {}
for _pattern, _code, _options in ROWS:
    _row = (_code, dict(_option.split("=") for _option in _options.split()))
    if _pattern[2:4] == "xx":
        _GROUPS[int(_pattern[:2], 16)] = _row  # a repeating group goes or stays as a whole
    elif _pattern != "odd":
        _ROWS[int(_pattern, 16)] = _row


def _no_vocabulary(word: str) -> bool:
    del word
    return False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, weakref_slot=True)
class Reading:
    """The attribute part of a recipe as the gate reads it; make it once per recipe, it is remembered by identity.

    `attributes`: the recipe's own rules, a letter of PS3.15 for a tag. `dates`: what became of the dates that an option
    keeps; `month` and `year` mean truncated to the first. `own`: texts that the farm itself writes (method, dummies).
    `is_word`: tells a word of the vocabulary, given in lower case.
    """

    options: frozenset[str] = frozenset()
    unlisted_removed: bool = False
    keep: frozenset[int] = frozenset()
    attributes: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    dates: Literal["removed", "shifted", "month", "year", "kept"] = "removed"
    own: tuple[bytes, ...] = ()
    is_word: Callable[[str], bool] = _no_vocabulary

    @property
    def temporal(self) -> bytes:
        """Return what (0028,0303) has to say (PS3.15 E.1.1)."""
        return {"removed": b"REMOVED", "kept": b"UNMODIFIED"}.get(self.dates, b"MODIFIED")

    def fate(self, tag: int, vr: str, place: Place = Place.PLAIN) -> Fate:
        """Return what has to have become of an attribute."""
        own = self.attributes.get(tag)
        if place is Place.GONE or own in {"X", "Z", "D"} or is_misplaced(tag):
            return Fate.GONE
        if own is not None or tag in MARKERS:
            return Fate(own or "K")
        if place is Place.CONCEPTS and tag == _CONTENT_UID:
            return Fate.CLEANED
        if tag >> 16 & 1:
            return Fate.CLEANED if "retain_safe_private" in self.options else Fate.GONE
        row = _row_of(tag)
        if row is not None:
            return self._listed(*row)
        fate = self._unlisted(tag, vr)
        return Fate.CLEANED if fate is Fate.KEPT and place is Place.CONCEPTS else fate

    def _listed(self, code: str, options: Mapping[str, str]) -> Fate:
        """Return the fate by a row of the table: an option's letter overrides, and cleaning wins over keeping."""
        letters = {letter for option, letter in options.items() if option in self.options}
        if letters:
            return Fate.CLEANED if "C" in letters else Fate.KEPT
        if code == "U":
            return Fate.MAPPED
        return Fate.KEPT if "U*" in code else Fate.GONE

    def _unlisted(self, tag: int, vr: str) -> Fate:
        if not self.unlisted_removed or tag in self.keep or vr not in CAN_IDENTIFY:
            return Fate.KEPT
        return Fate.CLEANED if vr in {"AS", "CS"} or tag in _CLEANED else Fate.GONE

    def inside(self, tag: int, place: Place) -> Place:
        """Return what a sequence says of what is in it."""
        fate = self.fate(tag, "SQ", place)
        if fate is Fate.GONE:
            return Place.GONE
        row = _row_of(tag)
        by_concept = fate is Fate.CLEANED and row is not None and _STRUCTURED in row[1]
        return Place.CONCEPTS if by_concept else place

    def of_source(self, tag: int, vr: str, place: Place) -> Heap:
        """Return the heap for a value of the source."""
        fate = self.fate(tag, vr, place)
        if tag == _CHARSET:
            return Heap.GONE_CHARSETS if fate is Fate.GONE else Heap.CHARSETS
        if fate is Fate.KEPT:
            return self._kept(tag, vr)
        if fate is Fate.CLEANED:
            if vr in DATE_VRS:
                return Heap.MOVED
            return Heap.CLEANED if vr in TEXT_VRS or vr == "PN" else Heap.NOTHING
        if vr in TEXT_VRS:
            return Heap.IDENTIFIERS if is_identifier(tag) else Heap.DESCRIPTIONS
        return _GONE_HEAPS.get(vr, Heap.BYTES if vr in BYTE_VRS else Heap.NOTHING)

    def _kept(self, tag: int, vr: str) -> Heap:
        if vr in DATE_VRS:
            return Heap.KEPT_DATES if self._keeps_days(tag) else Heap.NOTHING
        if tag in _PRODUCTS:
            return Heap.PRODUCTS
        return Heap.TEXT if vr in TEXT_VRS or vr in {"DS", "IS", "PN"} else Heap.NOTHING

    def _keeps_days(self, tag: int) -> bool:
        """Tell whether a rule says that a kept date or time stays as it is, even if it repeats one that went.

        Where `unlisted` is keep, that rule is the letter of the profile itself: it has no row for the attribute.
        """
        row = _row_of(tag)
        by_profile = not self.unlisted_removed if row is None else _DATES in row[1]
        return by_profile or tag in self.attributes

    def of_output(self, tag: int, vr: str, place: Place) -> Heap:
        """Return the heap for a value of the output."""
        fate = self.fate(tag, vr, place)
        if vr == "UI":
            return Heap.UIDS if fate in {Fate.MAPPED, Fate.GONE} else Heap.KEPT_UIDS
        if vr in DATE_VRS and fate is Fate.CLEANED:
            return Heap.MOVED
        if vr in _DAY_VRS and fate is Fate.KEPT and self._keeps_days(tag):
            return Heap.KEPT_DATES
        if vr in TEXT_VRS and fate is Fate.CLEANED:
            return Heap.CLEANED
        return Heap.TEXT if vr in _SEARCHED_AS_TEXT else Heap.BYTES

    def may_hold(self, tag: int) -> bool:
        """Tell whether an output may hold such an attribute at all."""
        return not is_misplaced(tag) and (not tag >> 16 & 1 or self.fate(tag, "UN") is not Fate.GONE)


_GONE_HEAPS = {
    "PN": Heap.NAMES,
    "DA": Heap.DATES,
    "DT": Heap.DATES,
    "TM": Heap.TIMES,
    "UI": Heap.UIDS,
    "DS": Heap.NUMBERS,
    "IS": Heap.NUMBERS,
}
_SEARCHED_AS_TEXT = TEXT_VRS | DATE_VRS | {"PN", "TM", "DS", "IS", "UN"}


def _row_of(tag: int) -> tuple[str, dict[str, str]] | None:
    return _ROWS.get(tag) or _GROUPS.get(tag >> 24)


def is_misplaced(tag: int) -> bool:
    """Tell whether an attribute stands in no data set: a group length, a command, File Meta or DICOMDIR element."""
    return not tag & 0xFFFF or tag >> 16 in _NEVER_IN_A_DATA_SET


def is_identifier(tag: int) -> bool:
    """Tell whether the table lists an attribute for what it says of a person or an institution."""
    row = _row_of(tag)
    return row is not None and not _DESCRIBING & row[1].keys()

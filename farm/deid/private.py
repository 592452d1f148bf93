"""Private attributes that are known to be safe (PS3.15 E.3.10): kept with their creators, all others go.

Safe is what table E.3.10-1 lists for a creator, and what the instance itself declares: a block whose Block Identifying
Information Status (0008,0303) is SAFE, and elements listed as nonidentifying (0008,0304). What it declares to be
identifying is removed whatever Deidentification Action (0008,0307) it recommends, and of the declaration itself no more
stays than was understood. A creator stays where it is one of
the table's or of a declared block: its name is then no more than the table or the declaration says. Private sequences
of such blocks are entered, and each attribute in them is handled on its own merits.
"""

from __future__ import annotations

import re
from functools import cache

from farm.deid.facts import PRIVATE_DATA
from farm.deid.standard.private import ROWS
from farm.deid.uids import WELL_KNOWN, components
from farm.dicom.editor import Onlooker
from farm.dicom.elements import Data, Dialect
from farm.dicom.grammar import Noting, Plan
from farm.dicom.splice import Walk

_UID = re.compile(rb"[0-2](?:\.\d+){3,}")
_DAY = re.compile(rb"(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{2,6}(?:\.\d{1,6})?)?$")
_GROUP, _CREATOR, _STATUS, _NONIDENTIFYING = 0x00080301, 0x00080302, 0x00080303, 0x00080304
_TAGS = frozenset({_GROUP, _CREATOR, _STATUS, _NONIDENTIFYING})
_SAFE: dict[tuple[int, int, bytes], str] = {
    (group, element, creator.encode()): vr for group, element, creator, vr, _ in ROWS
}
_CREATORS = frozenset(creator for _, _, creator in _SAFE)


class Declared:
    """What Private Data Element Characteristics Sequence (0008,0300) says of the instance's private blocks."""

    def __init__(self, sequence: Data | bytes = b"", dialect: Dialect | None = None) -> None:
        """Read the encoded sequence; nothing is declared without one."""
        self.blocks: dict[tuple[int, bytes], bool] = {}
        self.elements: dict[tuple[int, bytes], frozenset[int]] = {}
        if not sequence or dialect is None:
            return
        walk = Walk(sequence, _plan(dialect), Onlooker())
        walk.run(0, len(sequence))
        block = (0, b"")
        for tag, _, _, start, end, _ in walk.notes:  # in the order of tags, so a block begins with its group
            value = sequence[start:end]
            if tag == _GROUP:
                block = (int.from_bytes(value[:2], dialect.order), b"")
            elif tag == _CREATOR:
                block = (block[0], value.strip(b"\0 "))
                self.blocks[block] = False
            elif tag == _STATUS:
                self.blocks[block] = value.strip(b"\0 ") == b"SAFE"
            else:
                numbers = (int.from_bytes(value[at : at + 2], dialect.order) & 0xFF for at in range(0, len(value), 2))
                self.elements[block] = frozenset(numbers)

    def encoded(self, dialect: Dialect) -> bytes:
        """Return the sequence anew: of each block its group, creator, status and nonidentifying elements, no more."""
        return dialect.sequence(PRIVATE_DATA, *(self._item(block, dialect) for block in self.blocks))

    def _item(self, block: tuple[int, bytes], dialect: Dialect) -> bytes:
        group, creator = block
        elements = sorted(self.elements.get(block, ()))
        status = b"SAFE" if self.blocks[block] else b"MIXED" if elements else b"UNSAFE"
        item = dialect.element(_GROUP, "US", group.to_bytes(2, dialect.order))
        item += dialect.element(_CREATOR, "LO", creator) + dialect.element(_STATUS, "CS", status)
        numbers = b"".join(number.to_bytes(2, dialect.order) for number in elements)
        return item + (dialect.element(_NONIDENTIFYING, "US", numbers) if status == b"MIXED" else b"")


class SafePrivate:
    """Judges the private elements of one instance."""

    def __init__(self, declared: Declared) -> None:
        """Know of no block yet."""
        self._declared = declared
        self._blocks: dict[tuple[int, int], bytes] = {}

    def keeps(self, tag: int, vr: str, value: Data | bytes, item: int) -> bool:
        """Tell whether a private element stays; `item` tells apart the data sets that blocks are reserved in."""
        group, element = tag >> 16, tag & 0xFFFF
        if 0x10 <= element <= 0xFF:
            return self._reserves(tag, bytes(value).strip(b"\0 "), item)
        creator = self._blocks.get((item, (tag & 0xFFFF0000) | (element >> 8)))
        if creator is None:
            return False
        if vr == "SQ":
            return True
        listed = _SAFE.get((group, element & 0xFF, creator))
        if listed is not None:
            return vr in {listed, "UN"}
        block = (group, creator)
        return self._declared.blocks.get(block, False) or element & 0xFF in self._declared.elements.get(block, ())

    def _reserves(self, tag: int, creator: bytes, item: int) -> bool:
        """Remember the block that a creator reserves (PS3.5 7.8.1), if any of it may stay."""
        if creator not in _CREATORS and (tag >> 16, creator) not in self._declared.blocks:
            self._blocks.pop((item, tag), None)  # a second creator takes the block over
            return False
        self._blocks[item, tag] = creator
        return True


def leads_back(vr: str, value: Data | bytes, options: frozenset[str]) -> bool:
    """Tell whether a private value is a date or a UID that no option retains; one written as UN counts by its form.

    However safe its block is, it would lead to the original: all references are protected (E.1.1).
    """
    if vr in {"DA", "DT"} or (vr == "UN" and _DAY.match(bytes(value).strip(b"\0 "))):
        return "retain_longitudinal_full_dates" not in options
    if vr not in {"UI", "UN"} or "retain_uids" in options:
        return False
    found = [part for part in components(bytes(value)) if part and part not in WELL_KNOWN]
    return any(vr == "UI" or _UID.fullmatch(part) for part in found)


@cache
def _plan(dialect: Dialect) -> Plan:
    return Plan(Noting(_TAGS, inside=True), dialect)

"""Element headers: the one place that knows how a tag, a VR and a length are written (PS3.5 section 7.1).

A `Dialect` is one of the three ways to write them: explicit VR little endian, explicit VR big endian, implicit VR
little endian. It reads a header into a `Header` and encodes new elements; it never looks at what a value means.
"""

from __future__ import annotations

import mmap
import struct
from typing import Literal, NamedTuple, TypeAlias

from farm.dicom.dictionary import vr_of
from farm.errors import BadInput, Reason

Data: TypeAlias = bytes | mmap.mmap
UNDEFINED = 0xFFFFFFFF
ITEM = 0xFFFEE000
ITEM_END = 0xFFFEE00D
SEQUENCE_END = 0xFFFEE0DD
PIXEL_DATA = 0x7FE00010
MAX_DEPTH = 64

# VRs whose explicit header has two reserved bytes and a 32-bit length (PS3.5 table 7.1-1).
LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})
SHORT_VRS = frozenset({"AE", "AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "LO", "LT", "PN", "SH", "SL", "SS"})
SHORT_VRS |= {"ST", "TM", "UI", "UL", "US"}
_BY_BYTES = {vr.encode(): vr for vr in LONG_VRS | SHORT_VRS}
_REMEMBERED = 10_000  # prefixes a dialect holds: bounded memory on hostile input
_NUL_PADDED = frozenset({"UI", "OB", "UN"})


class Header(NamedTuple):
    """One element's header: `size` bytes of header, then `length` bytes of value (or UNDEFINED)."""

    tag: int
    vr: str
    size: int
    length: int


class Dialect:
    """How headers are written: explicit or implicit VR, little or big endian. There are three; compare with `is`."""

    __slots__ = ("_prefixes", "big_endian", "end_mark", "explicit", "item_mark", "order", "tag_at")

    def __init__(self, *, explicit: bool, big_endian: bool = False) -> None:
        """Prepare what every header needs."""
        mark = ">" if big_endian else "<"
        self.explicit, self.big_endian = explicit, big_endian
        self.order: Literal["little", "big"] = "big" if big_endian else "little"
        self.tag_at = struct.Struct(mark + "HH")
        self.item_mark = self.tag_at.pack(0xFFFE, 0xE000)  # opens an item
        self.end_mark = self.tag_at.pack(0xFFFE, 0xE0DD)  # ends a sequence of undefined length
        self._prefixes: dict[tuple[int, str], bytes] = {}

    def header(self, data: Data, at: int, end: int) -> Header:
        """Read the header at an offset; raise `BadInput` where none can stand before `end`."""
        if end - at < 8:
            raise BadInput(Reason.TRUNCATED)
        group, element = self.tag_at.unpack_from(data, at)
        tag = group << 16 | element
        if not self.explicit or group == 0xFFFE:
            return Header(tag, "" if group == 0xFFFE else vr_of(tag), 8, self.long(data, at + 4))
        vr = _BY_BYTES.get(data[at + 4 : at + 6])
        if vr is None:
            raise BadInput(Reason.BAD_STRUCTURE, "an element has no valid VR")
        if vr not in LONG_VRS:
            return Header(tag, vr, 8, int.from_bytes(data[at + 6 : at + 8], self.order))
        if end - at < 12:
            raise BadInput(Reason.TRUNCATED)
        return Header(tag, vr, 12, self.long(data, at + 8))

    def long(self, data: Data, at: int) -> int:
        """Read a 32-bit length."""
        return int.from_bytes(data[at : at + 4], self.order)

    def pack_long(self, number: int) -> bytes:
        """Write a 32-bit length."""
        return number.to_bytes(4, self.order)

    def pack_header(self, tag: int, vr: str, length: int) -> bytes:
        """Write a header; a short-form VR whose value is too long becomes UN (PS3.5 6.2.2)."""
        prefix = self._prefixes.get((tag, vr)) or self._prefix(tag, vr)
        if len(prefix) != 6:
            return prefix + length.to_bytes(4, self.order)
        if length > 0xFFFF:
            return self.pack_header(tag, "UN", length)
        return prefix + length.to_bytes(2, self.order)

    def _prefix(self, tag: int, vr: str) -> bytes:
        """Return, and remember, what stands before an element's length: 4, 6 or 8 bytes."""
        prefix = self.tag_at.pack(tag >> 16, tag & 0xFFFF)
        if self.explicit and tag >> 16 != 0xFFFE:
            prefix += vr.encode() + (b"\0\0" if vr in LONG_VRS else b"")
        if len(self._prefixes) < _REMEMBERED:
            self._prefixes[tag, vr] = prefix
        return prefix

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """Encode one element; the value is padded to even length with its VR's padding (PS3.5 6.2)."""
        if len(value) % 2:
            value = padded(vr, value)
        return self.pack_header(tag, vr, len(value)) + value

    def sequence(self, tag: int, *items: bytes) -> bytes:
        """Encode a sequence of items, each given as its encoded elements, with defined lengths."""
        body = b"".join(self.pack_header(ITEM, "", len(item)) + item for item in items)
        return self.pack_header(tag, "SQ", len(body)) + body


EXPLICIT = Dialect(explicit=True)
BIG = Dialect(explicit=True, big_endian=True)
IMPLICIT = Dialect(explicit=False)


def padded(vr: str, value: bytes) -> bytes:
    """Return the value at even length: UIDs and bytes padded with NUL, text with a space (PS3.5 6.2)."""
    if len(value) % 2 == 0:
        return value
    return value + (b"\0" if vr in _NUL_PADDED else b" ")


def is_vr(code: bytes) -> bool:
    """Tell whether two bytes are a VR of PS3.5 table 6.2-1."""
    return code in _BY_BYTES

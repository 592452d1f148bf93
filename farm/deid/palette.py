"""Palettes (PS3.3 C.7.6.3.1.5, C.7.9, C.7.6.19): which lookup table data may stay.

Palette Color Lookup Table Data (0028,1201) to (0028,1204) and its segmented form (0028,1221) to (0028,1224) are bytes
to the profile, and no row of table E.1-1 names them. Bytes that are no table can carry text. So they stay only where
something uses them and where they are what their descriptor (0028,1101) to (0028,1104) says: as many entries, of as
many bits, and a segmented one made of segments that yield as many. Everything else goes; only an image in PALETTE
COLOR cannot do without, and should be refused rather than sent on without its colours.

Photometric Interpretation tells what uses a palette: PALETTE COLOR; MONOCHROME2 with a supplemental palette, which is
known by its descriptors; and none at all, where the instance is a palette or a presentation state and no image.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

_USES_PALETTE = frozenset({b"PALETTE COLOR", b"MONOCHROME2", b""})
_DISCRETE, _LINEAR, _INDIRECT = 0, 1, 2
_Order: TypeAlias = Literal["little", "big"]


def keeps(
    photometric: bytes,
    descriptor: bytes | None,
    data_length: int,
    order: _Order,
    *,
    segments: bytes | None = None,
) -> bool:
    """Tell whether lookup table data of a length may stay; `segments` is the data itself where it is segmented."""
    if photometric.strip(b"\0 ") not in _USES_PALETTE or descriptor is None or len(descriptor) != 6:
        return False
    entries = int.from_bytes(descriptor[:2], order) or 0x10000
    bits = int.from_bytes(descriptor[4:], order)
    if not 8 <= bits <= 16:
        return False
    if segments is not None:
        return data_length == len(segments) and _entries(segments, 1 if bits == 8 else 2, order) == entries
    packed = {entries + entries % 2} if bits == 8 else set()  # two entries of 8 bits to a word, or one, as some write
    return data_length in packed | {2 * entries}


def _entries(data: bytes, width: int, order: _Order) -> int | None:
    """Return how many entries segmented data yields (C.7.9.2); None where it is not segments from end to end.

    The first segment is discrete. An indirect one repeats others, which are not indirect themselves.
    """
    words = [int.from_bytes(data[at : at + width], order) for at in range(0, len(data), width)]
    begins: dict[int, int] = {}  # a segment's number by its offset in bytes
    counts: list[int] = []  # what each segment yields; an indirect one nothing to those that would repeat it
    total = at = 0
    while at + 2 < len(words):
        kind, count = words[at], words[at + 1]
        size = {_DISCRETE: count, _LINEAR: 1, _INDIRECT: 4 // width}.get(kind)
        first = begins.get(_offset(data, (at + 2) * width, order), len(counts))
        repeated = counts[first : first + count]
        if size is None or not count or (kind != _DISCRETE and not at):
            return None
        if kind == _INDIRECT and (len(repeated) < count or 0 in repeated):
            return None
        begins[at * width] = len(counts)
        counts.append(0 if kind == _INDIRECT else count)
        total += sum(repeated) if kind == _INDIRECT else count
        at += 2 + size
    rest = words[at:] if at <= len(words) else None
    return total if rest == [] or (width == 1 and rest == [0]) else None


def _offset(data: bytes, at: int, order: _Order) -> int:
    """Read the offset of an indirect segment: its less significant 16 bits come first."""
    return int.from_bytes(data[at : at + 2], order) | int.from_bytes(data[at + 2 : at + 4], order) << 16

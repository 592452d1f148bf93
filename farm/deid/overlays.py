"""Overlays in the unused bits of the pixels (retired; PS3.3 C.9.2, PS3.5 8.1.2 in editions up to 2004).

Before overlays had an attribute for their data, a group 60xx could name a bit of the pixel cell, above or below the
bits of the stored value, as the place of its plane: Overlay Bits Allocated (60xx,0100) as large as the cell, Overlay
Bit Position (60xx,0102) that bit, and no Overlay Data (60xx,3000). What is drawn there, names and dates as a rule,
leaves with Pixel Data though the profile removes group 60xx. So where a group says so, all bits of the cell that are
not of the stored value are cleared.

It must be done where `masked` returns a mask, and never otherwise: unused bits that no overlay names may hold a sign
extension, or nothing, and Pixel Data that need not change stays to the bit. It can be done to native Pixel Data only;
a codec would have coded the overlay with the sample, so encapsulated frames are to be decoded first, or refused.

A cell of signed samples is filled with the sign above the high bit: the stored value is what it was, and a reader that
takes the whole cell for the value, as many do, reads the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

_IDENTITY = bytes(range(256))


def embedded(*, bits_allocated: int, position: int, has_data: bool) -> bool:
    """Tell from a group 60xx's Overlay Bits Allocated and Overlay Bit Position whether the pixels hold its plane."""
    return not has_data and (position != 0 or bits_allocated > 1)


def masked(bits_allocated: int, bits_stored: int, high_bit: int, positions: Iterable[int]) -> int | None:
    """Return the AND mask of one cell that leaves its stored value alone, where a position lies outside that value.

    `positions` are those of the groups whose plane is `embedded`. None where nothing is to be cleared, or where what
    describes the cell is no description of one.
    """
    low = high_bit - bits_stored + 1
    if bits_allocated % 8 or bits_stored < 1 or low < 0 or high_bit >= bits_allocated:
        return None
    mask = (1 << bits_stored) - 1 << low
    if any(0 <= position < bits_allocated and not mask >> position & 1 for position in positions):
        return mask
    return None


def clear(
    pixels: bytes | memoryview, mask: int, bytes_per_sample: int, order: Literal["little", "big"], *, signed: bool
) -> bytes:
    """Return native pixels with every bit outside the mask cleared, or above a signed value set to its sign.

    Bytes behind the last whole cell stay.
    """
    cleared = bytearray(pixels)
    whole = len(cleared) - len(cleared) % bytes_per_sample
    for lane in range(bytes_per_sample):
        table, source = _lane(mask, lane, signed=signed)
        if table == _IDENTITY:
            continue
        at, origin = (lane, source) if order == "little" else (bytes_per_sample - 1 - n for n in (lane, source))
        cleared[at:whole:bytes_per_sample] = cleared[origin:whole:bytes_per_sample].translate(table)
    return bytes(cleared)


@lru_cache(maxsize=256)
def _lane(mask: int, lane: int, *, signed: bool) -> tuple[bytes, int]:
    """Return what becomes of one byte of a cell, the lowest being lane 0, and the lane of the byte it depends on."""
    high = mask.bit_length() - 1
    sign, keep = high // 8, mask >> 8 * lane & 0xFF
    if not signed or lane < sign:
        return bytes(byte & keep for byte in range(256)), lane
    bit = 1 << high % 8
    fill = 0xFF if lane > sign else 0xFF & ~(2 * bit - 1)
    return bytes((byte & keep if lane == sign else 0) | (fill if byte & bit else 0) for byte in range(256)), sign

"""Samples and their bits: Bits Stored within Bits Allocated, and the sign (PS3.5 section 8.1.1).

A sample's value stands in Bits Stored bits below and at High Bit. What stands in the others is not part of it: zeros,
copies of the sign, or an overlay of the old kind. A codec that knows no sign is given the bits of two's complement, and
the sign is extended again when they come back (PS3.5 section 8.2.3).
"""

from __future__ import annotations

from functools import cache

import numpy as np

from farm.errors import BadInput, Reason
from farm.frames.layout import Layout, Samples


def values(raw: Samples, layout: Layout) -> Samples:
    """Return the values of samples as they stand in native Pixel Data; the same array where nothing has to be done."""
    shift = layout.high_bit + 1 - layout.bits_stored
    if layout.bits_allocated == layout.bits_stored:
        return raw
    if not shift and _within(raw, layout):
        return raw
    return extended(raw >> shift, layout.bits_stored, layout)


def strays(cells: Samples, layout: Layout, width: int = 0, shift: int = 0) -> bool:
    """Tell whether cells hold something beside their values: neither zeros nor, above signed ones, copies of the sign.

    A cell is the lowest `width` bits (0: all of its type), and its value stands `shift` bits up.
    """
    if not shift and _within(cells, layout):
        return False
    word = np.dtype(f"u{cells.dtype.itemsize}")
    whole, kind = width or 8 * word.itemsize, word.type
    plain = cells.view(word) & kind((1 << whole) - 1)
    if shift and bool((plain & kind((1 << shift) - 1)).any()):
        return True
    value = plain >> kind(shift)
    above = value >> kind(layout.bits_stored)
    if not layout.signed:
        return bool(above.any())
    negative = (value >> kind(layout.bits_stored - 1)) & kind(1)
    copies = negative * kind((1 << whole - shift - layout.bits_stored) - 1)
    return bool(((above != 0) & (above != copies)).any())


def extended(samples: Samples, bits: int, layout: Layout) -> Samples:
    """Return the lowest bits of samples as values of a layout's type, the sign extended from the highest of them."""
    word = np.dtype(f"u{max(samples.dtype.itemsize, layout.dtype.itemsize)}")
    low = samples.astype(word, copy=False) & word.type((1 << bits) - 1)
    if layout.signed:
        sign = word.type(1 << bits - 1)
        low = ((low ^ sign) - sign).view(f"i{word.itemsize}")
    return np.asarray(low, layout.dtype)


def masked(samples: Samples, layout: Layout) -> Samples:
    """Return samples as unsigned numbers of Bits Stored bits, for a codec that knows no sign."""
    if not layout.signed:
        return samples
    word = np.dtype(f"u{samples.dtype.itemsize}")
    return np.asarray(samples.view(word) & word.type((1 << layout.bits_stored) - 1))


def clipped(samples: Samples, layout: Layout) -> Samples:
    """Return samples within the bounds of a layout, as its type: a lossy codec may step over them."""
    if not _within(samples, layout):
        samples = np.clip(samples, *layout.bounds)
    return samples.astype(layout.dtype, copy=False)


def check(samples: Samples, layout: Layout) -> None:
    """Raise `BadInput` where an array is no frame of a layout, or a value does not fit into Bits Stored."""
    if samples.shape != layout.shape or samples.dtype != layout.dtype or not _within(samples, layout):
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the samples are not what their layout says")


def _within(samples: Samples, layout: Layout) -> bool:
    low, high = layout.bounds
    least, most = _bounds(samples.dtype)
    return (least >= low or int(samples.min()) >= low) and (most <= high or int(samples.max()) <= high)


@cache
def _bounds(kind: np.dtype[np.integer]) -> tuple[int, int]:
    """Return the least and the greatest number of a type."""
    kinds = np.iinfo(kind)
    return kinds.min, kinds.max

"""What every codec checks and promises: faults of a library as codes, and arrays as their layout says.

A library's message can carry what it read, so it ends here. What a library hands back is brought to the layout: a codec
that knows no sign gives bits, a lossy one may step over Bits Stored, and each has its own mind of shapes and types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from farm.codecs.streams import Head
from farm.errors import BadInput, FarmError, Reason
from farm.frames import bits
from farm.frames.codec import Changes, Claim, Decoded, Doubt
from farm.frames.layout import Layout, Samples


@contextmanager
def faults_of(library: str) -> Iterator[None]:
    """Turn whatever a library raises into `BadInput`."""
    try:
        yield
    except FarmError:
        raise
    except Exception:  # noqa: BLE001 - a library's own classes; none of their texts goes further
        raise BadInput(Reason.PIXELS_UNDECODABLE, f"{library} does not take it") from None


def agree(head: Head, layout: Layout) -> None:
    """Raise `BadInput` where a bitstream declares another frame than the layout: nothing is allocated for it."""
    if (head.rows, head.columns, head.samples) != (layout.rows, layout.columns, layout.samples):
        raise BadInput(Reason.PIXELS_UNDECODABLE, "a frame's bitstream has another size than the attributes say")


def conformed(array: Samples, layout: Layout, precision: int, *, lossy: bool = False, signed: bool = False) -> Decoded:
    """Return what a library decoded as samples of a layout.

    `precision` is the bitstream's, `signed` whether its samples are signed numbers already. Lossless samples are bits:
    the lowest Bits Stored count, and the sign is extended from there, or from the precision where that is less. Where
    the others of them hold something, that is a doubt; where a lossy codec stepped over Bits Stored, it is none.
    """
    array = _shaped(array, layout)
    wide = precision > layout.bits_stored or (signed and not layout.signed)
    doubt = Doubt.BITS if wide and not lossy and bits.strays(array, layout, precision) else None
    samples = _conformed(array, layout, precision, lossy=lossy, signed=signed)
    return Decoded(samples=samples, changes=Changes(high_bit=layout.bits_stored - 1, doubt=doubt))


def told(decoded: Decoded, changes: Changes) -> Decoded:
    """Return a frame of which more is said."""
    return replace(decoded, changes=decoded.changes.then(changes))


def _shaped(array: Samples, layout: Layout) -> Samples:
    """Return what a library decoded in the shape of a frame; raise `BadInput` where it is none."""
    shape = layout.shape
    if array.shape != shape and array.size == layout.rows * layout.columns * layout.samples:
        array = array.reshape(shape)
    if array.shape != shape or array.dtype.kind not in "iu":
        raise BadInput(Reason.PIXELS_UNDECODABLE, "a frame's bitstream has another size than the attributes say")
    return array


def _conformed(array: Samples, layout: Layout, precision: int, *, lossy: bool, signed: bool) -> Samples:
    if layout.signed and not signed:
        return bits.extended(array, min(precision, layout.bits_stored), layout)
    if lossy or (signed and layout.signed and precision <= layout.bits_stored):
        return bits.clipped(array, layout)
    if precision <= layout.bits_stored and not signed:
        return array.astype(layout.dtype, copy=False)
    return bits.extended(array, layout.bits_stored, layout)


def lossy(method: str, data: bytes, layout: Layout, photometric: str | None = None) -> Changes:
    """Return the changes of a frame that lost something; the ratio is to its native bytes (PS3.3 C.7.6.1.1.5.2)."""
    ratio = layout.frame_bits / 8 / max(1, len(data))
    return Changes(photometric=photometric, planar=planar(layout), lossy_method=method, lossy_ratio=ratio)


def planar(layout: Layout, value: int = 0) -> int | None:
    """Return the Planar Configuration to say: none where a pixel has one sample."""
    return value if layout.samples > 1 else None


def admitted(claims: Mapping[str, Claim], samples: Samples, layout: Layout, syntax: str) -> Claim:
    """Return what a codec claims of a syntax; raise `BadInput` where it does not cover the samples."""
    bits.check(samples, layout)
    claim = claims.get(syntax)
    if claim is None or not claim.covers(layout):
        raise BadInput(Reason.CODEC_ABSENT, "the transfer syntax cannot hold these samples")
    return claim


def refuse(*, when: bool, hint: str) -> None:
    """Raise `BadInput(CODEC_ABSENT)` where a syntax cannot hold a layout."""
    if when:
        raise BadInput(Reason.CODEC_ABSENT, hint)


GREY = ("MONOCHROME1", "MONOCHROME2")
PLAIN = (*GREY, "PALETTE COLOR", "RGB", "YBR_FULL")
"""The colours whose samples stand at every pixel, which any lossless codec takes as they are."""


def contiguous(samples: Samples) -> Samples:
    """Return samples as libraries want them: pixel by pixel, without gaps.

    A frame of one row or column counts as that whatever its strides; some libraries look at those.
    """
    plain = np.ascontiguousarray(samples)
    return plain.copy() if plain.size and 1 in plain.shape else plain

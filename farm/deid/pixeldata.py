"""Pixel Data as long as its frames: what stands behind them is not pixels, and goes (PS3.5 section 8.1.1).

Float and Double Float Pixel Data are frames of 32 and 64 bits, and never compressed (PS3.3 C.7.6.24 and C.7.6.25).
Native Pixel Data of odd length is padded by one byte, which can carry something too: it is written as NUL. Pixel Data
shorter than its frames is refused: a reader would show what is not there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from farm.deid import overlays
from farm.dicom.elements import Dialect
from farm.dicom.grammar import Edit, Span
from farm.dicom.part10 import Part10
from farm.errors import BadInput, Reason

_SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _BITS, _SIGN = (
    0x00280000 + n for n in (2, 4, 8, 0x10, 0x11, 0x100, 0x103)
)
FLOATS = {0x7FE00008: 32, 0x7FE00009: 64}
"""Float Pixel Data and Double Float Pixel Data: the bits of a sample."""
_SUBSAMPLED = frozenset({b"YBR_FULL_422", b"YBR_PARTIAL_422"})


def edits(  # noqa: PLR0913, PLR0917 - what describes the pixels
    source: Part10, span: Span, facts: Mapping[int, bytes], target: Dialect, vr: str, mask: int | None = None
) -> list[Edit]:
    """Return the edits that bring Pixel Data to the length of its frames, and its header to the target dialect.

    `span` is native Pixel Data, or that of floats; of compressed frames nothing is edited. `facts` holds the values of
    top-level attributes; `mask` clears overlays in unused bits of each sample. Raises `BadInput` where Pixel Data is
    shorter than its frames, or native where the transfer syntax says encapsulated and the other way round (PS3.5 A.4),
    or where an overlay is compressed with the pixels.
    """
    if span.defined == (source.syntax.encapsulated and span.tag not in FLOATS):
        raise BadInput(Reason.UNKNOWN_SYNTAX, "Pixel Data is not written as its transfer syntax says")
    length = span.end - span.value
    if mask is not None and not span.defined:
        raise BadInput(Reason.PIXELS_AT_RISK, "an overlay is compressed with the pixels")
    if not span.defined or not length:
        return []
    frames = _frames_length(facts, source.dialect.order, length, FLOATS.get(span.tag))
    if length < frames:
        raise BadInput(Reason.PIXEL_LENGTH, expected=frames, found=length)
    even = frames + frames % 2
    if mask is not None:
        size, signed = int.from_bytes(facts[_BITS][:2], source.dialect.order) // 8, any(facts[_SIGN])
        pixels = source.data[span.value : span.value + frames]
        cleared = overlays.clear(pixels, mask, size, source.dialect.order, signed=signed)
        return [(span.start, span.end, target.pack_header(span.tag, vr, even) + cleared + b"\0" * (even - frames))]
    changed: list[Edit] = []
    if length != even or target is not source.dialect:
        changed.append((span.start, span.value, target.pack_header(span.tag, vr, even)))
    if length != even or (even != frames and source.data[span.end - 1]):
        changed.append((span.value + frames, span.end, b"\0" * (even - frames)))
    return changed


def frame_bytes(facts: Mapping[int, bytes]) -> int:
    """Return how many bytes a frame takes by itself, as in encapsulated Pixel Data (PS3.5 A.4); 0: nothing tells."""
    return (_frame_bits(facts, "little") + 7) // 8


def segment_bytes(facts: Mapping[int, bytes]) -> int:
    """Return how many bytes a segment of an RLE frame yields: one of each sample, all single bits (PS3.5 G.2)."""
    rows, columns, bits = (int.from_bytes(facts[tag][:2], "little") for tag in (_ROWS, _COLUMNS, _BITS))
    return frame_bytes(facts) if bits == 1 else rows * columns


def count(facts: Mapping[int, bytes]) -> int | None:
    """Return Number of Frames, which is 1 where it is absent; None where it is no number."""
    frames = re.fullmatch(rb"\+?0*([1-9][0-9]{0,9})", facts[_FRAMES] or b"1")
    return int(frames[1]) if frames else None


def _frames_length(
    facts: Mapping[int, bytes], order: Literal["little", "big"], found: int, bits: int | None = None
) -> int:
    """Return how many bytes the frames take (PS3.5 section 8.2), without padding.

    `bits` of a sample are known where Bits Allocated does not tell them. Where Number of Frames is no number, the
    length found counts if it is that of whole frames.
    """
    frame, frames = _frame_bits(facts, order, bits), count(facts)
    if not frame:
        raise BadInput(Reason.PIXEL_LENGTH, "what describes the pixels is missing")
    if frames:
        return (frame * frames + 7) // 8
    if found * 8 % frame:
        raise BadInput(Reason.PIXEL_LENGTH, "Number of Frames is no number, and the pixels are no whole frames")
    return found


def _frame_bits(facts: Mapping[int, bytes], order: Literal["little", "big"], bits: int | None = None) -> int:
    """Return how many bits a frame takes; 0 where what describes it is missing."""

    def number(tag: int) -> int:
        return int.from_bytes(facts[tag][:2], order)

    samples = 2 if facts[_PHOTOMETRIC] in _SUBSAMPLED else number(_SAMPLES) or 1
    return number(_ROWS) * number(_COLUMNS) * samples * (bits or number(_BITS))

"""Native Pixel Data: frames one behind the other, nothing between them (PS3.5 sections 8.1.1 and 8.2).

A frame is a view of the bytes wherever that can be: samples of 8, 16 and 32 bits in either byte order, by pixel or by
plane. Copied are single bits, which come as bytes of 0 and 1; values with something in unused bits; chrominance that
two pixels share, which is given to both (YBR_FULL_422 becomes YBR_FULL); and big endian bytes within words (OW).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from farm.errors import BadInput, Reason
from farm.frames import bits
from farm.frames.encapsulated import Buffer, Frame
from farm.frames.layout import SUBSAMPLED, Layout, Order, Samples


@lru_cache(maxsize=256)  # asked for with every frame
def unpacked(layout: Layout) -> Layout:
    """Return the layout that frames have once they are read: values at the low end, chrominance for each pixel."""
    photometric = "YBR_FULL" if layout.photometric == SUBSAMPLED else layout.photometric
    return replace(layout, photometric=photometric, high_bit=layout.bits_stored - 1)


def frames(
    data: Buffer, layout: Layout, count: int, order: Order = "little", *, words: bool = True
) -> Iterator[Samples]:
    """Yield the frames of native Pixel Data; raise `BadInput` at once where it is too short for them.

    `words`: the value is OW, so that in big endian single bits and bytes stand swapped in pairs (PS3.5 annex B).
    """
    return (bits.values(shaped(flat, layout), layout) for flat in cells(data, layout, count, order, words=words))


def cells(
    data: Buffer, layout: Layout, count: int, order: Order = "little", *, words: bool = True
) -> Iterator[Samples]:
    """Yield the cells of each frame as they stand, one behind the other, unused bits and all; see `frames`."""
    expected = (layout.frame_bits * count + 7) // 8
    if len(data) < expected:
        raise BadInput(Reason.PIXEL_LENGTH, expected=expected, found=len(data))
    if layout.photometric == SUBSAMPLED and layout.columns % 2:
        raise BadInput(Reason.PIXELS_UNDECODABLE, "two pixels share their chrominance, and the columns are odd")
    swapped = words and order == "big" and layout.bits_allocated <= 8
    return (_cells(data, layout, number, order, swapped=swapped) for number in range(count))


def pixel_data(
    arrays: Iterable[Samples], layout: Layout, order: Order = "little", *, words: bool = True
) -> list[bytes]:
    """Return the value of native Pixel Data in pieces, of even length together.

    The frames' values are checked against the layout, whose photometric interpretation is not YBR_FULL_422.
    """
    if layout.photometric == SUBSAMPLED:
        raise BadInput(Reason.CODEC_ABSENT, "chrominance is not thinned out: write YBR_FULL")
    if layout.bits_allocated == 1:
        pieces = [_packed(arrays, layout)]
    else:
        pieces = [_bytes(array, layout, order) for array in arrays]
    if sum(map(len, pieces)) % 2:
        pieces.append(b"\0")
    if words and order == "big" and layout.bits_allocated <= 8:
        joined = b"".join(pieces)
        pieces = [np.frombuffer(joined, "u2").byteswap().tobytes()]
    return pieces


def joined(streams: Sequence[Frame], layout: Layout, count: int) -> list[Frame]:
    """Return native Pixel Data of frames that were written one by one, of even length together.

    Frames of single bits share bytes (PS3.5 8.1.1), so they are put together anew.
    """
    pieces = list(streams)
    if layout.frame_bits % 8 and count > 1:
        flat = [np.unpackbits(np.frombuffer(one, "u1"), count=layout.frame_bits, bitorder="little") for one in pieces]
        pieces = [np.packbits(np.concatenate(flat), bitorder="little").tobytes()]
    else:  # each may be padded by itself
        pieces = [piece[: layout.frame_bits // 8] if layout.frame_bits % 8 == 0 else piece for piece in pieces]
    if sum(map(len, pieces)) % 2:
        pieces.append(b"\0")
    return pieces


def _cells(data: Buffer, layout: Layout, number: int, order: Order, *, swapped: bool) -> Samples:
    first = layout.frame_bits * number
    start, end = first // 8, (first + layout.frame_bits + 7) // 8
    if swapped:  # pairs of bytes: as many as hold the frame, from an even place on
        even = start & ~1
        pairs = bytes(memoryview(data)[even : end + (end - even) % 2])
        pairs += b"\0" * (len(pairs) % 2)
        data, start = np.frombuffer(pairs, "u2").byteswap().tobytes(), start - even
        end = start + (first % 8 + layout.frame_bits + 7) // 8
    if layout.bits_allocated == 1:
        packed = np.frombuffer(data, "u1", end - start, start)
        flat = np.unpackbits(packed, count=first % 8 + layout.frame_bits, bitorder="little")[first % 8 :]
        return flat.view(layout.dtype)
    ordered = layout.dtype.newbyteorder("<" if order == "little" else ">")
    raw: Samples = np.frombuffer(data, ordered, (end - start) // ordered.itemsize, start)
    return raw.astype(layout.dtype, copy=False)


def shaped(raw: Samples, layout: Layout) -> Samples:
    """Return cells that stand as Planar Configuration says (PS3.3 C.7.6.3.1.3) in the shape of a frame."""
    if layout.photometric == SUBSAMPLED:  # Y1 Y2 Cb Cr (PS3.3 C.7.6.3.1.2)
        quads = raw.reshape(layout.rows, layout.columns // 2, 4)
        frame = np.empty(layout.shape, raw.dtype)
        frame[..., 0] = quads[..., :2].reshape(layout.rows, layout.columns)
        frame[..., 1:] = np.repeat(quads[..., 2:], 2, axis=1)
        return frame
    if layout.samples > 1 and layout.planar:
        return raw.reshape(layout.samples, layout.rows, layout.columns).transpose(1, 2, 0)
    return raw.reshape(layout.shape)


def _bytes(array: Samples, layout: Layout, order: Order) -> bytes:
    bits.check(array, layout)
    if layout.high_bit + 1 != layout.bits_stored:
        raise BadInput(Reason.CODEC_ABSENT, "values are written at the low end of their bits")
    ordered = array.astype(layout.dtype.newbyteorder("<" if order == "little" else ">"), copy=False)
    return (ordered.transpose(2, 0, 1) if layout.planar and layout.samples > 1 else ordered).tobytes()


def _packed(arrays: Iterable[Samples], layout: Layout) -> bytes:
    """Return frames of single bits, which follow each other within bytes, the first bit lowest (PS3.5 8.1.1)."""
    flat = [np.empty(0, "u1")]
    for array in arrays:
        bits.check(array, layout)
        flat.append(array.reshape(-1).view("u1") & 1)
    return np.packbits(np.concatenate(flat), bitorder="little").tobytes()

"""RLE Lossless: the byte planes of a frame as segments, each row packed by itself (PS3.5 annex G).

A segment holds one byte of one sample of each pixel, the most significant first, so a frame of 16-bit RGB has six. What
is packed are planes, whatever Planar Configuration says; it is written as 1. Colours stay what they are.

A single bit is padded to a byte (G.2), which undoes what Bits Allocated 1 says of it; so single bits are not written,
and read in two forms: as a byte for each, and, as others have written them, as the bytes of their native frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate

import imagecodecs
import numpy as np

from farm.codecs import native, uids
from farm.codecs.faults import PLAIN, admitted, faults_of, planar, refuse
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Claim, Decoded, Doubt, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import SUBSAMPLED, Layout, Samples

_MOST = 64  # two bytes yield 128: less than that cannot fill the frame, and nothing is allocated for it
_HEADER = struct.Struct("<16I")
_decode: Callable[..., bytes | bytearray | memoryview] = imagecodecs.dicomrle_decode

_CLAIMS = {uids.RLE: Claim(bits=(1, 32), signed=True, colours=PLAIN, allocated=8)}


@dataclass(frozen=True, slots=True)
class Rle:
    """Frames of packed byte planes."""

    name: str = "rle"
    library: str = "imcd"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.RLE,)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.imcd_version().split()[-1]

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Unpack the planes into an array of the layout's size."""
        refuse(when=layout.photometric == SUBSAMPLED, hint="RLE holds a sample for every pixel")
        least = (layout.frame_bits + 7) // 8  # of single bits, packed; of others this is all
        planes = layout.samples * layout.dtype.itemsize
        if len(data) < _HEADER.size or int.from_bytes(data[:4], "little") != planes:
            raise BadInput(Reason.PIXELS_UNDECODABLE, "the segments are not as many as samples and bits say")
        if len(data) * _MOST < least:
            raise BadInput(Reason.PIXEL_LENGTH, expected=least, found=len(data))
        with faults_of(self.library):
            flat = _decode(bytes(data), layout.dtype.newbyteorder("<"), out=bytearray(layout.size))
        if len(flat) not in {layout.size, least}:
            raise BadInput(Reason.PIXEL_LENGTH, expected=layout.size, found=len(flat))
        if layout.bits_allocated == 1:
            return native.read(bytes(flat), layout) if len(flat) < layout.size else _padded(flat, layout)
        raw = np.frombuffer(flat, layout.dtype).reshape(layout.samples, layout.rows, layout.columns)
        raw = raw[0] if layout.samples == 1 else raw.transpose(1, 2, 0)
        return native.valued(raw, layout, Changes(high_bit=layout.bits_stored - 1))

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Pack each plane."""
        admitted(self.encodes, samples, layout, options.syntax)
        with faults_of(self.library):
            segments = [_even(imagecodecs.packbits_encode(plane, axis=-1)) for plane in _planes(samples, layout)]
        places = list(accumulate(map(len, segments[:-1]), initial=_HEADER.size))
        header = _HEADER.pack(len(segments), *places, *[0] * (15 - len(places)))
        changes = Changes(planar=planar(layout, 1), high_bit=layout.bits_stored - 1)
        return Encoded(data=header + b"".join(segments), changes=changes)


def _padded(flat: bytes | bytearray | memoryview, layout: Layout) -> Decoded:
    """Return single bits that have a byte each."""
    cells = np.frombuffer(flat, layout.dtype).reshape(layout.shape)
    doubt = Doubt.BITS if int(cells.max()) > 1 else None
    return Decoded(samples=cells & 1, changes=Changes(high_bit=0, doubt=doubt))


def _planes(samples: Samples, layout: Layout) -> list[Samples]:
    """Return the planes to pack, the highest byte of each sample first; numbers are cut several times as fast as bytes.

    Each is an array of its own, because the packer takes no view of a single row or column for contiguous.
    """
    size = layout.dtype.itemsize
    words = samples.view(f"u{size}").reshape(layout.rows, layout.columns, layout.samples)
    shifts = range(8 * size - 8, -1, -8)
    return [
        (words[..., sample] >> shift if shift else words[..., sample]).astype("u1", "C")
        for sample in range(layout.samples)
        for shift in shifts
    ]


def _even(segment: bytes | bytearray) -> bytes:
    return bytes(segment) + b"\0" * (len(segment) % 2)


CODEC = Rle()

"""Frames as they are: native Pixel Data, and Encapsulated Uncompressed (PS3.5 A.4.11).

The frame is its native bytes, in the byte order of the data set; in the latter a fragment holds them. Colours stay what
they are, but chrominance that two pixels share (YBR_FULL_422) is given to both and is YBR_FULL from then on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from farm.codecs import uids
from farm.codecs.faults import PLAIN, admitted, planar
from farm.dicom import syntaxes
from farm.frames import bits, native
from farm.frames.codec import Changes, Claim, Decoded, Doubt, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Order, Samples

CLAIM = Claim(bits=(1, 32), signed=True, colours=PLAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Native:
    """Native frames in one byte order."""

    decodes: tuple[str, ...]
    order: Order = "little"
    name: str = "native"
    library: str = "numpy"
    device: str = "cpu"

    @property
    def encodes(self) -> dict[str, Claim]:
        """The same as it reads."""
        return dict.fromkeys(self.decodes, CLAIM)

    @property
    def version(self) -> str:
        """The library's."""
        return np.__version__

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return a view of the frame where that can be."""
        return read(data, layout, self.order)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return the frame's bytes, pixel by pixel."""
        admitted(self.encodes, samples, layout, options.syntax)
        return write(samples, layout, self.order)


def read(data: Frame, layout: Layout, order: Order = "little") -> Decoded:
    """Return the samples of a native frame."""
    (flat,) = native.cells(data, layout, 1, order)
    after = native.unpacked(layout)
    changed = after.photometric if after.photometric != layout.photometric else None
    return valued(native.shaped(flat, layout), layout, Changes(photometric=changed, high_bit=after.high_bit))


def valued(cells: Samples, layout: Layout, changes: Changes) -> Decoded:
    """Return the values of a frame's cells, and whether something else stands in these."""
    samples = bits.values(cells, layout)
    if samples is not cells and bits.strays(cells, layout, shift=layout.high_bit + 1 - layout.bits_stored):
        changes = changes.then(Changes(doubt=Doubt.BITS))
    return Decoded(samples=samples, changes=changes)


def write(samples: Samples, layout: Layout, order: Order = "little") -> Encoded:
    """Return a native frame, pixel by pixel, with nothing in unused bits but the sign."""
    written = replace(layout, planar=0, high_bit=layout.bits_stored - 1)
    pieces = native.pixel_data([samples], written, order)
    changes = Changes(planar=planar(layout), high_bit=written.high_bit)
    return Encoded(data=b"".join(pieces), changes=changes)


LITTLE = Native(decodes=(syntaxes.EXPLICIT_LITTLE, syntaxes.IMPLICIT_LITTLE, syntaxes.DEFLATED_LITTLE))
BIG = Native(decodes=(syntaxes.EXPLICIT_BIG,), order="big")
ENCAPSULATED = Native(decodes=(uids.ENCAPSULATED_UNCOMPRESSED,), name="encapsulated")

"""JPEG Lossless: any selection value, and the first one alone (process 14; PS3.5 section 8.2.1).

A sample has 2 to 16 bits, as many as Bits Stored; signed ones are coded as the bits of their two's complement. Colours
stay what they are, and nothing is converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import imagecodecs

from farm.codecs import uids
from farm.codecs.faults import PLAIN, admitted, agree, conformed, contiguous, faults_of, planar, told
from farm.codecs.jpeg import METHOD
from farm.codecs.streams import jpeg
from farm.frames import bits
from farm.frames.codec import Changes, Claim, Decoded, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples

_AS_THEY_ARE = {"colorspace": "rgb", "outcolorspace": "rgb"}
_LOSSLESS = 0xC3

_CLAIMS = dict.fromkeys((uids.JPEG_LOSSLESS_SV1, uids.JPEG_LOSSLESS), Claim(bits=(1, 16), signed=True, colours=PLAIN))


@dataclass(frozen=True, slots=True)
class JpegLossless:
    """Frames by prediction and Huffman codes."""

    name: str = "jpeg-lossless"
    library: str = "libjpeg-turbo"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.JPEG_LOSSLESS_SV1, uids.JPEG_LOSSLESS)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.jpeg8_version().split()[-1]

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return a frame's samples, the sign extended."""
        head = jpeg(data)
        agree(head, layout)
        with faults_of(self.library):
            array = imagecodecs.jpeg8_decode(bytes(data), **_plain(layout))
        lossy = head.process != _LOSSLESS
        return told(conformed(array, layout, head.precision, lossy=lossy), Changes(lost=METHOD if lossy else None))

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a frame by the first selection value, which both syntaxes allow."""
        admitted(self.encodes, samples, layout, options.syntax)
        depth = max(2, layout.bits_stored)
        pixels = contiguous(bits.masked(samples, layout).astype("u1" if depth <= 8 else "u2", copy=False))
        with faults_of(self.library):
            data = imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=depth, **_plain(layout))
        changes = Changes(planar=planar(layout), high_bit=layout.bits_stored - 1)
        return Encoded(data=bytes(data), changes=changes)


def _plain(layout: Layout) -> dict[str, Any]:
    return _AS_THEY_ARE if layout.samples > 1 else {}


CODEC = JpegLossless()

"""JPEG by cosine transform: Baseline, Extended with 8 or 12 bits, and the retired progressive processes (PS3.5 8.2.1).

Which colours a frame has is told by Photometric Interpretation, not by the markers of JFIF or Adobe, which scanners
copy from their libraries. So nothing is converted when a frame is read: YBR_FULL_422 becomes YBR_FULL, because the
chrominance is brought to every pixel, and RGB stays RGB. But where the two contradict each other that is said, as a
doubt: once the frame is decoded nobody could tell any more. When RGB is written it becomes YBR_FULL_422; so does
YBR_FULL.
Samples are unsigned, and have the bits of the process afterwards: 8, or 12.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import imagecodecs

from farm.codecs import uids
from farm.codecs.faults import GREY, admitted, agree, conformed, contiguous, faults_of, lossy, told
from farm.codecs.streams import Head, jpeg
from farm.frames.codec import Changes, Claim, Decoded, Doubt, Encoded, Options
from farm.frames.encapsulated import Frame
from farm.frames.layout import SUBSAMPLED, Layout, Samples

METHOD = "ISO_10918_1"
_AS_THEY_ARE = {"colorspace": "ycbcr", "outcolorspace": "ycbcr"}  # the same twice: no conversion, whatever it means

_CLAIMS = {
    uids.JPEG_BASELINE: Claim(bits=(8, 8), signed=False, colours=(*GREY, "RGB", "YBR_FULL"), lossless=False),
    uids.JPEG_EXTENDED: Claim(bits=(9, 12), signed=False, colours=GREY, lossless=False),
}


@dataclass(frozen=True, slots=True)
class Jpeg:
    """Frames by cosine transform."""

    name: str = "jpeg"
    library: str = "libjpeg-turbo"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.JPEG_BASELINE, uids.JPEG_EXTENDED, uids.JPEG_SPECTRAL, uids.JPEG_PROGRESSIVE)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.jpeg8_version().split()[-1]

    def decode(self, data: Frame, layout: Layout) -> Decoded:
        """Return a frame's samples without any conversion of colours."""
        head = jpeg(data)
        agree(head, layout)
        with faults_of(self.library):
            array = imagecodecs.jpeg8_decode(bytes(data), **plain(layout))
        after = unpacked(layout)
        read = conformed(array, replace(layout, photometric=after or layout.photometric), head.precision, lossy=True)
        return told(read, Changes(photometric=after, doubt=doubt_of(head, layout), lost=METHOD))

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a frame with the quality of the options, its colours as YBR_FULL_422."""
        depth = max(8, admitted(self.encodes, samples, layout, options.syntax).bits[1])
        pixels = contiguous(samples.astype("u1" if depth == 8 else "u2", copy=False))
        colours: dict[str, Any] = {}
        if layout.samples > 1:
            space = "rgb" if layout.photometric == "RGB" else "ycbcr"
            colours = {"colorspace": space, "outcolorspace": "ycbcr", "subsampling": "422"}
        with faults_of(self.library):
            data = bytes(imagecodecs.jpeg8_encode(pixels, options.quality, **colours))
        changes = replace(
            lossy(METHOD, data, layout, SUBSAMPLED if layout.samples > 1 else None),
            bits_allocated=pixels.dtype.itemsize * 8,
            bits_stored=depth,
            high_bit=depth - 1,
        )
        return Encoded(data=data, changes=changes)


def doubt_of(head: Head, layout: Layout) -> Doubt | None:
    """Return the doubt where a bitstream tells of other colours than Photometric Interpretation."""
    said = {"RGB": True, "YBR_FULL": False, SUBSAMPLED: False}.get(layout.photometric)
    return Doubt.COLOURS if None not in {said, head.rgb} and said != head.rgb else None


def plain(layout: Layout) -> dict[str, Any]:
    """Return the options that keep a decoder from converting colours."""
    return _AS_THEY_ARE if layout.samples > 1 else {}


def unpacked(layout: Layout) -> str | None:
    """Return the photometric interpretation once chrominance stands at every pixel, where that is another."""
    return "YBR_FULL" if layout.photometric == SUBSAMPLED else None


CODEC = Jpeg()

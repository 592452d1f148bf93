"""JPEG 2000, and whatever of HTJ2K OpenJPEG reads better than OpenJPH (PS3.5 section 8.2.4).

The decoder undoes the code stream's own colour transform, so YBR_RCT and YBR_ICT become RGB; every other photometric
interpretation stays. RGB is written with the transform: YBR_RCT, or YBR_ICT where it is lossy; without it the same
pixels take twice the bytes. Signed samples are signed in the code stream too. The colour boxes of a JP2 file are not
looked at: Photometric Interpretation tells.

`reduce` reads a frame at 1/2, 1/4 and so on of its size, at less than that cost; imagecodecs before 2026.10 cannot.
`region` reads the frame whole and cuts: what OpenJPEG decodes of a region of HTJ2K is wrong without any error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import Any

import imagecodecs

from farm.codecs import uids
from farm.codecs.faults import (
    GREY,
    PLAIN,
    admitted,
    agree,
    conformed,
    contiguous,
    faults_of,
    lossy,
    planar,
    refuse,
    told,
)
from farm.codecs.streams import Head, jpeg2000
from farm.errors import BadInput, Reason
from farm.frames.codec import Changes, Claim, Decoded, Encoded, Options, Region
from farm.frames.encapsulated import Frame
from farm.frames.layout import Layout, Samples

METHOD = "ISO_15444_1"
TRANSFORMED = frozenset({"YBR_RCT", "YBR_ICT"})
REVERSIBLE = 1
"""The wavelet that loses nothing."""
_decode: Callable[..., Samples] = imagecodecs.jpeg2k_decode
REDUCES = "skipres" in signature(_decode).parameters
"""Whether the library that is installed reads a frame at less than its size."""

LOSSLESS = Claim(bits=(1, 16), signed=True, colours=PLAIN)
LOSSY = Claim(bits=(8, 16), signed=True, colours=(*GREY, "RGB", "YBR_FULL"), lossless=False)
_CLAIMS = {uids.J2K_LOSSLESS: LOSSLESS, uids.J2K: LOSSY}


@dataclass(frozen=True, slots=True)
class Jpeg2000:
    """Frames by wavelets, through OpenJPEG."""

    name: str = "jpeg2000"
    library: str = "OpenJPEG"
    device: str = "cpu"
    decodes: tuple[str, ...] = (uids.J2K_LOSSLESS, uids.J2K)
    encodes: Mapping[str, Claim] = field(default_factory=lambda: _CLAIMS)

    @property
    def version(self) -> str:
        """The library's."""
        return imagecodecs.jpeg2k_version().split()[-1]

    def decode(self, data: Frame, layout: Layout, *, reduce: int = 0, region: Region | None = None) -> Decoded:
        """Return a frame's samples, at 2 to the power of `reduce` of its size, or those of a region of that."""
        head = jpeg2000(data)
        agree(head, layout)
        return openjpeg(data, layout, head, METHOD, reduce=reduce, region=region)

    def encode(self, samples: Samples, layout: Layout, options: Options) -> Encoded:
        """Return a code stream: reversible, or with the signal to noise ratio of the options."""
        lossless = admitted(self.encodes, samples, layout, options.syntax).lossless
        with faults_of(self.library):
            data = imagecodecs.jpeg2k_encode(
                contiguous(samples.astype(f"{samples.dtype.kind}{1 if layout.bits_stored <= 8 else 2}", copy=False)),
                0 if lossless else options.psnr,
                codecformat="j2k",
                bitspersample=layout.bits_stored,
                reversible=lossless,
                mct=layout.photometric == "RGB",
                numthreads=1,
            )
        return encoded(bytes(data), layout, METHOD, lossless=lossless)


def openjpeg(  # noqa: PLR0913 - a frame, how it was coded, and what is wanted of it
    data: Frame, layout: Layout, head: Head, method: str, *, reduce: int = 0, region: Region | None = None
) -> Decoded:
    """Return what OpenJPEG makes of a code stream; it brings values over the bounds back, as it should.

    `method` is how it lost something, if it did.
    """
    refuse(when=reduce > 0 and not REDUCES, hint="this imagecodecs reads no reduced resolution")
    small = reduced(layout, reduce)
    levels: dict[str, Any] = {"skipres": reduce} if reduce else {}
    with faults_of("OpenJPEG"):
        array = _decode(bytes(data[head.start :]), planar=False, numthreads=1, **levels)
    lossy = head.process != REVERSIBLE
    read = conformed(array, small, head.precision, lossy=lossy or reduce > 0, signed=head.signed)
    return cropped(told(read, Changes(lost=method if lossy else None)), small, region)


def reduced(layout: Layout, levels: int) -> Layout:
    """Return the layout at a lower resolution: each level halves the sides and rounds up (T.800 B.5)."""
    half = (1 << levels) - 1
    return replace(layout, rows=layout.rows + half >> levels, columns=layout.columns + half >> levels)


def cropped(read: Decoded, layout: Layout, region: Region | None) -> Decoded:
    """Return a region of a frame, and what has to be said of them; raise `BadInput` where it is not within them."""
    part = region or Region(0, 0, layout.rows, layout.columns)
    if min(part) < 0 or part.row + part.rows > layout.rows or part.column + part.columns > layout.columns:
        raise BadInput(Reason.PIXELS_UNDECODABLE, "the region is not within the frame")
    cut = read.samples[part.row : part.row + part.rows, part.column : part.column + part.columns]
    photometric = "RGB" if layout.photometric in TRANSFORMED else None
    high = layout.bits_stored - 1
    changes = Changes(photometric=photometric, rows=part.rows, columns=part.columns, high_bit=high)
    return told(replace(read, samples=cut), changes)


def encoded(data: bytes, layout: Layout, method: str, *, lossless: bool) -> Encoded:
    """Return a code stream with its photometric interpretation, and what it lost."""
    colours = {True: "YBR_RCT", False: "YBR_ICT"}[lossless] if layout.photometric == "RGB" else None
    high = layout.bits_stored - 1
    if not lossless:
        return Encoded(data=data, changes=replace(lossy(method, data, layout, colours), high_bit=high))
    return Encoded(data=data, changes=Changes(photometric=colours, planar=planar(layout), high_bit=high))


CODEC = Jpeg2000()
